// The newest words stay in view, unless the reader has gone elsewhere.

const NEAR = 60; // pixels from the end that count as being there

export class Scroll {
  #planned = false;
  atEnd = true;

  constructor(scroller, toEnd) {
    this.scroller = scroller;
    scroller.addEventListener("scroll", () => {
      this.atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
      toEnd.hidden = this.atEnd;
    }, { passive: true });
    toEnd.addEventListener("click", () => this.toEnd());
  }

  /** Something has grown: once a frame, and without measuring anything. */
  grown(always = false) {
    if (always) this.atEnd = true;
    if (!this.atEnd || this.#planned) return;
    this.#planned = true;
    requestAnimationFrame(() => {
      this.#planned = false;
      if (this.atEnd) this.scroller.scrollTop = 1e9;
    });
  }

  toEnd() { this.grown(true); }
}
