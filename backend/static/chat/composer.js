// Where questions are written.

import { byId } from "./dom.js";
import { tabShelf } from "./store.js";

/** Events: `ask` (detail: the question), `stop`. */
export class Composer extends EventTarget {
  constructor(maxChars) {
    super();
    this.field = byId("question");
    this.send = byId("send");
    this.stop = byId("stop");
    this.field.maxLength = maxChars;
    this.field.value ||= tabShelf.get("draft") ?? ""; // somebody may have begun before this was here
    byId("ask").addEventListener("submit", (event) => { event.preventDefault(); this.#ask(); });
    this.field.addEventListener("keydown", (event) => this.#keys(event));
    this.field.addEventListener("input", () => this.#changed());
    this.stop.addEventListener("click", () => this.dispatchEvent(new Event("stop")));
    this.#changed();
  }

  set busy(busy) {
    const focused = document.activeElement === (busy ? this.send : this.stop);
    this.send.hidden = busy;
    this.stop.hidden = !busy;
    if (focused) (busy ? this.stop : this.field).focus();
  }

  focus() {
    if (matchMedia("(pointer: fine)").matches) this.field.focus(); // elsewhere it would open the keyboard
  }

  set text(text) {
    this.field.value = text;
    this.#changed();
  }

  #keys(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("ask").requestSubmit();
  }

  #ask() {
    const question = this.field.value.trim();
    if (question.length < 3 || this.send.hidden) return;
    this.text = "";
    this.dispatchEvent(new CustomEvent("ask", { detail: question }));
  }

  #changed() {
    tabShelf.set("draft", this.field.value);
    this.send.disabled = this.field.value.trim().length < 3;
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${Math.min(this.field.scrollHeight, innerHeight * 0.4)}px`;
  }
}
