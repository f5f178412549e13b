// What is said to people who listen to the page: whole sentences, now and then, never word by word.

import { byId } from "./dom.js";

let timer = 0;

export function announce(text) {
  const place = byId("polite");
  clearTimeout(timer);
  place.textContent = "";
  timer = setTimeout(() => { place.textContent = text; }, 50); // the same sentence twice is said twice
}

/** A fault that concerns no single answer. */
export function notice(text) {
  const place = byId("notice");
  place.textContent = text;
  place.hidden = false;
  clearTimeout(place.timer);
  place.timer = setTimeout(() => { place.hidden = true; }, 6000);
}
