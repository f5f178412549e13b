// The operations page: puts the live figures into their places.

import { openCharts } from "./charts.js";
import { say } from "./elements.js";
import { Feed } from "./feed.js";
import { time } from "./format.js";
import { Health } from "./health.js";
import { History } from "./history.js";
import { showErrors, showProviders, showRuns } from "./lists.js";
import { Tiles } from "./tiles.js";

const place = (id) => document.getElementById(id);
const health = new Health(place("health"), place("verdict"), place("about"));
const tiles = new Tiles(place("tiles"));
const charts = openCharts(place("charts"));
const past = new History();
let seen = 0;

function draw() {
  for (const chart of charts) chart.show(past.points, past.newest || Date.now() / 1000);
}

new Feed("/dashboard/events", {
  history({ points }) {
    past.replace(points);
    draw();
  },
  frame(frame) {
    seen = frame.at;
    health.show(frame);
    tiles.show(frame);
    showProviders(place("providers"), frame.agent.providers);
    showRuns(place("runs"), frame.agent.runs_total);
    showErrors(place("errors"), frame.errors);
    if (past.add(frame.points)) draw();
    place("main").setAttribute("aria-busy", "false");
  },
  live() {
    place("connection").hidden = true;
    document.body.classList.remove("stale");
  },
  lost() {
    say(place("connection"), seen ? `The connection is lost. These are the figures of ${time(seen)}. Trying again …` : "The service does not answer. Trying again …");
    place("connection").hidden = false;
    document.body.classList.add("stale");
  },
});
