// The one WebSocket: connects, signs in, comes back after a cut with growing pauses, and notices a dead line.

const RETRY_MS = [100, 300, 800, 2000, 4000, 8000];
const SILENCE_MS = 40_000; // a heartbeat comes every 30 s
const PONG_MS = 5_000;
const SIGN_IN_NEEDED = 4401;
const STEADY_MS = 5_000; // a connection that held so long begins again with short pauses

/** Events: `frame` (detail: the frame), `ready` (questions may be sent), `state` (detail: connecting, connected,
 *  offline or closed). */
export class Connection extends EventTarget {
  #socket = null;
  #attempts = 0;
  #timer = 0;
  #quiet = 0;
  #since = 0;
  #token = null;
  state = "connecting";
  ready = false;

  constructor(account) {
    super();
    this.account = account;
    account.addEventListener("change", () => this.#accountChanged());
    addEventListener("online", () => this.#look());
    addEventListener("offline", () => this.#look());
    addEventListener("pageshow", (event) => { if (event.persisted) this.#look(); });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#look(); });
  }

  connect() {
    clearTimeout(this.#timer);
    this.#leave();
    if (this.account.closed) return this.#become("closed");
    if (this.state !== "offline") this.#become("connecting");
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/ask`);
    this.#socket = socket;
    socket.onmessage = (event) => { if (socket === this.#socket) this.#hear(JSON.parse(event.data)); };
    socket.onclose = (event) => { if (socket === this.#socket) this.#closed(event.code); };
  }

  /** False where the frame cannot be sent now. */
  send(frame) {
    if (!this.ready || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #hear(frame) {
    this.#listen();
    if (frame.type === "heartbeat" || frame.type === "pong") return;
    if (frame.status === "connected") return this.#hello();
    if (frame.status === "authenticated") return this.#isReady();
    this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
  }

  async #hello() {
    const socket = this.#socket;
    const token = await this.account.token().catch(() => this.account.login?.access ?? null);
    if (socket !== this.#socket) return;
    this.#token = token;
    if (token === null) return this.account.closed ? this.connect() : this.#isReady();
    socket.send(JSON.stringify({ type: "auth", token }));
  }

  #isReady() {
    this.#since = Date.now();
    const again = this.ready;
    this.ready = true;
    this.#become("connected");
    if (!again) this.dispatchEvent(new Event("ready"));
  }

  #closed(code) {
    this.#leave();
    if (Date.now() - this.#since > STEADY_MS) this.#attempts = 0;
    this.#since = Date.now();
    const wait = RETRY_MS[Math.min(this.#attempts++, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2);
    this.#become(this.#attempts > 1 || !navigator.onLine ? "offline" : "connecting");
    const again = () => { this.#timer = setTimeout(() => this.connect(), wait); };
    if (code === SIGN_IN_NEEDED && this.#token !== null) this.account.renew(this.#token).then(again, again);
    else again();
  }

  #leave() {
    clearTimeout(this.#quiet);
    this.ready = false;
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState < WebSocket.CLOSING) socket.close();
  }

  /** Frames come: the line is alive for a while. */
  #listen() {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#ask(), SILENCE_MS);
  }

  #ask() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send('{"type":"ping"}');
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => { this.#attempts = 0; this.#closed(1006); }, PONG_MS);
  }

  /** Something may have changed outside: ask over the line that is there, or connect at once. */
  #look() {
    if (this.#socket?.readyState === WebSocket.OPEN) return this.#ask();
    if (navigator.onLine && this.#socket === null) this.connect();
  }

  async #accountChanged() {
    const token = this.account.login?.access ?? null;
    if (token === this.#token && this.#socket) return;
    const same = this.#token !== null && token !== null && this.ready;
    this.#token = token;
    if (same) this.#socket.send(JSON.stringify({ type: "auth", token })); // renewed, or another user
    else this.connect();
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
