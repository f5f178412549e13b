// Who is signed in: the tokens of a login, renewed before they end, the same in all tabs.

import { onOtherTab, shelf } from "./store.js";

const KEPT = "login";
const EARLY_MS = 60_000; // renewed so long before the end

export class Account extends EventTarget {
  #timer = 0;
  #renewing = null;

  constructor(required) {
    super();
    this.required = required;
    onOtherTab(KEPT, () => this.#changed());
    this.#plan();
  }

  get login() { return shelf.get(KEPT); }
  get signedIn() { return this.login !== null; }
  get username() { return this.login?.username ?? ""; }
  /** Nothing can be asked before somebody signs in. */
  get closed() { return this.required && !this.signedIn; }

  /** An access token that is good for a while, or null where nobody is signed in. */
  async token() {
    const login = this.login;
    if (login === null) return null;
    if (Date.now() < login.ends - 5_000) return login.access;
    return (await this.renew(login.access)) ? this.login.access : null;
  }

  async signIn(username, password) {
    const answer = await post("login", { username, password });
    if (!answer.ok) throw new Error(await reason(answer));
    this.#keep(await answer.json(), username.trim());
  }

  async register(username, email, password) {
    const answer = await post("register", { username, email, password });
    if (!answer.ok) throw new Error(await reason(answer));
    await this.signIn(username, password);
  }

  async signOut() {
    const login = this.login;
    this.#forget();
    if (login === null) return;
    const headers = { Authorization: `Bearer ${login.access}` };
    await post("logout", { refresh_token: login.refresh }, headers).catch(() => {}); // it ends by itself, too
  }

  /** Get the next pair of tokens in place of `refused`; false where that cannot be, and nobody is signed in any more.
   *  A refresh token is good once, so one tab at a time does it, and others take what it got.
   */
  renew(refused) {
    this.#renewing ??= oneTab(() => this.#renew(refused)).finally(() => { this.#renewing = null; });
    return this.#renewing;
  }

  async #renew(refused) {
    const login = this.login;
    if (login === null) return false;
    if (login.access !== refused) return true; // another tab was quicker
    const answer = await post("refresh", { refresh_token: login.refresh });
    if (answer.ok) this.#keep(await answer.json(), login.username);
    else if (answer.status === 401) this.#forget();
    else throw new Error(await reason(answer)); // the server has a bad moment: the login may still hold
    return answer.ok;
  }

  #keep(pair, username) {
    const ends = Date.now() + pair.expires_in * 1000;
    shelf.set(KEPT, { username, access: pair.access_token, refresh: pair.refresh_token, ends });
    this.#changed();
  }

  #forget() {
    shelf.remove(KEPT);
    this.#changed();
  }

  #changed() {
    this.#plan();
    this.dispatchEvent(new Event("change"));
  }

  #plan() {
    clearTimeout(this.#timer);
    const login = this.login;
    if (login === null) return;
    const wait = Math.max(1000, login.ends - Date.now() - EARLY_MS);
    this.#timer = setTimeout(() => { this.renew(login.access).catch(() => this.#plan()); }, Math.min(wait, 2 ** 30));
  }
}

function post(way, body, headers = {}) {
  return fetch(`/api/v1/auth/${way}`, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });
}

async function reason(answer) {
  const body = await answer.json().catch(() => ({}));
  return body.errors?.map((error) => `${error.loc.at(-1)}: ${error.msg}`).join("; ") || body.detail || `The server answered ${answer.status}.`;
}

/** `work` in one tab at a time, where the browser can say so (secure contexts). */
function oneTab(work) {
  return navigator.locks ? navigator.locks.request("askgraph.renew", work) : work();
}
