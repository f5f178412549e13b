// Which agent answers a new chat, and which model the next question.

import { byId, make, oneLine } from "./dom.js";
import { tabShelf } from "./store.js";

export class Choice extends EventTarget {
  #agents = [];
  #models = [];
  #wanted = ""; // an agent may be named before it is known which there are

  constructor(api) {
    super();
    this.api = api;
    this.agentField = byId("agent");
    this.modelField = byId("model");
    this.agentField.addEventListener("change", () => {
      this.#wanted = this.agentField.value;
      this.dispatchEvent(new Event("agent"));
    });
    this.modelField.addEventListener("change", () => tabShelf.set("model", this.modelField.value));
  }

  /** Ask what there is; without an answer nothing is offered. */
  async refresh() {
    const [agents, models] = await Promise.all([this.#items("/agents"), this.#items("/models/choices")]);
    this.#agents = agents;
    this.#models = models;
    fill(this.agentField, [["", "No agent"], ...agents.map((agent) => [agent.id, oneLine(agent.name)])]);
    fill(this.modelField, models.map((model, index) => [index === 0 ? "" : `${model.source}/${model.name}`, oneLine(model.name)]));
    select(this.modelField, tabShelf.get("model"));
    select(this.agentField, this.#wanted);
    this.dispatchEvent(new Event("agent"));
  }

  get agent() { return this.#agents.find((agent) => agent.id === this.agentField.value) ?? null; }

  /** The chat's own agent, which stays; null: a new chat, in which one may be chosen. */
  show(agentId, fixed) {
    this.#wanted = agentId ?? "";
    select(this.agentField, this.#wanted);
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

function fill(field, options) {
  field.replaceChildren(...options.map(([value, label]) => make("option", { value, text: label })));
  field.hidden = options.length < 2;
}

/** The first option where that one is not offered. */
function select(field, value) {
  field.value = value ?? "";
  if (field.selectedIndex < 0) field.value = "";
}
