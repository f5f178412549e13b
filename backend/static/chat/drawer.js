// On a phone the list of chats is a drawer over the conversation.

import { byId } from "./dom.js";
import { withIcon } from "./icons.js";

const NARROW = matchMedia("(max-width: 760px)");

export class Drawer {
  constructor() {
    this.element = byId("sidebar");
    withIcon(byId("sidebar-open"), "menu").addEventListener("click", () => this.open());
    withIcon(byId("sidebar-close"), "close").addEventListener("click", () => this.close());
    byId("backdrop").addEventListener("click", () => this.close());
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.shown) { event.stopPropagation(); this.close(); }
    });
    NARROW.addEventListener("change", () => this.close());
  }

  get shown() { return this.element.classList.contains("shown"); }

  open() {
    if (!NARROW.matches) return;
    this.#set(true);
    byId("sidebar-close").focus();
  }

  close() {
    if (!this.shown) return;
    this.#set(false);
    byId("sidebar-open").focus();
  }

  #set(shown) {
    this.element.classList.toggle("shown", shown);
    byId("backdrop").hidden = !shown;
    byId("column").inert = shown;
    byId("sidebar-open").setAttribute("aria-expanded", String(shown));
  }
}
