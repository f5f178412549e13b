// Providers, runs by how they ended, and errors, as tables.

import { number, time } from "./format.js";
import { fill } from "./table.js";

const CIRCUITS = {
  closed: { text: "closed: is asked", tone: "good" },
  half_open: { text: "half open: one try", tone: "warn" },
  open: { text: "open: left alone", tone: "bad" },
};

const counted = (counts) => Object.entries(counts).sort((one, other) => other[1] - one[1]);

export function showProviders(place, providers) {
  const rows = Object.entries(providers).map(([name, { circuit, calls }]) => [
    name, CIRCUITS[circuit], counted(calls).map(([outcome, times]) => `${outcome} ${number(times)}`).join(", ") || "none yet",
  ]);
  fill(place, ["Provider", "Circuit", "Calls"], rows, "No model is configured: the knowledge answers by itself.");
}

export function showRuns(place, runs) {
  const all = Object.values(runs).reduce((sum, times) => sum + times, 0);
  const rows = counted(runs).map(([outcome, times]) => [outcome, number(times), `${number((times * 100) / all)} %`]);
  fill(place, ["Outcome", "Runs", "Share"], rows, "No run has ended yet.");
}

export function showErrors(place, errors) {
  const rows = errors.map((error) => [
    time(error.at), { text: error.kind, tone: error.fault ? "bad" : "quiet" }, error.where, number(error.count),
    { text: error.request_id, tone: "id" }, { text: error.run_id ?? "", tone: "id" },
  ]);
  fill(place, ["Last seen", "Kind", "Where", "Times", "Request", "Run"], rows, "No error since the start.");
}
