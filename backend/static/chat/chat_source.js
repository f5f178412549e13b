// Where the list of chats comes from: the server for a signed-in user. Nobody's chats are in nobody's list, so of these
// this browser keeps the ids and titles itself.

import { onOtherTab, shelf } from "./store.js";

const KEPT = "chats";
const MOST = 200;
const PAGE = 30;

export class ChatSource extends EventTarget {
  constructor(api, account) {
    super();
    this.api = api;
    this.account = account;
    onOtherTab(KEPT, () => this.dispatchEvent(new Event("change")));
  }

  get ours() { return !this.account.signedIn; }

  /** {items: [{id, title, is_archived}], more} */
  async page(number, query, archived) {
    if (this.account.closed) return { items: [], more: false };
    if (this.ours) return { items: this.#matching(query), more: false };
    const params = new URLSearchParams({ page: number, page_size: PAGE, archived });
    if (query) params.set("q", query);
    const page = await this.api.get(`/chats?${params}`);
    return { items: page.items, more: page.page < page.pages };
  }

  /** One chat; of an anonymous one the title is kept here. */
  async one(id) {
    const chat = await this.api.get(`/chats/${id}`);
    if (this.ours) this.note(id, chat.title);
    return chat;
  }

  /** Keep an anonymous chat's id, at the top. */
  note(id, title) {
    if (!this.ours) return;
    const old = this.#kept().find((chat) => chat.id === id);
    const rest = this.#kept().filter((chat) => chat.id !== id);
    shelf.set(KEPT, [{ id, title: title ?? old?.title ?? "" }, ...rest].slice(0, MOST));
  }

  /** Forget an anonymous chat: it stays on the server until it is deleted there, and nobody finds it. */
  forget(id) { shelf.set(KEPT, this.#kept().filter((chat) => chat.id !== id)); }

  async rename(id, title) {
    await this.api.patch(`/chats/${id}`, { title });
    if (this.ours) shelf.set(KEPT, this.#kept().map((chat) => (chat.id === id ? { ...chat, title } : chat)));
  }

  archive(id, archived) { return this.api.patch(`/chats/${id}`, { is_archived: archived }); }

  async remove(id) {
    await this.api.delete(`/chats/${id}`).catch((error) => { if (error.status !== 404) throw error; });
    this.forget(id);
  }

  #kept() { return shelf.get(KEPT) ?? []; }

  #matching(query) {
    const words = (query ?? "").toLocaleLowerCase();
    return this.#kept().filter((chat) => (chat.title ?? "").toLocaleLowerCase().includes(words));
  }
}
