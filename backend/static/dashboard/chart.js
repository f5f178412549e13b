// A line chart of the last 15 minutes: drawn as SVG, told in a sentence, and there as a table.

import { element, say, shape } from "./elements.js";
import { time } from "./format.js";
import { SPAN_SECONDS } from "./history.js";
import { marks, path } from "./scale.js";
import { fill } from "./table.js";

const HEIGHT = 132, TOP = 10, BOTTOM = 20, RIGHT = 6, LEFT = 52;
const SLOT_SECONDS = 10;

export class Chart {
  #points = [];
  #until = 0;
  #width = 0;

  // `kind`: { title, lines: [{ name, value(point) }], write(value), least, counts, binary }; `least`: what the axis shows
  // at least.
  constructor(kind) {
    this.kind = kind;
    this.svg = shape("svg", { role: "img", height: HEIGHT, "aria-label": kind.title });
    this.readout = element("span", { class: "readout" });
    this.table = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${kind.title}, as a table` });
    this.details = element("details", {}, element("summary", {}, "As a table"), this.table);
    const legend = kind.lines.length > 1 ? kind.lines.map((line, at) => element("span", { class: `key line-${at}` }, line.name)) : [];
    this.element = element(
      "figure", {}, element("figcaption", {}, element("strong", {}, kind.title), this.readout),
      element("p", { class: "legend" }, ...legend), this.svg, this.details,
    );
    this.details.addEventListener("toggle", () => this.#fillTable());
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => this.#point(null));
    new ResizeObserver(([entry]) => this.#resized(entry.contentRect.width)).observe(this.svg);
  }

  // `until`: Unix seconds at the right edge.
  show(points, until) {
    this.#points = points;
    this.#until = until;
    this.#draw();
    this.#fillTable();
  }

  #resized(width) {
    if (Math.round(width) === this.#width) return;
    this.#width = Math.round(width);
    this.#draw();
  }

  #values(line) {
    return this.#points.map((point) => line.value(point)).filter((value) => value !== null && value !== undefined);
  }

  #x(at) {
    return LEFT + (1 - (this.#until - at) / SPAN_SECONDS) * (this.#width - LEFT - RIGHT);
  }

  #draw() {
    if (this.#width < 80) return;
    const { lines, write, least } = this.kind;
    const values = lines.flatMap((line) => this.#values(line));
    const axis = marks(Math.max(least, ...values), this.kind);
    const y = (value) => HEIGHT - BOTTOM - (value / axis.at(-1)) * (HEIGHT - TOP - BOTTOM);
    const drawn = lines.flatMap((line, at) => this.#line(line, at, y)).reverse();
    this.cursor = shape("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.svg.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    this.svg.replaceChildren(...axis.flatMap((mark) => this.#mark(y(mark), write(mark))), ...this.#ages(), ...drawn, ...this.#nothing(values), this.cursor);
    this.svg.setAttribute("aria-label", this.#sentence());
    this.#point(null);
  }

  #mark(y, text) {
    return [
      shape("line", { class: "grid", x1: LEFT, x2: this.#width - RIGHT, y1: y, y2: y }),
      shape("text", { class: "mark", x: LEFT - 6, y: y + 3.5, "text-anchor": "end" }, text),
    ];
  }

  #ages() {
    return [15, 10, 5, 0].map((minutes) =>
      shape("text", { class: "mark", x: this.#x(this.#until - minutes * 60), y: HEIGHT - 5, "text-anchor": minutes ? "middle" : "end" },
        minutes ? `−${minutes} min` : "now"));
  }

  #nothing(values) {
    if (values.length) return [];
    return [shape("text", { class: "mark", x: (LEFT + this.#width - RIGHT) / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "nothing yet")];
  }

  #line(line, at, y) {
    let before = null;
    const places = [];
    for (const point of this.#points) {
      if (before !== null && point.at - before > SLOT_SECONDS * 1.5) places.push(null);
      before = point.at;
      const value = line.value(point);
      places.push(value === null || value === undefined ? null : [this.#x(point.at), y(value)]);
    }
    const { line: through, alone } = path(places);
    const dots = alone.map(([x, height]) => shape("circle", { class: `dot line-${at}`, cx: x, cy: height, r: 2.2 }));
    return through ? [shape("path", { class: `line line-${at}`, d: through }), ...dots] : dots;
  }

  // What who cannot see the lines is told.
  #sentence() {
    const told = this.kind.lines.map((line) => {
      const values = this.#values(line);
      if (!values.length) return `${line.name}: nothing in the last 15 minutes`;
      const write = this.kind.write;
      return `${line.name}: ${write(values.at(-1))} at last, between ${write(Math.min(...values))} and ${write(Math.max(...values))}`;
    });
    return `${this.kind.title}. ${told.join(". ")}.`;
  }

  // The figures below the pointer, else the newest.
  #point(event) {
    const inside = event ? this.#until - (1 - (event.offsetX - LEFT) / (this.#width - LEFT - RIGHT)) * SPAN_SECONDS : null;
    const nearest = inside === null ? this.#points.at(-1) : this.#points.reduce(
      (best, point) => (!best || Math.abs(point.at - inside) < Math.abs(best.at - inside) ? point : best), null);
    if (!nearest) return say(this.readout, "");
    const values = this.kind.lines.map((line) => this.kind.write(line.value(nearest))).join(" / ");
    say(this.readout, event ? `${time(nearest.at)}  ${values}` : values);
    this.cursor?.setAttribute("visibility", event ? "visible" : "hidden");
    for (const end of ["x1", "x2"]) this.cursor?.setAttribute(end, this.#x(nearest.at));
  }

  #fillTable() {
    if (!this.details.open) return;
    const rows = this.#points.toReversed().map((point) => [time(point.at), ...this.kind.lines.map((line) => this.kind.write(line.value(point)))]);
    fill(this.table, ["Time", ...this.kind.lines.map((line) => line.name)], rows, "Nothing yet.");
  }
}
