// What stands where nothing was asked yet: examples, or the chosen agent's own starters.

import { byId, button, make, oneLine } from "./dom.js";

export class Welcome {
  constructor(ask) {
    this.ask = ask;
    this.element = byId("welcome");
    this.list = byId("examples");
    this.examples = [...this.list.querySelectorAll("button")].map((one) => ({ name: one.textContent, message: one.textContent }));
    this.offer(null);
  }

  show(shown) { this.element.hidden = !shown; }

  offer(starters) {
    const offered = starters?.length ? starters : this.examples;
    this.list.replaceChildren(...offered.map(({ name, message }) => make("li", {}, button(oneLine(name), () => this.ask(message), { title: message === name ? null : message, dir: "auto" }))));
  }
}
