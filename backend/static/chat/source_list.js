// The sources below an answer.

import { make, oneLine } from "./dom.js";

/** The name of a passage's place, for people. */
export function placeOf({ document, section, page }) {
  const parts = [oneLine(document)];
  if (section) parts.push(oneLine(section));
  if (page) parts.push(`page ${page}`);
  return parts.join(" › ");
}

/** Null where there are none. */
export function sourceList(citations, open) {
  if (!citations.length) return null;
  const items = citations.map((citation) => {
    const place = placeOf(citation);
    const chip = make("button", { type: "button", title: place, onclick: () => open(citation, chip) },
      make("span", { class: "n", text: String(citation.id) }), make("span", { class: "place", text: place, dir: "auto" }));
    return make("li", {}, chip);
  });
  return make("ul", { class: "sources", "aria-label": "Sources" }, ...items);
}
