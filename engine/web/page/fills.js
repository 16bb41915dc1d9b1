// The session's fills: the newest as a table, and the curve of what they all came to.
import { plotResult } from "./charts.js";
import { byId, sideCell, table, when } from "./elements.js";
import { read } from "./engine.js";
import { count, money, sign } from "./format.js";

const ASKED_EVERY_MS = 2000;
const ROWS_OF_AN_ANSWER = 1000;
const FILLS_SHOWN = 50;
const POINTS = 1200;
const DEPTH = 5000; // a page opened late reads so many fills, more when asked
const DEEPEST = 1e6;
const STRATEGIES_SHOWN = 60;
const FILL_HEADS = [
  ["time"],
  ["instrument"],
  ["side"],
  ["quantity", 1],
  ["price", 1],
  ["fee", 1],
  ["realised", 1],
  ["order"],
  ["strategy"],
];
const STRATEGY_HEADS = [
  ["strategy, all sessions"],
  ["exits", 1],
  ["won", 1],
  ["after fees", 1],
  ["fees", 1],
  ["held s", 1],
];

export const book = { fills: unread(), depth: DEPTH };

/** Fills of which none was read yet. */
export function unread() {
  return {
    count: 0,
    sum: 0,
    peak: 0,
    deepest: 0, // fall from the peak
    fall: 0, // the deepest since the last point
    every: 1, // fills of a point
    points: [],
    latest: [],
    after: -1, // number of the newest fill read
    told: -1, // count of fills that the status told of
    askedAtMs: 0,
    isBusy: false,
    isWhole: null, // whether older fills than those were none; null: not known
  };
}

export function forgetFills() {
  book.fills = unread();
}

/** Add a fill to the curve, a point of which stands for ever more of them. */
export function add(fills, fill) {
  fills.count++;
  fills.sum += fill.realised_pnl - fill.fee;
  fills.peak = Math.max(fills.peak, fills.sum);
  fills.fall = Math.max(fills.fall, fills.peak - fills.sum);
  fills.deepest = Math.max(fills.deepest, fills.fall);
  if (fills.count % fills.every) return;
  fills.points.push([fills.sum, fills.fall]);
  fills.fall = 0;
  if (fills.points.length === POINTS) thin(fills);
}

function thin(fills) {
  const { points } = fills;
  fills.every *= 2;
  fills.points = points
    .filter((_, index) => index % 2)
    .map(([sum, fall], index) => [sum, Math.max(fall, points[2 * index][1])]);
}

/** Read fills when a status told of others than the last one did, and not too often. */
export function readFillsOf(status, nowMs) {
  const { fills } = book;
  if (status.counts.fills === fills.told || nowMs - fills.askedAtMs <= ASKED_EVERY_MS) return;
  fills.told = status.counts.fills;
  fills.askedAtMs = nowMs;
  showFills();
}

/** Read the fills that are new, and show them all. */
export async function showFills() {
  const { fills } = book;
  if (fills.isBusy) return;
  fills.isBusy = true;
  while (await readSome(fills));
  fills.isBusy = false;
  if (fills !== book.fills) return;
  if (fills.isWhole == null && fills.after >= 0) fills.isWhole = fills.count < book.depth;
  draw(fills);
}

/** Return whether there may be more. */
async function readSome(fills) {
  const newest = fills.isWhole == null ? "&newest=" + book.depth : "";
  const path = `get_trade_journal?limit=${ROWS_OF_AN_ANSWER}&after=${fills.after}${newest}`;
  const found = await read(path);
  const rows = found ? found.rows : [];
  for (const fill of rows) add(fills, fill);
  const newestFirst = rows.slice(-FILLS_SHOWN).reverse();
  fills.latest = [...newestFirst, ...fills.latest].slice(0, FILLS_SHOWN);
  if (rows.length) fills.after = found.after;
  return rows.length === ROWS_OF_AN_ANSWER;
}

function draw(fills) {
  byId("older").hidden = fills.isWhole !== false;
  table(byId("fills"), FILL_HEADS, fills.latest.map(fillCells), "no fill yet");
  const which = fills.isWhole === false ? "newest " : "";
  const came = money(fills.sum) + " after fees, deepest fall " + fills.deepest.toFixed(2);
  byId("result").textContent = fills.count
    ? which + fills.count + " fills, " + came
    : "no fill yet";
  const isBetweenPoints = fills.count % fills.every;
  const last = isBetweenPoints ? [[fills.sum, fills.fall]] : [];
  plotResult(byId("equity"), [...fills.points, ...last]);
}

function fillCells(fill) {
  return [
    when(fill.time),
    fill.instrument,
    sideCell(fill),
    fill.quantity,
    fill.price,
    fill.fee.toFixed(4),
    [money(fill.realised_pnl, 4), sign(fill.realised_pnl)],
    fill.order_id,
    fill.strategy,
  ];
}

/** Show the fills, and what each strategy made on the account. */
export async function showResults() {
  await showFills();
  const found = await read("strategies");
  if (!found) return;
  const rows = found.rows.slice(0, STRATEGIES_SHOWN).map(strategyCells);
  table(byId("bystrategy"), STRATEGY_HEADS, rows, "");
}

function strategyCells(row) {
  return [
    row.strategy,
    count(row.exits),
    row.win_ratio == null ? "–" : (100 * row.win_ratio).toFixed(0) + " %",
    [money(row.net), sign(row.net)],
    row.fees.toFixed(2),
    row.held_s == null ? "–" : row.held_s.toFixed(1),
  ];
}

function readOlder() {
  book.depth = Math.min(4 * book.depth, DEEPEST);
  const { told } = book.fills;
  forgetFills();
  book.fills.told = told;
  showFills();
}

byId("older").onclick = readOlder;
