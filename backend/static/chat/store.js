// What this browser keeps between visits. Without storage (private windows, full disks) it is kept until the page closes.

const PREFIX = "askgraph.";

class Shelf {
  #area;
  #here = new Map();
  constructor(area) { this.#area = area; }
  get(name) {
    try {
      const text = this.#area().getItem(PREFIX + name);
      if (text !== null) return JSON.parse(text);
    } catch {
      // not readable: as if it were not there
    }
    return this.#here.get(name) ?? null;
  }
  set(name, value) {
    this.#here.set(name, value);
    try {
      this.#area().setItem(PREFIX + name, JSON.stringify(value));
    } catch {
      // it stays in #here
    }
  }
  remove(name) {
    this.#here.delete(name);
    try {
      this.#area().removeItem(PREFIX + name);
    } catch {
      // nothing was there
    }
  }
}

/** Of this browser. */
export const shelf = new Shelf(() => localStorage);
/** Of this tab: it outlives a refresh. */
export const tabShelf = new Shelf(() => sessionStorage);

/** Another tab has changed what is kept under `name`. */
export function onOtherTab(name, told) {
  addEventListener("storage", (event) => { if (event.key === PREFIX + name) told(); });
}
