// A table of texts, drawn anew only where it says something else than before.

import { element } from "./elements.js";

const shown = new WeakMap();

// `rows`: lists of texts, or { text, label, tone } for a cell with a class. Without rows there is only `nothing`.
export function fill(place, headings, rows, nothing) {
  const told = JSON.stringify(rows);
  if (shown.get(place) === told) return;
  shown.set(place, told);
  if (!rows.length) return place.replaceChildren(element("p", { class: "nothing" }, nothing));
  const head = element("tr", {}, ...headings.map((text) => element("th", { scope: "col" }, text)));
  const body = rows.map((row) => element("tr", {}, ...row.map(cell)));
  return place.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
}

function cell(value) {
  return typeof value === "string" ? element("td", {}, value) : element("td", { class: value.tone }, value.text);
}
