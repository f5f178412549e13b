// The chat that is open: its turns, and the answer that is being written in it.

import { newId } from "./dom.js";
import { runUnderWay } from "./following.js";
import { Run, stateOf } from "./run.js";
import { Turn } from "./turn.js";

/** Events: `busy`, `opened`, `asked`, `begun`, `answered`, `fault` (detail: a sentence), `signin`. */
export class Conversation extends EventTarget {
  chatId = null;
  run = null;
  turns = [];
  #left = new Set(); // runs that were left under way: their frames may still come
  #opening = 0;

  constructor({ list, api, connection, hooks, announce }) {
    super();
    Object.assign(this, { list, api, connection, announce });
    this.hooks = {
      ...hooks,
      regenerate: (turn) => this.regenerate(turn),
      edit: (turn, text) => this.edit(turn, text),
      approve: (callId, approved) => this.#approve(callId, approved),
      feedback: (turn, positive, text) => this.#feedback(turn, positive, text),
    };
    connection.addEventListener("frame", (event) => this.#take(event.detail));
    connection.addEventListener("ready", () => this.#ready());
  }

  get busy() { return this.run !== null; }

  startNew(chatId = null) {
    this.#opening++;
    this.#leave();
    this.chatId = chatId;
    this.#show([]);
    this.#tell("opened");
  }

  /** Show a chat; where an answer is being written in it, go on reading that. Throws ApiError. */
  async open(chatId) {
    const opening = ++this.#opening;
    this.#leave();
    this.chatId = chatId;
    const messages = await this.#messages(Run.kept(chatId) !== null);
    if (opening !== this.#opening) return;
    this.#show(messages);
    this.#tell("opened");
    const kept = Run.kept(chatId);
    const state = kept && stateOf(kept, this.turns);
    if (kept && state !== "ended") return this.#begin(kept, this.#turnOf(kept));
    Run.forget(chatId);
    const last = this.turns.at(-1);
    if (last && !last.answerId) await this.#joinOthers(last, opening);
  }

  ask(question, model) {
    if (this.busy) return;
    this.chatId ??= newId();
    const facts = { chatId: this.chatId, index: this.turns.length, question, model };
    this.#begin(facts, this.#turnOf(facts));
    this.#tell("asked");
  }

  regenerate(turn) {
    if (this.busy || !turn.answerId) return this.#wait();
    const facts = { chatId: this.chatId, index: this.turns.indexOf(turn), question: turn.question, regenerates: turn.answerId };
    this.#begin({ ...facts, model: this.hooks.model() }, this.#turnOf(facts));
  }

  edit(turn, question) {
    if (this.busy || !turn.questionId) return this.#wait();
    const facts = { chatId: this.chatId, index: this.turns.indexOf(turn), question, edits: turn.questionId };
    this.#begin({ ...facts, model: this.hooks.model() }, this.#turnOf(facts));
  }

  #wait() { this.#tell("fault", "Wait until the answer is there, or stop it."); }

  stop() {
    if (!this.run || this.run.stopping) return;
    this.run.stopping = true;
    this.run.turn.note("stopping…");
    this.#sendStop();
  }

  #sendStop() {
    if (this.run.id !== null) this.connection.send({ type: "cancel", run_id: this.run.id });
  }

  #begin(facts, turn) {
    this.run = new Run(facts, turn);
    this.#left.delete(this.run.id);
    turn.begin();
    this.announce("The answer is being written.");
    this.#tell("busy");
    this.connection.send(this.run.frame()); // where it cannot be sent now it is when the connection is ready
  }

  /** The turn that the answer belongs to; what stood behind it is another branch now. */
  #turnOf({ index, question, edits, regenerates }) {
    const keep = edits || regenerates ? index + 1 : Math.max(index, this.turns.length);
    for (const turn of this.turns.splice(keep)) turn.remove();
    const turn = this.turns[index];
    if (!turn) return this.#add(question);
    turn.ask(question);
    return turn;
  }

  #add(question) {
    for (const refused of this.list.querySelectorAll("[data-refused]")) refused.remove();
    const turn = new Turn(question, this.hooks);
    this.turns.push(turn);
    this.list.append(turn.element);
    return turn;
  }

  #ready() {
    if (this.run) this.connection.send(this.run.frame());
  }

  #take(frame) {
    if (frame.run_id && this.#left.has(frame.run_id)) return;
    const { run } = this;
    if (frame.type === "error" && frame.seq === undefined) return this.#refused(frame);
    if (!run || !frame.run_id || !run.takes(frame)) return;
    if (frame.seq === 1) this.#tell("begun");
    if (run.stopping && frame.seq === 1) this.#sendStop(); // it was stopped before it had a name
    if (run.turn.take(frame)) this.#end(frame);
  }

  /** A frame of ours could not be used. */
  #refused(frame) {
    const { run } = this;
    if (frame.code === "unauthorized") return this.#tell("signin");
    if (!run || (run.id !== null && frame.code !== "not_found")) return this.#tell("fault", frame.message);
    if (run.id !== null) return this.#lost();
    const { edits, regenerates } = run.facts;
    if (!edits && !regenerates) return this.#notAsked(frame);
    this.#tell("fault", frame.message);
    this.#lost(); // what was answered before is still so
  }

  /** The question is on the page and not in the chat, until another one is asked. */
  #notAsked(frame) {
    const { facts, turn } = this.run;
    turn.fail(frame);
    turn.element.dataset.refused = "";
    this.turns = this.turns.filter((one) => one !== turn);
    Run.forget(facts.chatId);
    this.run = null;
    this.announce(turn.summary(frame));
    this.#tell("busy");
  }

  /** The run is forgotten: what became of it stands in the chat. */
  async #lost() {
    const { chatId } = this;
    Run.forget(chatId);
    this.run = null;
    this.#tell("busy");
    await this.open(chatId).catch((error) => this.#tell("fault", error.message));
  }

  #end(frame) {
    const { run } = this;
    Run.forget(run.facts.chatId);
    this.run = null;
    this.announce(run.turn.summary(frame));
    this.#tell("busy");
    this.#tell("answered", run.facts.chatId);
    this.#name();
  }

  /** Learn the ids of the newest messages, which feedback, edits and new answers name. */
  async #name() {
    const opening = this.#opening;
    const messages = await this.#messages(true).catch(() => []);
    if (opening !== this.#opening || this.busy) return;
    for (const [index, pair] of pairs(messages).entries()) this.turns[index]?.know(pair);
  }

  async #messages(mayBeNew) {
    try {
      return (await this.api.get(`/chats/${this.chatId}/messages`)).items;
    } catch (error) {
      if (mayBeNew && error.status === 404) return [];
      throw error;
    }
  }

  #show(messages) {
    this.list.replaceChildren();
    this.turns = [];
    for (const pair of pairs(messages)) {
      const turn = this.#add(pair.question?.content ?? "");
      turn.know(pair);
      if (pair.answer) turn.show(pair.answer);
    }
  }

  /** Somebody else (another tab, say) has asked, and the answer is under way. */
  async #joinOthers(turn, opening) {
    const runId = await runUnderWay(this.api, this.chatId).catch(() => null);
    if (opening !== this.#opening || this.busy) return;
    if (runId === null) {
      const messages = await this.#messages(false);
      if (opening === this.#opening && !this.busy) this.#show(messages);
    } else {
      const facts = { chatId: this.chatId, index: this.turns.indexOf(turn), question: turn.question, runId };
      this.#begin(facts, turn);
    }
  }

  #leave() {
    if (this.run?.id) this.#left.add(this.run.id);
    this.run = null;
    this.#left = new Set([...this.#left].slice(-50));
    this.#tell("busy");
  }

  #approve(callId, approved) {
    const sent = this.connection.send({ type: "approve", call_id: callId, approved, run_id: this.run?.id });
    if (!sent) this.#tell("fault", "There is no connection. Try again in a moment.");
    return sent;
  }

  #feedback(turn, positive, text) {
    const body = { is_positive: positive, ...(text ? { feedback_text: text } : {}) };
    return this.api.post(`/chats/${this.chatId}/messages/${turn.answerId}/feedback`, body);
  }

  #tell(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}

/** Each question with its answer. */
function pairs(messages) {
  const found = [];
  for (const message of messages) {
    if (message.role === "user") found.push({ question: message, answer: null });
    else if (message.role === "assistant" && found.length) found.at(-1).answer = message;
  }
  return found;
}
