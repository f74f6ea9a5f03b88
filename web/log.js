// The log: messages in the server's order, and between them days, and marks of what is missing or new.

import { makeMessage, markDelivery } from "./message.js";
import { Unread } from "./unread.js";
import { View } from "./view.js";

const MOST_MESSAGES = 400; // in the document, or half as many more for a moment; older ones go
const MOST_READ_BACK = 1_200; // while somebody reads what was said before
const ONE_BREATH_MS = 5 * 60_000; // who says more within this time is not named again

const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });

export class Log {
  #scroller = document.getElementById("log");
  #list = document.getElementById("messages");
  #messages = this.#list.getElementsByClassName("message");
  #empty = document.getElementById("empty");
  #view = new View(this.#scroller, () => this.#arrived());
  #facts = new WeakMap(); // of messages: {who, when, day, at}
  #day = ""; // the last one that stands in the log
  unread = new Unread(this.#view);
  onTrim = () => {};

  /** Add a message of one's own at the end; returns its item. */
  addOwn(saying) {
    this.unread.clear();
    const item = this.#item(saying, { own: true, when: saying.time ?? new Date() });
    this.#append(item);
    this.#view.follow();
    return item;
  }

  /**
   * Add what has come at the end; returns its item.
   * @param {object} saying as value.js reads it
   * @param {{at?: string, own?: boolean, via?: string, early?: boolean, missed?: boolean}} more
   *   at: its position; own: this person's; via: the path it came from, when that is not this page's;
   *   early: it was sent before the page was connected; missed: while it was away
   */
  add(saying, { early, missed, ...more }) {
    const item = this.#item(saying, { ...more, when: saying.time ?? (early ? undefined : new Date()) });
    if (early) item.classList.add("still");
    this.#append(item);
    if (!more.own && (missed || !early)) this.unread.came(item, { missed });
    return item;
  }

  /** Add what was said before, above all else: [{saying, at, own}], the oldest first; returns the items. */
  addOlder(olds) {
    const items = olds.map(({ saying, at, own }) => this.#item(saying, { at, own, when: saying.time }));
    for (const item of items) item.classList.add("still");
    this.#view.holding(() => {
      this.#list.prepend(...items);
      this.#arrangeAll();
    });
    return items;
  }

  /** The position of the oldest message that has one. */
  get oldest() {
    for (const item of this.#messages) {
      const { at } = this.#facts.get(item);
      if (at) return at;
    }
    return undefined;
  }

  get isFull() {
    return this.#messages.length >= MOST_READ_BACK;
  }

  /** Mark a place where something is missing. */
  addGap(why) {
    const item = document.createElement("li");
    const words = document.createElement("strong");
    item.className = "gap";
    words.textContent = "Something is missing here";
    item.append(words, ` ${why}`);
    this.#append(item);
  }

  /** Add a line about the connection. */
  addNote(text) {
    const item = document.createElement("li");
    item.className = "note";
    item.textContent = text;
    this.#append(item);
  }

  /** Bring an own message that has come back into the server's order: what arrived since it was shown was before it. */
  settle(item, at) {
    this.#facts.get(item).at = at;
    const overtaken = item.matches(":has(~ .message:not(.own), ~ .own[data-delivery='sent'])");
    if (!overtaken) return;
    item.classList.add("still");
    this.#list.append(item);
    this.#changed();
  }

  /** Put an own message in the place of another item. */
  replace(item, own) {
    this.#facts.get(own).at = this.#facts.get(item).at;
    item.replaceWith(own);
    this.#changed();
  }

  /** Put what came from others beside an own message, whose place it has in the server's order; returns its item. */
  standIn(own, saying) {
    const { at } = this.#facts.get(own);
    const item = this.#item(saying, { at, when: saying.time ?? new Date() });
    own.before(item);
    this.#changed();
    return item;
  }

  /** Show how far an own message has come: see `markDelivery`. */
  mark(item, delivery, problem) {
    markDelivery(item, delivery, problem);
    this.#view.keepPlace();
  }

  remove(item) {
    item.remove();
    this.#changed();
    this.#empty.hidden = this.#list.childElementCount > 0;
  }

  /** What is added while it is quiet is not read out by screen readers, and is one piece of news. */
  set quiet(quiet) {
    this.unread.catchingUp = quiet;
    if (quiet) this.#scroller.setAttribute("aria-live", "off");
    else requestAnimationFrame(() => requestAnimationFrame(() => this.#scroller.removeAttribute("aria-live")));
  }

  #item(saying, { at, own, when, via }) {
    const item = makeMessage(saying, { own, when, via });
    const who = own ? "own" : `${via ?? ""} ${saying.name ?? ""}`;
    this.#facts.set(item, { at, who, when, day: when ? dayOf(when) : "" });
    return item;
  }

  #append(item) {
    this.#empty.hidden = true;
    this.#list.append(item);
    if (this.#facts.has(item)) this.#arrange(item);
    // Trimming is left to the next frame while the end is followed. A hidden tab has no frames, and a reader who has
    // scrolled up should be moved seldom: for both, it happens once in a while.
    const most = this.#view.following ? MOST_MESSAGES : MOST_READ_BACK;
    if (this.#messages.length > most + MOST_MESSAGES / 2) this.#trim(most);
    this.#view.keepPlace();
  }

  #arrived() {
    this.unread.rest();
    this.#trim(MOST_MESSAGES);
  }

  /** Drop the oldest messages; a reader who has scrolled up keeps their place. */
  #trim(most) {
    const surplus = this.#messages.length - most;
    if (surplus <= 0) return;
    const first = this.#messages[surplus];
    this.#view.holding(() => {
      while (this.#list.firstElementChild !== first) this.#list.firstElementChild.remove();
      this.#arrangeAll();
    });
    this.onTrim();
  }

  #changed() {
    this.#arrangeAll();
    this.#view.keepPlace();
  }

  #arrangeAll() {
    for (const each of this.#list.querySelectorAll(".day")) each.remove();
    this.#day = "";
    for (const item of [...this.#messages]) this.#arrange(item);
  }

  /** Put a day above a message that is the first of it, and its sender's name only if it was another one before. Days go
   *  forward alone: one whose clock is wrong brings none back. */
  #arrange(item) {
    const { day, when, who } = this.#facts.get(item);
    if (day > this.#day) {
      this.#day = day;
      item.before(makeDay(when));
    }
    const before = this.#facts.get(item.previousElementSibling);
    item.classList.toggle("follows", before?.who === who && Math.abs(when - before.when) < ONE_BREATH_MS);
  }
}

/** A date as people here count it; later ones are greater. */
function dayOf(when) {
  const [year, month, day] = [when.getFullYear(), when.getMonth() + 1, when.getDate()];
  return `${String(year).padStart(6, "0")}-${String(month).padStart(2, "0")}-${String(day).padStart(2, "0")}`;
}

function makeDay(when) {
  const item = document.createElement("li");
  const time = document.createElement("time");
  item.className = "day";
  time.dateTime = dayOf(when).replace(/^0+(?=\d{4})/, "");
  time.textContent = calendar.format(when);
  item.append(time);
  return item;
}
