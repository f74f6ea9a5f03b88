// What was said before: it is loaded when somebody reads so far back that they would see it.

const AT_ONCE = 50;
const AHEAD = "400px"; // it is loaded before it is seen

export class Older {
  #log;
  #add;
  #room = null;
  #loading = false;
  #line = document.getElementById("older");
  #near = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && this.#load(), {
    root: document.getElementById("log"),
    rootMargin: `${AHEAD} 0px 0px`,
  });

  /** @param {(signals: object[]) => void} add puts what was said before above all else */
  constructor(log, add) {
    this.#log = log;
    this.#add = add;
    log.onTrim = () => this.#look();
  }

  /** Called when a room is open that keeps what is said, and has told what it tells to those who come. */
  open(room) {
    this.#room = room;
    this.#look();
  }

  /** Called when there is no line to ask by. */
  pause() {
    this.#room = null;
  }

  #look() {
    this.#line.textContent = "";
    this.#near.unobserve(this.#line); // it tells of an element once, and then of changes
    this.#near.observe(this.#line);
  }

  async #load() {
    const room = this.#room;
    const before = this.#log.oldest;
    if (!room || !before || this.#loading) return;
    if (this.#log.isFull) {
      this.#line.textContent = "This page shows no more than this at one time.";
      return;
    }
    this.#loading = true;
    this.#line.textContent = "Loading what was said before …";
    let more = false;
    try {
      const told = await room.history({ before, limit: AT_ONCE });
      if (room === this.#room && before === this.#log.oldest) this.#add(told.signals);
      more = told.more;
    } catch (error) {
      more = error.code === "closed" || error.code === "timeout"; // else the server has nothing that is older
    }
    this.#loading = false;
    if (more) this.#look();
    else this.#line.textContent = "Nothing older is kept.";
  }
}
