// The small buttons below a question and below an answer.

import { button, make } from "./dom.js";
import { icon, withIcon } from "./icons.js";

function tool(name, label, onclick) {
  return withIcon(make("button", { type: "button", class: "quiet icon", "aria-label": label, title: label, onclick }), name);
}

export function copyTool(label, text) {
  const copy = tool("copy", label, async () => {
    const done = await copied(text());
    copy.replaceChildren(icon(done ? "check" : "close"));
    copy.title = done ? "Copied" : "It could not be copied";
    setTimeout(() => { copy.replaceChildren(icon("copy")); copy.title = label; }, 1500);
  });
  return copy;
}

/** The clipboard needs a secure context; over plain HTTP the older way is tried. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", { class: "hidden", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

export function questionTools(turn) {
  return make("div", { class: "tools" }, copyTool("Copy the question", () => turn.question), tool("edit", "Edit the question", () => edit(turn)));
}

function edit(turn) {
  if (!turn.questionId) return;
  const before = [...turn.asked.children];
  const back = () => { turn.asked.replaceChildren(...before); turn.asked.querySelector("[aria-label^=Edit]").focus(); };
  const field = make("textarea", { rows: "3", "aria-label": "Edit the question", maxlength: String(turn.hooks.maxChars) });
  field.value = turn.question;
  const form = make("form", { class: "edit" }, field, make("div", { class: "row" }, button("Cancel", back), make("button", { type: "submit", class: "primary", text: "Ask" })));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (text.length < 3) return;
    back();
    turn.hooks.edit(turn, text);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.stopPropagation(); back(); }
    if (event.key === "Enter" && !event.shiftKey && event.target === field && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  turn.asked.replaceChildren(form);
  field.focus();
}

/** `facts`: the `complete` frame, or the message as it is kept. */
export function answerTools(turn, facts) {
  const good = tool("good", "Good answer", () => rate(turn, good, true));
  const bad = tool("bad", "Bad answer", () => rate(turn, bad, false));
  for (const one of [good, bad]) one.setAttribute("aria-pressed", "false");
  const about = [];
  if (facts.model) about.push(facts.model);
  if (facts.cached) about.push("answered before");
  if (typeof facts.confidence === "number") about.push(`confidence ${Math.round(facts.confidence * 100)} %`);
  if (facts.grounded === false && facts.processing_stage !== "no_relevant_answer") about.push("not fully supported by the knowledge");
  return make("div", { class: "tools", role: "group", "aria-label": "This answer" },
    copyTool("Copy the answer", () => turn.view?.text ?? ""),
    tool("again", "Answer again", () => turn.hooks.regenerate(turn)),
    good, bad,
    about.length ? make("span", { class: "about", text: about.join(" · ") }) : null);
}

async function rate(turn, pressed, positive) {
  try {
    await turn.hooks.feedback(turn, positive);
  } catch (error) {
    return turn.hooks.fault(error.message);
  }
  for (const one of pressed.parentElement.querySelectorAll("[aria-pressed]")) one.setAttribute("aria-pressed", String(one === pressed));
  if (!positive) turn.askFeedback();
  else turn.end.querySelector(".feedback")?.remove();
}

export function feedbackForm(turn) {
  const field = make("input", { type: "text", maxlength: "4000", "aria-label": "What was wrong with it? (optional)", placeholder: "What was wrong with it? (optional)" });
  const form = make("form", { class: "feedback" }, field, make("button", { type: "submit", text: "Send" }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await turn.hooks.feedback(turn, false, field.value.trim());
      form.replaceWith(make("p", { class: "note", text: "Thank you.", role: "status" }));
    } catch (error) {
      turn.hooks.fault(error.message);
    }
  });
  return form;
}
