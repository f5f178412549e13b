// What is done for an answer while it is made, and the tools that ask before they do something.

import { announce } from "./announce.js";
import { button, make, oneLine } from "./dom.js";

const WORDS = {
  retrieve: "Looking for passages",
  search_knowledge_base: "Searching the knowledge",
  read_knowledge_file: "Reading a document",
};

export class Steps {
  #rows = new Map();

  /** `approve(callId, yes)`: true where the answer was sent. */
  constructor(approve) {
    this.approve = approve;
    this.summary = make("summary");
    this.list = make("ul");
    this.box = make("details", { class: "steps", hidden: true }, this.summary, this.list);
    this.waits = make("div"); // behind what was written so far
  }

  clear() {
    this.#rows.clear();
    this.list.replaceChildren();
    this.waits.replaceChildren();
    this.box.hidden = true;
  }

  waiting() {
    this.box.hidden = false;
    this.box.classList.add("busy");
    this.summary.textContent = "Thinking";
  }

  take(frame) {
    const key = frame.call_id ?? frame.name;
    if (frame.state === "approval_required") return this.#ask(frame);
    this.waits.querySelector(`[data-call="${CSS.escape(key)}"]`)?.remove();
    const words = WORDS[frame.name] ?? oneLine(frame.name).replaceAll("_", " ");
    const row = this.#row(key, frame.state === "started");
    const detail = frame.detail ? `: ${oneLine(frame.detail)}` : "";
    row.textContent = `${words}${frame.state === "failed" ? " (failed)" : ""}${detail}`;
    row.className = `step ${frame.state}`;
    this.summary.textContent = words;
  }

  end() {
    this.waits.replaceChildren();
    this.box.classList.remove("busy");
    const count = this.list.children.length;
    this.box.hidden = count === 0;
    this.summary.textContent = count === 1 ? "1 step" : `${count} steps`;
  }

  /** The row of what goes on; what is begun once more has a row of its own. */
  #row(key, begun) {
    if (!begun && this.#rows.has(key)) return this.#rows.get(key);
    const row = make("li");
    this.#rows.set(key, row);
    this.list.append(row);
    return row;
  }

  #ask({ call_id: callId, name, detail }) {
    const answer = (approved) => {
      if (!this.approve(callId, approved)) return;
      for (const one of box.querySelectorAll("button")) one.disabled = true;
    };
    const title = `May ${oneLine(name).replaceAll("_", " ")} be run?`;
    const box = make("div", { class: "approval", role: "group", "aria-label": title, "data-call": callId },
      make("p", { text: title }),
      detail ? make("code", { text: detail }) : null,
      make("div", { class: "row" }, button("Allow", () => answer(true), { class: "primary" }), button("Decline", () => answer(false))));
    this.waits.querySelector(`[data-call="${CSS.escape(callId)}"]`)?.remove();
    this.waits.append(box);
    this.summary.textContent = "Waiting for you";
    announce(`${title} Allow or decline.`);
  }
}
