// Which charts there are.

import { Chart } from "./chart.js";
import { bytes, number, percent, processor, seconds } from "./format.js";

const line = (name, field) => ({ name, value: (point) => point[field] ?? null });

const KINDS = [
  { title: "Questions a minute", lines: [line("Questions", "questions")], write: number, least: 6, counts: true },
  { title: "Time to first word", lines: [line("Median", "first_p50"), line("95th percentile", "first_p95")], write: seconds, least: 0.02 },
  { title: "Time to whole answer", lines: [line("Median", "run_p50"), line("95th percentile", "run_p95")], write: seconds, least: 0.02 },
  { title: "Time between words", lines: [line("95th percentile", "token_p95")], write: seconds, least: 0.02 },
  { title: "Failed runs", lines: [line("Share", "errors")], write: percent, least: 0.1 },
  { title: "Tokens a minute", lines: [line("Completion", "completion"), line("Prompt", "prompt")], write: number, least: 100, counts: true },
  { title: "Active", lines: [line("Runs", "runs"), line("Connections", "connections")], write: number, least: 5, counts: true },
  { title: "HTTP requests a minute", lines: [line("All", "requests"), line("Answered 5xx", "server_errors")], write: number, least: 10, counts: true },
  { title: "Cache hits", lines: [line("Share", "cache")], write: percent, least: 1 },
  { title: "Event loop lag", lines: [line("95th percentile", "lag"), line("Longest", "lag_most")], write: seconds, least: 0.01 },
  { title: "Processor", lines: [line("Of one", "cpu")], write: processor, least: 100 },
  { title: "Memory", lines: [line("Resident", "memory")], write: bytes, least: 64 * 1024 * 1024, binary: true },
];

export function openCharts(place) {
  const charts = KINDS.map((kind) => new Chart(kind));
  place.replaceChildren(...charts.map((chart) => chart.element));
  return charts;
}
