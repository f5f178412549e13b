// An answer that is being written: which frames of it are here, and how to ask for the others.

import { newId } from "./dom.js";
import { tabShelf } from "./store.js";

const KEPT = "runs"; // of this tab, by chat: a refreshed page finds its way back by it

export class Run {
  id = null;
  seq = 0;
  stopping = false;

  /** `facts`: {chatId, index (of the turn), question, edits?, regenerates?, model?: {source, name}, requestId?, runId?} */
  constructor(facts, turn) {
    this.facts = { requestId: newId(), ...facts };
    this.id = facts.runId ?? null;
    this.turn = turn;
    this.keep();
  }

  keep() {
    tabShelf.set(KEPT, { ...tabShelf.get(KEPT), [this.facts.chatId]: { ...this.facts, runId: this.id } });
  }

  /** What to send so that exactly the missing frames come. A question that was sent before is joined by its request
   *  id, and starts nothing twice.
   */
  frame() {
    if (this.id !== null) return { type: "attach", run_id: this.id, after: this.seq };
    const { chatId, question, requestId, edits, regenerates, model } = this.facts;
    const frame = { type: "question", session_id: chatId, request_id: requestId };
    if (regenerates) frame.regenerates = regenerates;
    else frame.question = question;
    if (edits) frame.edits = edits;
    if (model) Object.assign(frame, { model_source: model.source, model_name: model.name });
    return frame;
  }

  /** Whether the frame is one of this run's that is not here yet. */
  takes(frame) {
    if (this.id === null && frame.run_id) {
      this.id = frame.run_id;
      this.keep();
    }
    if (frame.run_id !== this.id) return false;
    if (frame.seq === undefined) return true;
    const next = frame.type === "snapshot" ? frame.seq >= this.seq : frame.seq === this.seq + 1;
    if (next) this.seq = frame.seq; // else it is here already, or was sent for an earlier reader of this page
    return next;
  }

  static kept(chatId) { return tabShelf.get(KEPT)?.[chatId] ?? null; }

  static forget(chatId) {
    const runs = { ...tabShelf.get(KEPT) };
    delete runs[chatId];
    tabShelf.set(KEPT, runs);
  }
}

/** How far what was asked has come, by what the chat's turns are now: `absent`, `under way` or `ended`. */
export function stateOf({ index, edits, regenerates }, turns) {
  const turn = turns[index];
  if (!turn) return "absent";
  if (edits && turn.questionId === edits) return "absent";
  if (regenerates && turn.answerId === regenerates) return "absent";
  return turn.answerId ? "ended" : "under way";
}
