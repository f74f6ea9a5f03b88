// What is new to the reader: a mark above the first of it, a button that leads there, and a number in the title.
//
// New is what came while the page was away, while its tab was hidden, or while somebody read further up. The mark stays
// where it is until something else is new, or the reader says something.

export class Unread {
  #view;
  #mark = document.createElement("li");
  #button = document.getElementById("newest");
  #title = document.title;
  #count = 0; // below the mark
  #counting = false; // what comes is new, too
  #catchingUp = false; // more is to come of what is new already
  #seen = false; // the mark has been in view
  #behindTab = 0; // came while the tab was hidden
  #shown = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && !this.#catchingUp && this.#markSeen());

  constructor(view) {
    this.#view = view;
    this.#mark.className = "new";
    this.#button.addEventListener("click", () => this.#lead());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#showInTitle(0);
      this.rest();
    });
  }

  /** The name of the page, before which the number stands. */
  set title(text) {
    this.#title = text;
    this.#showInTitle(this.#behindTab);
  }

  /** Called with each message of somebody else's. */
  came(item, { missed }) {
    if (document.hidden) this.#showInTitle(this.#behindTab + 1);
    if (!missed && !document.hidden && this.#view.following) return;
    if (!this.#counting) {
      this.#counting = true;
      this.#seen = false;
      this.#count = 0;
      item.before(this.#mark);
      this.#watchMark();
    }
    this.#count += 1;
    const words = countNew(this.#count);
    this.#mark.textContent = words;
    const way = this.#view.following ? "up" : "down";
    this.#button.dataset.way = way;
    this.#button.textContent = `${words} ${way === "up" ? "↑" : "↓"}`;
    this.#button.hidden = false;
  }

  /** What was said while the page was away is counted together, however many frames it takes to come; whether its mark
   *  is in view is asked when all is there, which may have moved it. */
  set catchingUp(catchingUp) {
    this.#catchingUp = catchingUp;
    if (!catchingUp && this.#mark.isConnected && !this.#seen) this.#watchMark();
  }

  /** What comes from now on is seen as it comes, if the reader is there to see it. */
  rest() {
    if (this.#catchingUp || document.hidden || !this.#view.following) return;
    this.#counting = false;
    if (this.#seen) this.#button.hidden = true;
  }

  /** All has been read. */
  clear() {
    this.#counting = false;
    this.#mark.remove();
    this.#button.hidden = true;
  }

  /** To the first that is new, and from there to the last. */
  #lead() {
    if (this.#mark.isConnected && !this.#seen) this.#view.lead(this.#mark);
    else this.#view.follow();
    document.getElementById("log").focus({ preventScroll: true }); // the button is about to vanish
    this.#markSeen();
  }

  /** The observer tells of an element once, and then of changes; what it saw before this is of no interest. */
  #watchMark() {
    this.#shown.takeRecords();
    this.#shown.unobserve(this.#mark);
    this.#shown.observe(this.#mark);
  }

  #markSeen() {
    this.#seen = true;
    this.#button.hidden = true;
  }

  #showInTitle(count) {
    this.#behindTab = count;
    document.title = count ? `(${count}) ${this.#title}` : this.#title;
  }
}

export function countNew(count) {
  return count === 1 ? "1 new message" : `${count.toLocaleString()} new messages`;
}
