// The figures of the last minute, each in a tile.

import { element, say } from "./elements.js";
import { NONE, bytes, number, percent, processor, seconds } from "./format.js";

const pair = (write, spread) => (spread.count ? `${write(spread.p50)}` : NONE);
const behind = (spread) => (spread.count ? `95 % within ${seconds(spread.p95)}` : "none in the last minute");

const TILES = [
  ["Questions a minute", (f) => number(f.windows["1m"].questions_per_minute), (f) => `${number(f.agent.questions_total)} since the start`],
  ["Active runs", (f) => number(f.agent.active_runs), (f) => `${number(f.agent.max_active_runs)} at most`],
  ["Connections", (f) => number(f.health.metrics.active_connections), (f) => `${number(f.agent.active_sessions)} active sessions`],
  ["Failed runs", (f) => percent(f.windows["5m"].error_rate), () => "of the last 5 minutes"],
  ["Time to first word", (f) => pair(seconds, f.windows["1m"].first_token_seconds), (f) => behind(f.windows["1m"].first_token_seconds)],
  ["Time to whole answer", (f) => pair(seconds, f.windows["1m"].run_seconds), (f) => behind(f.windows["1m"].run_seconds)],
  ["Time between words", (f) => pair(seconds, f.windows["1m"].inter_token_seconds), (f) => behind(f.windows["1m"].inter_token_seconds)],
  ["Tokens since the start", (f) => number(f.agent.prompt_tokens_total + f.agent.completion_tokens_total),
    (f) => `${number(f.agent.completion_tokens_total)} written, ${number(f.agent.prompt_tokens_total)} read`],
  ["Cache hits", (f) => percent(f.windows["5m"].cache_hit_rate), () => "of the last 5 minutes"],
  ["Memory", (f) => bytes(f.system.memory_usage_bytes), (f) => `${bytes(f.system.system_memory_available_bytes)} free`],
  ["Processor", (f) => processor(f.system.cpu_usage_percent), (f) => `of one of ${f.system.cpu_count}`],
  ["Event loop lag", (f) => seconds(f.windows["1m"].loop_lag_seconds.p95), () => "95th percentile of a minute"],
];

export class Tiles {
  #cells = [];

  constructor(place) {
    place.replaceChildren(...TILES.map(([name]) => {
      const value = element("dd", { class: "value" }, NONE), note = element("dd", { class: "note" });
      this.#cells.push([value, note]);
      return element("div", {}, element("dt", {}, name), value, note);
    }));
  }

  show(frame) {
    TILES.forEach(([, value, note], at) => {
      say(this.#cells[at][0], value(frame));
      say(this.#cells[at][1], note(frame));
    });
  }
}
