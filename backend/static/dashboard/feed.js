// The live figures: server-sent events, joined again after a break, left while nobody looks.

const PAUSES = [1000, 2000, 5000, 10000];

export class Feed {
  #source = null;
  #timer = 0;
  #failed = 0;

  // `told` has the methods history(body), frame(body), lost() and live().
  constructor(url, told) {
    this.url = url;
    this.told = told;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#leave() : this.#join()));
    addEventListener("online", () => this.#join());
    this.#join();
  }

  #join() {
    if (document.hidden) return;
    this.#leave();
    const source = (this.#source = new EventSource(this.url));
    source.addEventListener("history", (event) => this.told.history(JSON.parse(event.data)));
    source.addEventListener("frame", (event) => {
      this.#failed = 0;
      this.told.live();
      this.told.frame(JSON.parse(event.data));
    });
    source.addEventListener("error", () => this.#broken());
  }

  #leave() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  // The browser's own way to try again ends at the first answer that is no stream.
  #broken() {
    this.#leave();
    this.told.lost();
    this.#timer = setTimeout(() => this.#join(), PAUSES[Math.min(this.#failed, PAUSES.length - 1)]);
    this.#failed += 1;
  }
}
