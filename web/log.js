// The log: the messages on the page. Text becomes text nodes, never markup; index.html holds the markup.

const MOST_ITEMS = 400; // in the document, or half as many more for a moment; older ones go
const MOST_CHARACTERS = 10_000; // of one message; any client may send a megabyte to everyone
const NEAR_END_PX = 60;

const DELIVERY = {
  waiting: ["waiting", "It is sent as soon as the line is open."],
  sending: ["sending", ""],
  sent: ["sent", ""],
  working: ["at work", "The server has it, and is not done with it yet."],
  received: ["received", "The server has it, and has sent this page no echo of it."],
  silent: ["no echo", "The server has it, and has sent nothing back to this page."],
  unconfirmed: ["not confirmed", "The line broke before the server had answered."],
  refused: ["refused", ""],
};

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

export class Log {
  #scroller = document.getElementById("log");
  #list = document.getElementById("messages");
  #empty = document.getElementById("empty");
  #newest = document.getElementById("newest");
  #template = document.getElementById("message");
  #following = true; // the reader is at the end, so the end is kept in view
  #unseen = 0;
  #unseenInTitle = 0;
  #title = document.title;
  #frame = 0;
  #height = 0; // of the window onto the log, and
  #top = 0; // where it stood, when last seen

  constructor() {
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#newest.addEventListener("click", () => {
      this.#follow();
      this.#scroller.focus({ preventScroll: true }); // the button is about to vanish
    });
    // The end stays in view when the composer grows or a keyboard opens.
    new ResizeObserver(() => {
      this.#height = this.#scroller.clientHeight;
      this.#top = this.#scroller.scrollTop;
      this.#keepPlace();
    }).observe(this.#scroller);
    document.addEventListener("visibilitychange", () => this.#countInTitle(0));
  }

  /** Add a message of one's own at the end; returns its item. */
  addOwn(text) {
    const item = this.#item("You", text);
    item.classList.add("own");
    this.#append(item);
    this.#follow();
    return item;
  }

  /**
   * Add what came from others.
   * @param {unknown} value text, or any other JSON value
   * @param {string} [via] the path it came from, when that is not this page's
   * @returns {HTMLElement} its item
   */
  addOther(value, via = "") {
    const item = this.#other(value);
    item.querySelector(".via").textContent = via;
    this.#append(item);
    if (!this.#following) this.#countUnseen(this.#unseen + 1);
    this.#countInTitle(this.#unseenInTitle + 1);
    return item;
  }

  /** Add a line about the connection. */
  addNote(text, { bad = false } = {}) {
    const item = document.createElement("li");
    item.className = bad ? "note bad" : "note";
    item.textContent = text;
    this.#append(item);
  }

  /** Bring an own message that has come back into the server's order: what arrived since it was shown was before it. */
  settle(item) {
    const overtaken = item.matches(":has(~ .message:not(.own), ~ .own[data-delivery='sent'])");
    if (!overtaken) return;
    item.classList.add("moved");
    this.#list.append(item);
    this.#keepPlace();
  }

  /** Show that something was sent before this page was connected, nobody knows when. */
  untime(item) {
    const time = item.querySelector("time");
    if (!time || item.matches(".own")) return;
    const word = document.createElement("span");
    word.textContent = "earlier";
    word.title = "It was sent before this page was connected.";
    time.replaceWith(word);
  }

  /** Put an own message in the place of another item. */
  replace(item, own) {
    item.replaceWith(own);
    this.#keepPlace();
  }

  /** Put what came from others beside an own message, whose place it has in the server's order; returns its item. */
  standIn(own, value) {
    const item = this.#other(value);
    own.before(item);
    this.#keepPlace();
    return item;
  }

  /**
   * Show how far an own message has come.
   * @param {keyof DELIVERY} delivery
   * @param {{text: string, action: string, act: () => void}} [problem] what is wrong and the way out of it
   */
  mark(item, delivery, problem) {
    const [word, meaning] = DELIVERY[delivery];
    item.dataset.delivery = delivery;
    const label = item.querySelector(".delivery");
    label.textContent = word;
    label.title = meaning;
    item.querySelector(".problem")?.remove();
    if (problem) item.append(problemBox(problem));
    this.#keepPlace();
  }

  remove(item) {
    item.remove();
    this.#empty.hidden = this.#list.childElementCount > 0;
  }

  #other(value) {
    const text = asText(value);
    const item = this.#item("Someone", text ?? JSON.stringify(value));
    if (text === null) item.querySelector(".text").classList.add("data");
    return item;
  }

  #item(who, text) {
    const item = this.#template.content.firstElementChild.cloneNode(true);
    item.querySelector(".who").textContent = `${who}: `;
    item.querySelector(".text").textContent = shortened(text);
    const now = new Date();
    const time = item.querySelector("time");
    time.dateTime = now.toISOString();
    time.title = calendar.format(now);
    time.textContent = clock.format(now);
    return item;
  }

  #append(item) {
    this.#empty.hidden = true;
    this.#list.append(item);
    // Trimming is left to the next frame while the end is followed. A hidden tab has no frames, and a reader who has
    // scrolled up should be moved seldom: for both, it happens once in a while.
    if (this.#list.childElementCount > 1.5 * MOST_ITEMS) this.#trim();
    this.#keepPlace();
  }

  /** Drop the oldest items; a reader who has scrolled up keeps their place. */
  #trim() {
    const surplus = this.#list.childElementCount - MOST_ITEMS;
    if (surplus <= 0) return;
    const height = this.#following ? 0 : this.#scroller.scrollHeight;
    for (let i = 0; i < surplus; i += 1) this.#list.firstElementChild.remove();
    if (this.#following) return;
    this.#top = Math.max(0, this.#scroller.scrollTop - (height - this.#scroller.scrollHeight));
    this.#scroller.scrollTop = this.#top;
  }

  /** Upwards, the reader leaves the end; back near it, they follow again. Being away from the end says nothing: in a
   *  rush of messages the end has moved on before the event for the last scroll arrives. */
  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    if (clientHeight !== this.#height) return; // the window moved the text, not the reader
    const up = scrollTop < this.#top - 1;
    this.#top = scrollTop;
    if (up) this.#following = false;
    else if (scrollHeight - scrollTop - clientHeight < NEAR_END_PX) this.#follow();
  }

  /** At once, not in the next frame: a scroll that is still gliding upwards would have its say before that. */
  #follow() {
    this.#following = true;
    this.#countUnseen(0);
    this.#toEnd();
  }

  #toEnd() {
    this.#trim();
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
  }

  /** Scroll to the end once per frame, however many messages the frame brought. */
  #keepPlace() {
    if (!this.#following || this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.#following) this.#toEnd();
    });
  }

  #countUnseen(count) {
    this.#unseen = count;
    this.#newest.hidden = count === 0;
    this.#newest.textContent = count === 1 ? "1 new message ↓" : `${count} new messages ↓`;
  }

  #countInTitle(count) {
    this.#unseenInTitle = document.hidden ? count : 0;
    document.title = this.#unseenInTitle ? `(${this.#unseenInTitle}) ${this.#title}` : this.#title;
  }
}

/** The text of a value that is text: a string, or an object that holds nothing but a message. Otherwise null. */
export function asText(value) {
  if (typeof value === "string") return value;
  const bare = value && typeof value === "object" && Object.keys(value).length === 1;
  return bare && typeof value.message === "string" ? value.message : null;
}

function shortened(text) {
  if (text.length <= MOST_CHARACTERS) return text;
  return `${text.slice(0, MOST_CHARACTERS)}…\n(cut here: ${text.length.toLocaleString()} characters)`;
}

function problemBox({ text, action, act }) {
  const box = document.createElement("div");
  box.className = "problem";
  const words = document.createElement("span");
  words.textContent = text;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = action;
  button.addEventListener("click", act, { once: true });
  box.append(words, button);
  return box;
}
