// The chat page: its parts put together.

import { announce, notice } from "./chat/announce.js";
import { Account } from "./chat/account.js";
import { Api } from "./chat/api.js";
import { ChatList } from "./chat/chats.js";
import { ChatSource } from "./chat/chat_source.js";
import { Choice } from "./chat/choice.js";
import { Composer } from "./chat/composer.js";
import { Connection } from "./chat/socket.js";
import { Conversation } from "./chat/conversation.js";
import { Drawer } from "./chat/drawer.js";
import { Scroll } from "./chat/scroll.js";
import { SignIn } from "./chat/sign_in.js";
import { SourcePanel } from "./chat/sources.js";
import { Uploads } from "./chat/upload.js";
import { Welcome } from "./chat/welcome.js";
import { byId, oneLine } from "./chat/dom.js";
import { chatInAddress, putInAddress } from "./chat/address.js";
import { globalKeys } from "./chat/keys.js";
import { themeChoice } from "./chat/theme_choice.js";
import { withIcon } from "./chat/icons.js";

const facts = { auth_required: false, question_max_chars: 2000, max_filesize_mb: 50, ...JSON.parse(document.querySelector("meta[name=askgraph]").content) };
const TITLE_MS = 2500; // a model may give the chat a better title a little later

for (const [id, name] of [["new-chat", "plus"], ["attach", "clip"], ["send", "up"], ["stop", "stop"], ["to-end", "down"]]) withIcon(byId(id), name);
themeChoice(byId("theme"));

const account = new Account(facts.auth_required);
const api = new Api(account);
const connection = new Connection(account);
const drawer = new Drawer();
const panel = new SourcePanel(api);
const scroll = new Scroll(byId("main"), byId("to-end"));
const composer = new Composer(facts.question_max_chars);
const choice = new Choice(api);
const source = new ChatSource(api, account);
const chats = new ChatList(source, api);
const signIn = new SignIn(account);
const conversation = new Conversation({
  list: byId("turns"), api, connection, announce,
  hooks: {
    maxChars: facts.question_max_chars,
    openSource: (citation, opener) => panel.show(citation, opener),
    grown: (always) => scroll.grown(always),
    model: () => choice.model,
    fault: notice,
    askAgain: (turn) => { composer.text = turn.question; composer.focus(); },
  },
});
const welcome = new Welcome((question) => ask(question));
const uploads = new Uploads({ api, account, maxMegabytes: facts.max_filesize_mb, chat: () => chatForFiles() });

/** A question; where an agent was chosen its chat is begun first. */
async function ask(question) {
  if (conversation.busy) return;
  try {
    if (conversation.chatId === null && choice.agent) await beginChat();
    conversation.ask(question, choice.model);
  } catch (error) {
    composer.text = question;
    notice(error.message);
  }
}

async function beginChat() {
  const chat = await api.post("/chats", choice.agent ? { agent_id: choice.agent.id } : {});
  conversation.chatId = chat.id;
  at(chat.id);
  return chat.id;
}

async function chatForFiles() {
  return conversation.chatId ?? beginChat();
}

function at(id) {
  putInAddress(id);
  chats.select(id);
  choice.show(choice.agent?.id, id !== null);
}

function setTitle(title) {
  const text = oneLine(title) || "New chat";
  byId("title").textContent = text;
  document.title = title ? `${text} · AskGraph` : "AskGraph";
}

async function openChat(id) {
  drawer.close();
  panel.close();
  if (id === null) return newChat();
  if (id === conversation.chatId) return;
  putInAddress(id);
  chats.select(id);
  uploads.show(id);
  try {
    const [chat] = await Promise.all([source.one(id).catch((error) => { if (error.status !== 404) throw error; }), conversation.open(id)]);
    if (conversation.chatId !== id) return;
    setTitle(chat?.title);
    choice.show(chat?.agent_id, true);
  } catch (error) {
    if (conversation.chatId !== id) return;
    if (error.status === 404) source.forget(id);
    notice(error.status === 404 ? "There is no such chat." : error.message);
    newChat();
    chats.refresh();
  }
}

function newChat() {
  drawer.close();
  panel.close();
  conversation.startNew();
  at(null);
  uploads.show(null);
  setTitle("");
  composer.focus();
}

/** The chat has changed: its title, and its place in the list. */
async function refreshChat(id) {
  const chat = await source.one(id).catch(() => null);
  if (chat && conversation.chatId === id) setTitle(chat.title);
  await chats.refresh();
}

function stateWords(state) {
  return { connecting: "connecting", connected: "connected", offline: "no connection, trying again", closed: "sign in to ask" }[state];
}

conversation.addEventListener("opened", () => { welcome.show(conversation.turns.length === 0 && !conversation.chatId); scroll.toEnd(); });
conversation.addEventListener("busy", () => { composer.busy = conversation.busy; });
conversation.addEventListener("asked", () => {
  welcome.show(false);
  at(conversation.chatId);
  if (conversation.turns.length === 1) {
    const [{ question }] = conversation.turns;
    source.note(conversation.chatId, question.slice(0, 80));
    chats.call(conversation.chatId, question.slice(0, 80));
    setTitle(question.slice(0, 80));
  }
});
conversation.addEventListener("begun", () => { if (conversation.turns.length === 1) chats.refresh(); });
conversation.addEventListener("answered", ({ detail: id }) => {
  refreshChat(id);
  if (account.signedIn && conversation.turns.length === 1) setTimeout(() => refreshChat(id), TITLE_MS);
});
conversation.addEventListener("fault", ({ detail }) => notice(detail));
conversation.addEventListener("signin", () => signIn.ask());
composer.addEventListener("ask", ({ detail }) => ask(detail));
composer.addEventListener("stop", () => conversation.stop());
chats.addEventListener("open", ({ detail }) => openChat(detail));
chats.addEventListener("gone", ({ detail }) => { if (detail === conversation.chatId) newChat(); });
chats.addEventListener("renamed", ({ detail }) => { if (detail.id === conversation.chatId) setTitle(detail.title); });
choice.addEventListener("agent", () => welcome.offer(choice.agent?.starter_messages));
connection.addEventListener("state", ({ detail: state }) => {
  const place = byId("connection");
  place.dataset.state = state;
  place.querySelector(".word").textContent = stateWords(state);
});
byId("new-chat").addEventListener("click", newChat);
byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("question").focus(); });
addEventListener("hashchange", () => { if (location.hash === "" || chatInAddress()) openChat(chatInAddress()); });

let who = account.username;
account.addEventListener("change", () => {
  if (account.username === who) return; // renewed
  who = account.username;
  newChat();
  chats.refresh();
  choice.refresh();
});

globalKeys({
  search: () => { drawer.open(); byId("chat-search").focus(); byId("chat-search").select(); },
  newChat,
  escape: () => {
    if (conversation.busy) conversation.stop();
    else if (panel.open) panel.close();
    else return false;
    return true;
  },
});

connection.connect();
if (!account.closed) {
  chats.refresh();
  choice.refresh();
  if (chatInAddress()) openChat(chatInAddress());
  else composer.focus();
}
