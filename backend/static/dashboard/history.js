// The points of the last 15 minutes, each of ten seconds.

export const SPAN_SECONDS = 900;

export class History {
  #points = new Map();

  // Puts `points` in place of all; true where that changed anything.
  replace(points) {
    this.#points.clear();
    this.add(points);
  }

  // Adds those that are not here yet; says whether there were any.
  add(points) {
    const before = this.#points.size ? this.newest : null;
    for (const point of points) this.#points.set(point.slot, point);
    for (const [slot, point] of this.#points) if (point.at < this.newest - SPAN_SECONDS) this.#points.delete(slot);
    return this.newest !== before;
  }

  // The oldest first.
  get points() {
    return [...this.#points.values()];
  }

  // When the newest one ended, in Unix seconds.
  get newest() {
    return Math.max(0, ...this.points.map((point) => point.at));
  }
}
