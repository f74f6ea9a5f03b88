// The window onto the log: it follows the end, until somebody reads further up.

const NEAR_END_PX = 60;

export class View {
  following = true; // the reader is at the end, so the end is kept in view
  #scroller;
  #onFollow;
  #goal; // where the reader was brought, and has not moved since
  #frame = 0;
  #height = 0; // of the window, and
  #top = 0; // where it stood, when last seen

  /** @param {() => void} onFollow is called when the reader is at the end, before it is shown */
  constructor(scroller, onFollow) {
    this.#scroller = scroller;
    this.#onFollow = onFollow;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    for (const hand of ["wheel", "touchmove", "pointerdown", "keydown"]) {
      addEventListener(hand, () => (this.#goal = undefined), { capture: true, passive: true });
    }
    // The end stays in view when the composer grows or a keyboard opens.
    new ResizeObserver(() => {
      this.#height = scroller.clientHeight;
      this.#top = scroller.scrollTop;
      this.keepPlace();
    }).observe(scroller);
  }

  /** At once, not in the next frame: a scroll that is still gliding upwards would have its say before that. */
  follow() {
    this.following = true;
    this.#bring(() => this.#toEnd());
  }

  /** Go to an item, which need not be near the end. */
  lead(item) {
    this.following = false;
    this.#bring(() => item.scrollIntoView({ block: "start" }));
    this.#scrolled();
  }

  /** Scroll to the end once per frame, however many messages the frame brought. */
  keepPlace() {
    if (!this.following || this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.following) this.#toEnd();
    });
  }

  /** Change the log above what is read, which stays where it is. */
  holding(change) {
    const fromEnd = this.#scroller.scrollHeight - this.#scroller.scrollTop;
    change();
    if (this.following) {
      this.keepPlace();
      return;
    }
    this.#scroller.scrollTop = this.#scroller.scrollHeight - fromEnd;
    this.#top = this.#scroller.scrollTop;
  }

  #bring(go) {
    this.#goal = go;
    go();
  }

  /** Upwards, the reader leaves the end; back near it, they follow again. Being away from the end says nothing: in a
   *  rush of messages the end has moved on before the event for the last scroll arrives. Who has been brought somewhere
   *  does not leave by a scroll from before that, which still glides. */
  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    if (clientHeight !== this.#height) return; // the window moved the text, not the reader
    const up = scrollTop < this.#top - 1;
    this.#top = scrollTop;
    if (up && this.#goal) {
      if (this.following) this.#toEnd();
      else this.#goal();
      this.#top = this.#scroller.scrollTop;
    } else if (up) this.following = false;
    else if (scrollHeight - scrollTop - clientHeight < NEAR_END_PX) {
      this.following = true;
      this.#toEnd();
    }
  }

  #toEnd() {
    this.#onFollow();
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#top = this.#scroller.scrollTop;
  }
}
