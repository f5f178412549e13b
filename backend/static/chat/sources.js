// The panel that shows a passage in its document, with the quote marked.

import { announce } from "./announce.js";
import { byId, make } from "./dom.js";
import { withIcon } from "./icons.js";
import { passageOf } from "./passage.js";
import { placeOf } from "./source_list.js";

const KEPT_TEXTS = 3;

export class SourcePanel {
  #opener = null;
  #showing = 0;
  #texts = new Map();

  constructor(api) {
    this.api = api;
    this.element = byId("panel");
    this.body = byId("panel-body");
    withIcon(byId("panel-close"), "close").addEventListener("click", () => this.close());
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
  }

  get open() { return !this.element.hidden; }

  async show(citation, opener) {
    const showing = ++this.#showing;
    this.#opener = opener;
    this.element.hidden = false;
    byId("panel-title").textContent = placeOf({ document: citation.document });
    this.#put(citation, null, "Reading…");
    this.element.focus();
    const passage = await this.#find(citation);
    if (showing !== this.#showing) return;
    this.#put(citation, passage, passage ? "" : "The document cannot be read any more, or has changed. This was quoted from it:");
    announce(`Quoted from ${placeOf(citation)}: ${citation.quote.slice(0, 400)}`);
  }

  close() {
    if (!this.open) return;
    this.#showing++;
    this.element.hidden = true;
    if (this.#opener?.isConnected) this.#opener.focus();
  }

  /** The shared knowledge has it by its name, or it is a file that somebody brought. */
  async #find(citation) {
    const name = citation.document.split("/").map(encodeURIComponent).join("/");
    for (const path of [`/knowledge/files/${name}`, `/files/${encodeURIComponent(citation.document_id)}/text`]) {
      const text = await this.#text(path, citation).catch(() => null);
      const passage = text === null ? null : passageOf(text, citation);
      if (passage) return passage;
    }
    return null;
  }

  async #text(path, citation) {
    const key = `${path} ${citation.document_id}`; // a document that has changed has another id
    if (!this.#texts.has(key)) {
      const { text } = await this.api.get(path);
      this.#texts.set(key, text);
      if (this.#texts.size > KEPT_TEXTS) this.#texts.delete(this.#texts.keys().next().value);
    }
    return this.#texts.get(key);
  }

  #put(citation, passage, note) {
    const mark = make("mark", { text: passage?.quote ?? citation.quote });
    const cut = () => make("span", { class: "cut", text: "[…]" });
    const text = make("div", { class: "passage", dir: "auto" }, passage?.cutBefore ? cut() : null, passage?.before, mark, passage?.after, passage?.cutAfter ? cut() : null);
    this.body.replaceChildren(make("p", { class: "place small", text: placeOf(citation) }), ...(note ? [make("p", { class: "small", text: note })] : []), text);
    mark.scrollIntoView({ block: "center" });
  }
}
