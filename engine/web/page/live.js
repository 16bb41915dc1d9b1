// The stream of statuses: opened, watched, and opened anew however it ends.
import { banner } from "./banner.js";
import { showHistogram, showWaterfall } from "./charts.js";
import { byId } from "./elements.js";
import { engine, SILENT_MS } from "./engine.js";
import { forgetEntries, isAnyEntryShown, showEntries, showParts } from "./entries.js";
import { forgetFills, readFillsOf, showResults } from "./fills.js";
import { admit } from "./login.js";
import * as reports from "./reports.js";
import { forgetHistory, remember, showStatus } from "./status.js";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 10_000;
const BETWEEN_POINTS_MS = 450; // a status may come five times a second
const LOST = "connection lost; trying again";
const ROUND = [
  showResults,
  reports.showLimits,
  showParts,
  showEntries,
  reports.showLedger,
  showWaterfall,
  showHistogram,
  reports.searchJournal,
  reports.showTrail,
];

export const connection = {
  stream: null, // who tells of the engine; null: nobody
  heardAtMs: 0,
  waitMs: FIRST_WAIT_MS, // until it is opened anew
  isAsking: false, // whether a round of questions is under way
};
let rememberedAtMs = 0;

/** Open the stream, if one may read; else ask again later. */
export async function goLive() {
  try {
    if (!(await admit())) return goLiveLater("");
  } catch {
    return goLiveLater(LOST);
  }
  const stream = new EventSource("/events");
  connection.stream = stream;
  connection.heardAtMs = Date.now();
  askRound();
  reports.showModels();
  stream.onmessage = hear;
  stream.onerror = () => goLiveLater(LOST);
}

/**
 * Close the stream and open another.
 *
 * A browser gives a stream up after an answer that is not 200: whatever ended this one, it is
 * opened anew.
 */
export function goLiveLater(why) {
  connection.stream?.close();
  connection.stream = null;
  byId("state").textContent = why ? "no connection" : "not logged in";
  byId("state").className = "chip bad";
  if (why) banner(why);
  setTimeout(goLive, connection.waitMs * (0.5 + Math.random() / 2));
  connection.waitMs = Math.min(2 * connection.waitMs, LONGEST_WAIT_MS);
}

function hear(message) {
  connection.heardAtMs = Date.now();
  connection.waitMs = FIRST_WAIT_MS;
  try {
    receive(JSON.parse(message.data));
  } catch (error) {
    console.error(error);
    banner("page error: " + error.message);
  }
}

/** Show a status, and ask for what it tells is new. */
export function receive(status) {
  if (status.session !== engine.session) begin(status.session);
  const nowMs = Date.now();
  const isDue = nowMs - rememberedAtMs > BETWEEN_POINTS_MS;
  if (isDue) {
    rememberedAtMs = nowMs;
    remember(status);
    if (status.held_intents || isAnyEntryShown()) showEntries();
    if (connection.stream) readFillsOf(status, nowMs);
  }
  showStatus(status);
}

/** Of another engine every number begins again. */
function begin(session) {
  engine.session = session;
  forgetFills();
  reports.forgetTrail();
  forgetEntries();
  forgetHistory();
  if (connection.stream) askRound();
}

/** Ask for everything that the status does not tell; again, when the engine changed meanwhile. */
async function askRound() {
  if (connection.isAsking) return;
  connection.isAsking = true;
  const { session } = engine;
  await Promise.all(ROUND.map((show) => show().catch((error) => console.error(error))));
  connection.isAsking = false;
  if (session !== engine.session) askRound();
}

/** Look after the stream, every few seconds. */
export function watch() {
  const { stream, heardAtMs } = connection;
  if (!stream) return;
  if (Date.now() - heardAtMs > SILENT_MS) goLiveLater("nothing heard; trying again");
  else if (!document.hidden) askRound();
}
