// How the service is and how each of its parts is: a word, never a colour alone.

import { element, say } from "./elements.js";
import { duration, seconds } from "./format.js";

const PARTS = [
  ["agent", "Agent"], ["model", "Model"], ["database", "Database"], ["embeddings", "Embeddings"], ["websocket", "WebSocket"], ["cache", "Cache"],
];
const WORDS = { healthy: "Healthy", degraded: "Degraded", unhealthy: "Unhealthy", unknown: "Not known yet", off: "Off" };

export class Health {
  #cards = new Map();

  constructor(place, verdict, about) {
    this.verdict = verdict;
    this.about = about;
    place.replaceChildren(...PARTS.map(([part, name]) => {
      const word = element("span", { class: "state", "data-status": "unknown" }, WORDS.unknown), detail = element("p", { class: "note" });
      this.#cards.set(part, [word, detail]);
      return element("li", {}, element("h3", {}, name), word, detail);
    }));
  }

  show({ health, system, agent }) {
    mark(this.verdict, health.status, agent.draining ? "Restarting" : `${WORDS[health.status]}, ${Math.round(health.health_score)} of 100`);
    say(this.about, `${agent.model} · version ${system.version} · up ${duration(system.uptime_seconds)}`);
    for (const [part, [word, detail]] of this.#cards) {
      const found = health.components[part];
      mark(word, found.status, WORDS[found.status]);
      say(detail, found.seconds === null ? found.detail : `${found.detail}, ${seconds(found.seconds)}`);
    }
  }
}

function mark(target, status, word) {
  target.dataset.status = status;
  say(target, word);
}
