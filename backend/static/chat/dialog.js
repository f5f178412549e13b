// Questions that have to be answered before anything else.

import { button, make } from "./dom.js";

/** Ask yes or no. The safe answer has the focus. */
export function confirmed(title, text, yes) {
  return new Promise((answer) => {
    const dialog = make("dialog", { "aria-labelledby": "dialog-title" });
    const close = (value) => { dialog.close(); answer(value); };
    dialog.append(make("h2", { id: "dialog-title", text: title }), make("p", { text }),
      make("div", { class: "row" }, button("Cancel", () => close(false), { autofocus: true }), button(yes, () => close(true), { class: "danger" })));
    dialog.addEventListener("cancel", () => answer(false));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  });
}
