// Signing in and up, and who is signed in.

import { byId, button, make, oneLine } from "./dom.js";

export class SignIn {
  #dialog = null;

  constructor(account) {
    this.account = account;
    this.place = byId("account");
    account.addEventListener("change", () => this.#show());
    this.#show();
  }

  /** Ask for a sign-in. Where nothing can be done without one the dialog cannot be left. */
  ask(registering = false) {
    if (this.#dialog) return;
    const dialog = make("dialog", { "aria-labelledby": "sign-in-title" });
    this.#dialog = dialog;
    dialog.addEventListener("cancel", (event) => { if (this.account.closed) event.preventDefault(); });
    dialog.addEventListener("close", () => { dialog.remove(); this.#dialog = null; });
    this.#fill(registering);
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("input").focus();
  }

  #show() {
    if (this.account.signedIn) {
      const name = oneLine(this.account.username);
      this.#dialog?.close();
      this.place.replaceChildren(make("span", { class: "who", text: name, title: name, dir: "auto" }), button("Sign out", () => this.account.signOut(), { class: "quiet" }));
    } else {
      this.place.replaceChildren(button("Sign in", () => this.ask(), { class: "quiet" }), button("Sign up", () => this.ask(true), { class: "quiet" }));
      if (this.account.closed) this.ask();
    }
  }

  #fill(registering) {
    const title = registering ? "Sign up" : "Sign in";
    const fault = make("p", { class: "bad", role: "alert" });
    const submit = make("button", { type: "submit", class: "primary", text: title });
    const form = make("form", { method: "dialog" },
      field("User name", "username", { autocomplete: "username", minlength: "3", maxlength: "50", autocapitalize: "none", spellcheck: "false" }),
      registering ? field("Email", "email", { type: "email", autocomplete: "email" }) : null,
      field("Password", "password", { type: "password", autocomplete: registering ? "new-password" : "current-password", minlength: registering ? "8" : null, maxlength: "200" }),
      fault,
      make("div", { class: "row" },
        button(registering ? "I have an account" : "I have no account", () => { this.#fill(!registering); this.#dialog.querySelector("input").focus(); }, { class: "quiet" }),
        this.account.closed ? null : button("Cancel", () => this.#dialog.close()), submit));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      submit.disabled = true;
      fault.textContent = "";
      const { username, email, password } = Object.fromEntries(new FormData(form));
      try {
        await (registering ? this.account.register(username, email, password) : this.account.signIn(username, password));
      } catch (error) {
        fault.textContent = error.message;
        submit.disabled = false;
      }
    });
    this.#dialog.replaceChildren(make("h2", { id: "sign-in-title", text: title }), form);
  }
}

function field(label, name, facts) {
  const given = Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== null));
  return make("label", { text: label }, make("input", { type: "text", name, required: true, ...given }));
}
