// Which agent answers a new chat, and which model the next question.

import { byId, make, oneLine } from "./dom.js";
import { tabShelf } from "./store.js";

export class Choice extends EventTarget {
  #agents = [];
  #models = [];

  constructor(api) {
    super();
    this.api = api;
    this.agentField = byId("agent");
    this.modelField = byId("model");
    this.agentField.addEventListener("change", () => this.dispatchEvent(new Event("agent")));
    this.modelField.addEventListener("change", () => tabShelf.set("model", this.modelField.value));
  }

  /** Ask what there is; without an answer nothing is offered. */
  async refresh() {
    const [agents, models] = await Promise.all([this.#items("/agents"), this.#items("/models/choices")]);
    this.#agents = agents;
    this.#models = models;
    fill(this.agentField, [["", "No agent"], ...agents.map((agent) => [agent.id, oneLine(agent.name)])]);
    fill(this.modelField, models.map((model, index) => [index === 0 ? "" : `${model.source}/${model.name}`, oneLine(model.name)]));
    this.modelField.value = tabShelf.get("model") ?? "";
    if (this.modelField.selectedIndex < 0) this.modelField.value = "";
  }

  get agent() { return this.#agents.find((agent) => agent.id === this.agentField.value) ?? null; }

  /** The chat's own agent, which stays; null: a new chat, in which one may be chosen. */
  show(agentId, fixed) {
    this.agentField.value = agentId ?? "";
    if (this.agentField.selectedIndex < 0) this.agentField.value = "";
    this.agentField.disabled = fixed;
    this.agentField.title = fixed ? "A chat keeps the agent that it began with" : "";
    this.dispatchEvent(new Event("agent"));
  }

  /** {source, name}, or undefined for the default. */
  get model() {
    const chosen = this.#models.find((model) => `${model.source}/${model.name}` === this.modelField.value);
    return chosen && { source: chosen.source, name: chosen.name };
  }

  async #items(path) {
    if (this.api.account.closed) return [];
    try {
      return (await this.api.get(path)).items;
    } catch {
      return [];
    }
  }
}

function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, label]) => make("option", { value, text: label })));
  select.value = before;
  if (select.selectedIndex < 0) select.value = "";
  select.hidden = options.length < 2;
}
