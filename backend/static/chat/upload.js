// Files brought to a chat: chosen, dropped or pasted, with how far they have come.

import { announce, notice } from "./announce.js";
import { byId, make, oneLine } from "./dom.js";
import { withIcon } from "./icons.js";
import { shelf } from "./store.js";

const POLL_MS = 400;
const MOST_CHATS = 200; // of which an anonymous reader's files are remembered

export class Uploads {
  #shown = 0;

  /** `chat()`: the id of the chat that the files are to belong to, made where there is none yet. */
  constructor({ api, account, maxMegabytes, chat }) {
    Object.assign(this, { api, account, maxMegabytes, chat, list: byId("files") });
    const input = byId("file-input");
    byId("attach").addEventListener("click", () => input.click());
    input.addEventListener("change", () => { this.add([...input.files]); input.value = ""; });
    byId("question").addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (files.length) { event.preventDefault(); this.add(files); }
    });
    this.#dropping(byId("drop"));
  }

  #dropping(veil) {
    let inside = 0;
    const brings = (event) => event.dataTransfer?.types.includes("Files");
    const show = (by) => { inside = Math.max(0, inside + by); veil.hidden = inside === 0; };
    addEventListener("dragenter", (event) => { if (brings(event)) { event.preventDefault(); show(1); } });
    addEventListener("dragleave", (event) => { if (brings(event)) show(-1); });
    addEventListener("dragover", (event) => { if (brings(event)) event.preventDefault(); });
    addEventListener("drop", (event) => {
      if (!brings(event)) return;
      event.preventDefault();
      show(-inside);
      this.add([...event.dataTransfer.files]);
    });
  }

  /** Show the files of another chat. */
  async show(chatId) {
    const showing = ++this.#shown;
    this.list.replaceChildren();
    if (chatId === null) return;
    const files = await this.#filesOf(chatId).catch(() => []);
    if (showing !== this.#shown) return;
    for (const file of files) this.#follow(this.#row(file.original_filename), file, chatId);
  }

  async add(files) {
    if (!files.length) return;
    const rows = files.map((file) => this.#row(file.name));
    try {
      const chatId = await this.chat();
      const token = await this.account.token();
      await Promise.all(files.map((file, index) => this.#bring(file, rows[index], chatId, token)));
    } catch (error) {
      rows.forEach((row) => row.remove());
      notice(error.message);
    }
  }

  async #bring(file, row, chatId, token) {
    if (file.size > this.maxMegabytes * 1024 * 1024) return this.#fail(row, `more than ${this.maxMegabytes} MB`);
    try {
      const body = await sent(file, chatId, token, row);
      this.#keep(chatId, body.file);
      await this.#follow(row, body.file, chatId);
    } catch (error) {
      if (row.isConnected) this.#fail(row, error.message);
    }
  }

  #row(name) {
    const said = oneLine(name);
    const bar = make("progress", { max: "1", value: "0", "aria-label": `Bringing ${said}` });
    const state = make("span", { class: "state" });
    const remove = withIcon(make("button", { type: "button", class: "quiet icon", "aria-label": `Remove ${said}` }), "close");
    const row = make("li", { class: "file" }, make("span", { class: "name", text: said, title: said, dir: "auto" }), bar, state, remove);
    Object.assign(row, { bar, state, said });
    remove.addEventListener("click", () => { row.remove(); row.abort?.(); });
    this.list.append(row);
    return row;
  }

  /** Tell how the reading of a file goes on, until it has ended. */
  async #follow(row, file, chatId) {
    row.querySelector("button").onclick = () => this.#detach(file, chatId);
    let now = { status: file.status, chunks_processed: 0, total_chunks_expected: null };
    while (row.isConnected && (now.status === "uploaded" || now.status === "processing")) {
      row.state.textContent = "reading…";
      row.bar.hidden = false;
      if (now.total_chunks_expected) row.bar.value = now.chunks_processed / now.total_chunks_expected;
      else row.bar.removeAttribute("value");
      await new Promise((done) => setTimeout(done, POLL_MS));
      now = await this.api.get(`/files/status/${file.file_id}`).catch((error) => ({ status: "failed", error_message: error.message }));
    }
    if (!row.isConnected) return;
    row.bar.hidden = true;
    if (now.status === "failed") return this.#fail(row, now.error_message ?? "could not be read");
    row.state.textContent = "ready";
    row.dataset.status = "ready";
    announce(`${row.said} is ready`);
  }

  #fail(row, why) {
    row.classList.add("bad");
    row.dataset.status = "failed";
    row.bar.hidden = true;
    row.state.textContent = oneLine(why);
    announce(`${row.said}: ${why}`);
  }

  async #detach(file, chatId) {
    const kept = shelf.get("files") ?? {};
    if (kept[chatId]) shelf.set("files", { ...kept, [chatId]: kept[chatId].filter((one) => one.file_id !== file.file_id) });
    await this.api.post(`/files/${file.file_id}/detach`, { chat_id: chatId }).catch((error) => notice(error.message));
  }

  /** An anonymous caller's files are in no list: their ids are kept here, as the chats' are. */
  #keep(chatId, file) {
    if (this.account.signedIn) return;
    const kept = shelf.get("files") ?? {};
    const files = (kept[chatId] ?? []).filter((one) => one.file_id !== file.file_id);
    files.push({ file_id: file.file_id, original_filename: file.original_filename, status: "processing" });
    shelf.set("files", Object.fromEntries([...Object.entries(kept).filter(([id]) => id !== chatId), [chatId, files]].slice(-MOST_CHATS)));
  }

  async #filesOf(chatId) {
    if (!this.account.signedIn) return shelf.get("files")?.[chatId] ?? [];
    const page = await this.api.get("/files?page_size=100");
    return page.items.filter((file) => file.chat_ids.includes(chatId));
  }
}

/** `fetch` does not tell how much has left, so this is an XMLHttpRequest. */
function sent(file, chatId, token, row) {
  return new Promise((done, failed) => {
    const form = new FormData();
    form.append("chat_id", chatId);
    form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", "/api/v1/files/upload");
    request.responseType = "json";
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = (event) => { if (event.lengthComputable) row.bar.value = event.loaded / event.total; };
    request.onload = () => (request.status === 202 ? done(request.response) : failed(new Error(request.response?.detail ?? `The server answered ${request.status}.`)));
    row.abort = () => request.abort();
    request.onabort = () => failed(new Error("It was removed."));
    request.onerror = () => failed(new Error("The file could not be sent."));
    request.send(form);
  });
}
