// The chat page: one WebSocket, one conversation. All text is set as text, never as HTML.

const EXAMPLES = [
  "What does a health factor below one mean?",
  "How do I re-join a run after my connection was cut?",
  "What is impermanent loss?",
];
const RETRY_MS = [250, 500, 1000, 2000, 4000];

const byId = (id) => document.getElementById(id);
const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

let socket = null;
let attempts = 0;
let sessionId = null;
let run = null; // the answer being written: {id, seq, requestId, question, view}

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/ask`);
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = () => {
    say(run ? "connection lost, re-joining…" : "connection lost, reconnecting…");
    setTimeout(connect, RETRY_MS[Math.min(attempts++, RETRY_MS.length - 1)]);
  };
}

function connected(details) {
  attempts = 0;
  sessionId ??= details.session_id;
  say("connected");
  if (run?.id) send({ type: "attach", run_id: run.id, after: run.seq });
  else if (run) sendQuestion();
}

function send(frame) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

function sendQuestion() {
  send({ type: "question", question: run.question, session_id: sessionId, request_id: run.requestId });
}

function receive(frame) {
  if (frame.status === "connected") return connected(frame.details);
  if (!run) return;
  if (frame.type === "error" && frame.seq === undefined) return end((view) => view.fail(frame.message));
  if (frame.run_id && run.id && frame.run_id !== run.id) return;
  if (frame.run_id) run.id = frame.run_id;
  if (frame.seq !== undefined && frame.type !== "snapshot") {
    if (frame.seq <= run.seq) return;
    run.seq = frame.seq;
  }
  show(frame);
}

function show(frame) {
  const { view } = run;
  if (frame.type === "word") view.add(frame.content);
  else if (frame.type === "snapshot") { run.seq = frame.seq; view.set(frame.answer); }
  else if (frame.type === "step" && frame.state === "started") view.note(`${frame.name.replaceAll("_", " ")}…`);
  else if (frame.status === "queued") view.note("waiting for the answer before this one…");
  else if (frame.status === "restarted") view.set("");
  else if (frame.type === "complete") end(() => view.complete(frame));
  else if (frame.type === "error") end(() => view.fail(frame.message));
  else if (frame.status === "cancelled") end(() => view.note("stopped"));
}

function end(say) {
  say(run.view);
  run = null;
  byId("send").hidden = false;
  byId("stop").hidden = true;
  byId("question").focus();
}

function ask(question) {
  if (run || !question.trim()) return;
  byId("welcome").hidden = true;
  run = { id: null, seq: 0, requestId: requestId(), question, view: new Turn(question) };
  byId("send").hidden = true;
  byId("stop").hidden = false;
  sendQuestion();
}

// crypto.randomUUID needs a secure context, which a page over plain HTTP on a LAN is not.
function requestId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

class Turn {
  constructor(question) {
    const item = make("li");
    this.answer = make("p", "answer");
    this.status = make("p", "note", "…");
    this.sources = make("div");
    item.append(make("p", "question", question), this.answer, this.status, this.sources);
    byId("turns").append(item);
    item.scrollIntoView({ block: "nearest" });
  }
  add(text) {
    this.answer.append(text);
    this.status.textContent = "";
    this.status.scrollIntoView({ block: "nearest" });
  }
  set(text) { this.answer.textContent = text; }
  note(text) { this.status.textContent = text; }
  fail(message) {
    this.status.classList.add("bad");
    this.status.textContent = message;
  }
  complete(frame) {
    const grounded = frame.grounded ? "grounded in the sources" : "not fully supported by the knowledge";
    this.note(`confidence ${Math.round(frame.confidence * 100)} % · ${grounded} · ${frame.model}`);
    for (const citation of frame.citations) this.sources.append(this.source(citation));
    this.sources.lastElementChild?.scrollIntoView({ block: "nearest" });
  }
  source(citation) {
    const details = make("details");
    const place = citation.section ? `${citation.document} › ${citation.section}` : citation.document;
    details.append(make("summary", "", `[${citation.id}] ${place}`), make("blockquote", "", citation.quote));
    return details;
  }
}

function say(text) { byId("connection").textContent = text; }

byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = byId("question");
  const question = field.value;
  if (run || question.trim().length < 3) return;
  field.value = "";
  ask(question.trim());
});
byId("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    byId("ask").requestSubmit();
  }
});
byId("stop").addEventListener("click", () => send({ type: "cancel", run_id: run?.id ?? undefined }));
for (const example of EXAMPLES) {
  const button = make("button", "", example);
  button.type = "button";
  button.addEventListener("click", () => ask(example));
  byId("examples").append(button);
}
connect();
