// A question and the answer to it, as they stand on the page.

import { AnswerView } from "./markdown/answer_view.js";
import { answerTools, feedbackForm, questionTools } from "./tools.js";
import { button, make } from "./dom.js";
import { sourceList } from "./source_list.js";
import { Steps } from "./steps.js";

export class Turn {
  questionId = null;
  answerId = null;
  #citations = [];

  /** `hooks`: {openSource(citation, opener), regenerate(turn), edit(turn, text), approve(callId, yes), feedback(turn,
   *  positive, text), grown(), model()} */
  constructor(question, hooks) {
    this.hooks = hooks;
    this.question = question;
    this.asked = make("div", { class: "asked" });
    this.steps = new Steps((callId, approved) => hooks.approve(callId, approved));
    this.answer = make("div", { class: "answer" });
    this.status = make("p", { class: "note" });
    this.end = make("div", { class: "end" });
    const reply = make("div", { class: "reply" }, this.steps.box, this.answer, this.steps.waits, this.status, this.end);
    this.element = make("li", { class: "turn" }, this.asked, reply);
    this.ask(question);
  }

  ask(question) {
    this.question = question;
    this.asked.replaceChildren(make("h2", { class: "hidden", text: "You asked" }), make("p", { class: "question", text: question, dir: "auto" }), questionTools(this));
  }

  remove() { this.element.remove(); }

  know({ question, answer }) {
    this.questionId = question?.id ?? null;
    this.answerId = answer?.id ?? null;
    this.element.dataset.status = answer?.status ?? "";
  }

  /** An answer begins to be written: what stood here goes. */
  begin() {
    this.answerId = null;
    this.#clear();
    this.element.dataset.status = "streaming";
    this.steps.waiting();
    this.hooks.grown(true);
  }

  /** Take a frame of the run; true where it is the last one. */
  take(frame) {
    if (frame.type === "word") this.#add(frame.content);
    else if (frame.type === "step") this.steps.take(frame);
    else if (frame.type === "snapshot") this.#view().set(frame.answer);
    else if (frame.type === "complete") return this.#complete(frame);
    else if (frame.type === "error") return this.fail(frame);
    else if (frame.type === "status") return this.#standing(frame.status);
    this.hooks.grown();
    return false;
  }

  /** An answer as it is kept. */
  show(message) {
    if (message.content) this.#view().set(message.content);
    this.#finish(message.citations);
    this.element.dataset.status = message.status;
    if (message.status === "incomplete") this.note("Stopped before it was finished.");
    else if (message.status === "error") this.note("This answer failed before it was finished.", true);
    this.#close(message);
  }

  note(text, bad = false) {
    this.status.textContent = text;
    this.status.classList.toggle("bad", bad);
  }

  /** The answer ended with an error; what was written stays. */
  fail(frame) {
    this.note(frame.message, true);
    this.#finish([]);
    this.element.dataset.status = "error";
    this.#close({});
    if (!this.answerId && !frame.run_id) this.status.append(" ", button("Ask again", () => this.hooks.askAgain(this), { class: "quiet" }));
    return true;
  }

  /** For somebody who does not see the page. */
  summary(frame) {
    if (frame.type === "error") return `The answer failed: ${frame.message}`;
    if (frame.type === "status") return "Stopped.";
    const text = this.answer.textContent.trim();
    const said = text.length > 600 ? `${text.slice(0, 600)} … The answer goes on.` : text;
    const count = this.#citations.length;
    return `Answer: ${said} ${count ? `${count} ${count === 1 ? "source" : "sources"}.` : "No sources."}`;
  }

  #view() {
    this.view ??= new AnswerView(this.answer, { onCitation: (id, chip) => this.#open(id, chip) });
    return this.view;
  }

  #add(text) {
    this.#view().add(text);
    if (this.status.textContent) this.note("");
  }

  #standing(status) {
    if (status === "queued") this.note("Waiting for the answer before this one…");
    else if (status === "streaming") this.note("");
    else if (status === "restarted") {
      this.#clear();
      this.steps.waiting();
    } else if (status === "cancelled") {
      this.#finish([]);
      this.note("Stopped before it was finished.");
      this.element.dataset.status = "incomplete";
      this.#close({});
      return true;
    }
    return false;
  }

  #complete(frame) {
    if (this.#view().text !== frame.answer) this.#view().set(frame.answer); // it is this that was kept
    this.#finish(frame.citations);
    this.note("");
    this.element.dataset.status = "complete";
    this.#close(frame);
    return true;
  }

  #finish(citations) {
    this.#citations = citations;
    this.view?.finish(citations);
    this.steps.end();
  }

  /** What stands below an answer that is not being written any more. */
  #close(facts) {
    const list = sourceList(this.#citations, (citation, opener) => this.hooks.openSource(citation, opener));
    this.end.replaceChildren(...[list, answerTools(this, facts)].filter(Boolean));
    this.hooks.grown();
  }

  askFeedback() {
    this.end.querySelector(".feedback")?.remove();
    this.end.append(feedbackForm(this));
    this.end.querySelector(".feedback input").focus();
    this.hooks.grown();
  }

  #open(id, chip) {
    const citation = this.#citations.find((one) => one.id === Number(id));
    if (citation) this.hooks.openSource(citation, chip);
  }

  #clear() {
    this.#citations = [];
    this.view = null;
    const fresh = make("div", { class: "answer", dir: "auto" });
    this.answer.replaceWith(fresh);
    this.answer = fresh;
    this.steps.clear();
    this.note("");
    this.end.replaceChildren();
  }
}
