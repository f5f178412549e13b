// The list of chats at the side: search, open, rename, archive, export, delete.

import { announce, notice } from "./announce.js";
import { byId, make, oneLine } from "./dom.js";
import { confirmed } from "./dialog.js";
import { download } from "./download.js";
import { withIcon } from "./icons.js";
import { openMenu } from "./menu.js";

const SEARCH_MS = 200;
const UNTITLED = "Untitled chat";

/** Events: `open` (detail: id), `gone` (detail: id), `renamed` (detail: {id, title}). */
export class ChatList extends EventTarget {
  #page = 1;
  #load = 0;
  #timer = 0;
  #named = new Map();
  current = null;

  constructor(source, api) {
    super();
    Object.assign(this, { source, api, list: byId("chats"), search: byId("chat-search"), archived: byId("show-archived"), more: byId("chats-more") });
    this.search.addEventListener("input", () => { clearTimeout(this.#timer); this.#timer = setTimeout(() => this.refresh(), SEARCH_MS); });
    this.search.addEventListener("keydown", (event) => this.#searchKeys(event));
    this.archived.addEventListener("change", () => this.refresh());
    this.more.addEventListener("click", () => this.#next());
    this.list.addEventListener("keydown", (event) => this.#keys(event));
    source.addEventListener("change", () => this.refresh());
  }

  /** Read the list anew, from its first page. */
  async refresh() {
    this.#page = 1;
    byId("archived-choice").hidden = this.source.ours;
    await this.#fetch((rows) => this.#replace(rows));
  }

  /** New rows in place of the old ones. Whoever is in the list with the keyboard stays where they are. */
  #replace(rows) {
    const focused = this.list.contains(document.activeElement) && document.activeElement;
    if (focused && focused.tagName === "INPUT") return; // a title is being written; the list is read again after it
    const id = focused && focused.closest("li").dataset.id;
    const within = focused && focused.classList.contains("more") ? ".more" : ".chat";
    this.list.replaceChildren(...rows);
    if (focused) (rows.find((row) => row.dataset.id === id)?.querySelector(within) ?? this.search).focus();
  }

  /** What a chat is called until it has a title. */
  call(id, title) { this.#named = new Map([...this.#named, [id, title]].slice(-20)); }

  select(id) {
    this.current = id;
    for (const row of this.list.children) this.#mark(row);
  }

  #mark(row) {
    const open = row.dataset.id === this.current;
    row.classList.toggle("open", open);
    if (open) row.querySelector(".chat")?.setAttribute("aria-current", "page");
    else row.querySelector(".chat")?.removeAttribute("aria-current");
  }

  #next() {
    this.#page++;
    return this.#fetch((rows) => this.list.append(...rows));
  }

  async #fetch(put) {
    const load = ++this.#load;
    const query = this.search.value.trim();
    try {
      const { items, more } = await this.source.page(this.#page, query, this.archived.checked && !this.source.ours);
      if (load !== this.#load) return;
      put(items.map((chat) => this.#row(chat)));
      this.more.hidden = !more;
      byId("chats-note").textContent = this.list.children.length ? "" : query ? "Nothing found." : "No chats yet.";
      if (query) announce(`${this.list.children.length} chats found`);
    } catch (error) {
      if (load === this.#load && error.status !== 401) byId("chats-note").textContent = error.message;
    }
  }

  #row(chat) {
    const title = oneLine(chat.title ?? this.#named.get(chat.id)) || UNTITLED;
    const name = make("button", { type: "button", class: "chat", title, onclick: () => this.#tell("open", chat.id) }, make("span", { text: title, dir: "auto" }));
    const more = withIcon(make("button", { type: "button", class: "quiet icon more", "aria-label": `More for ${title}`, "aria-haspopup": "menu", "aria-expanded": "false" }), "dots");
    const row = make("li", { "data-id": chat.id }, name, more);
    more.addEventListener("click", () => openMenu(more, this.#actions(chat)));
    this.#mark(row);
    return row;
  }

  #actions(chat) {
    const exported = (format) => download(this.api, `/chats/${chat.id}/export?format=${format}`, `chat-${chat.id}.${format}`);
    const actions = [
      ["Rename", () => this.#rename(chat)],
      ["Export as Markdown", () => this.#try(() => exported("md"))],
      ["Export as JSON", () => this.#try(() => exported("json"))],
    ];
    if (this.source.ours) actions.push(["Forget here", () => this.#forget(chat)]);
    else actions.push([chat.is_archived ? "Unarchive" : "Archive", () => this.#archive(chat)]);
    return [...actions, ["Delete", () => this.#remove(chat), "bad"]];
  }

  #rename(chat) {
    const row = this.list.querySelector(`[data-id="${CSS.escape(chat.id)}"]`); // the list may have been read anew
    if (!row) return;
    const field = make("input", { type: "text", maxlength: "255", "aria-label": "Title" });
    field.value = oneLine(chat.title);
    const before = [...row.children];
    let over = false;
    const end = async (keep) => {
      if (over) return;
      over = true;
      const title = field.value.trim();
      row.replaceChildren(...before);
      before[0].focus();
      if (!keep || !title || title === chat.title) return;
      await this.#try(async () => {
        await this.source.rename(chat.id, title);
        await this.refresh();
        this.#tell("renamed", { id: chat.id, title });
      });
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.isComposing) end(true);
      else if (event.key === "Escape") end(false);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    field.addEventListener("blur", () => end(true));
    row.replaceChildren(field);
    field.select();
  }

  #archive(chat) {
    return this.#try(async () => {
      await this.source.archive(chat.id, !chat.is_archived);
      announce(chat.is_archived ? "Back among the chats" : "Archived");
      await this.refresh();
    });
  }

  async #forget(chat) {
    this.source.forget(chat.id);
    await this.refresh();
    this.#tell("gone", chat.id);
  }

  async #remove(chat) {
    if (!(await confirmed("Delete this chat?", `“${oneLine(chat.title) || UNTITLED}” and all its messages will be gone.`, "Delete"))) return;
    await this.#try(async () => {
      await this.source.remove(chat.id);
      announce("Deleted");
      await this.refresh();
      this.#tell("gone", chat.id);
    });
  }

  async #try(work) {
    try {
      await work();
    } catch (error) {
      notice(error.message);
    }
  }

  #searchKeys(event) {
    if (event.key === "ArrowDown") {
      event.preventDefault();
      this.list.querySelector(".chat")?.focus();
    } else if (event.key === "Escape" && this.search.value) {
      event.stopPropagation();
      this.search.value = "";
      this.refresh();
    }
  }

  #keys(event) {
    const names = [...this.list.querySelectorAll(".chat")];
    const now = names.indexOf(document.activeElement);
    if (now < 0) return;
    const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) {
      if (event.key === "F2") names[now].nextElementSibling.click();
      return;
    }
    event.preventDefault();
    if (to < 0) this.search.focus();
    else names[Math.min(to, names.length - 1)].focus();
  }

  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}
