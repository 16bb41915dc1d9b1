// Tables that are asked for every few seconds: limits, ledger, models, journal, who did what.
import { byId, element, table } from "./elements.js";
import { read } from "./engine.js";
import { count, money, short, sign, words } from "./format.js";

const LEDGER_ROWS = 60;
const JOURNAL_ROWS = 40;
const TRAIL_ROWS = 100;
const TRAIL_KEPT = 5000;
const LIMIT_HEADS = [["limit"], ["used", 1], ["of", 1], [""]];
const LEDGER_HEADS = [
  ["instrument"],
  ["strategy"],
  ["quantity", 1],
  ["realised", 1],
  ["fees", 1],
  ["funding", 1],
  ["net", 1],
  ["open", 1],
];
const JOURNAL_HEADS = [["time"], ["what"], ["where"], ["who"], ["text"]];
const TRAIL_HEADS = [
  ["time"],
  ["who"],
  ["from"],
  ["what"],
  ["why"],
  ["before"],
  ["after"],
  ["effect"],
];
const NO_MODEL =
  "No model is loaded: every score is a rule over features, in the journal with its reasons.";

let actions = []; // what somebody did, oldest first
let lastAction = -1;

/** Begin with the actions of another engine. */
export function forgetTrail() {
  actions = [];
  lastAction = -1;
}

export async function showLimits() {
  const found = await read("limits");
  if (found) table(byId("limits"), LIMIT_HEADS, found.rows.map(limitCells), "none");
}

function limitCells({ limit, unit, used, of, ratio }) {
  const text = (value) => {
    if (unit === "ratio") return (100 * value).toFixed(2) + " %";
    return value >= 1000 ? count(value) : short(value, 2);
  };
  return [limit, text(used), text(of), gauge(ratio)];
}

function gauge(ratio) {
  const whole = element("div", null, "gauge");
  const used = element("div");
  used.style.width = Math.min(100, 100 * ratio) + "%";
  used.style.background = ratio > 0.9 ? "var(--bad)" : ratio > 0.6 ? "var(--warn)" : "var(--good)";
  whole.append(used);
  whole.title = Math.round(100 * ratio) + " %";
  return whole;
}

export async function showLedger() {
  const found = await read("ledger");
  if (!found) return;
  byId("balance").textContent = balanceText(found);
  byId("balance").className = found.sums_to_zero ? "dim" : "down";
  const rows = found.rows.slice(0, LEDGER_ROWS).map(ledgerCells);
  table(byId("ledger"), LEDGER_HEADS, rows, "nothing was booked yet");
}

function balanceText(found) {
  const balance = found.sums_to_zero
    ? "sums to zero, realised at the account's average cost"
    : "DOES NOT BALANCE: " + found.problems.join("; ");
  const wallet = ` · wallet ${Number(found.wallet).toFixed(2)} ${found.currency}`;
  if (found.equity == null) return balance + wallet;
  const equity = Number(found.equity).toFixed(2);
  return `${balance}${wallet} · open ${money(Number(found.unrealised))} · equity ${equity}`;
}

function ledgerCells(row) {
  const coloured = (text) => [money(Number(text)), sign(Number(text))];
  const quantity = Number(row.quantity);
  return [
    row.instrument,
    row.strategy || "–",
    quantity ? [row.quantity, sign(quantity)] : ["flat", "dim"],
    money(Number(row.realised)),
    Number(row.fees).toFixed(2),
    money(Number(row.funding)),
    coloured(row.net),
    row.unrealised == null ? "–" : coloured(row.unrealised),
  ];
}

export async function showModels() {
  const found = await read("openapi.json");
  if (!found) return;
  const rows = [];
  for (const [path, operations] of Object.entries(found.paths)) {
    for (const operation of Object.values(operations)) {
      if (!["models", "predictions"].includes(operation.tags[0])) continue;
      const text = operation.description || operation.summary;
      rows.push([path.slice("/v1/".length), element("div", text, "wrap")]);
    }
  }
  byId("nomodels").textContent = NO_MODEL;
  table(byId("models"), [["operation"], ["state"]], rows, "none");
}

export async function searchJournal() {
  const text = encodeURIComponent(byId("words").value);
  const found = await read("search_journal?limit=200&text=" + text);
  if (!found) return;
  const rows = gathered(found.rows).slice(0, JOURNAL_ROWS).map(journalCells);
  table(byId("found"), JOURNAL_HEADS, rows, "nothing found");
}

/** A decision that is refused again and again is one row: the newest, and how often. */
function gathered(events) {
  const kept = new Map();
  for (const event of events) {
    const columns = [event.event, event.instrument || "", event.strategy || event.role || ""];
    columns.push(eventText(event));
    const key = event.refused_by ? columns.join("|") : kept.size;
    const same = kept.get(key);
    if (same) same.times++;
    else kept.set(key, { at: event.time, columns, times: 1 });
  }
  return [...kept.values()];
}

function journalCells({ at, columns, times }) {
  const text = columns.at(-1) + (times > 1 ? " · " + times + " times" : "");
  return [at, ...columns.slice(0, -1), text];
}

function eventText(event) {
  if (event.event === "fill") {
    const result = money(event.realised_pnl - event.fee);
    const how = event.liquidity.toLowerCase() + ", " + result;
    return `${event.side} ${event.quantity} at ${event.price} (${how})`;
  }
  if (event.event === "control") return `${event.kind} ${event.state} ${event.message}`;
  const reason = words((event.reason || "").toLowerCase());
  return `${event.side} ${reason}` + (event.refused_by ? " refused: " + event.refused_by : "");
}

export async function showTrail() {
  while (await readTrail());
  siftTrail();
}

/** Return whether there may be more. */
async function readTrail() {
  const newest = lastAction < 0 ? "&newest=1000" : "";
  const found = await read("fetch_audit_trail?limit=1000&after=" + lastAction + newest);
  if (!found || !found.rows.length) return false;
  actions.push(...found.rows.filter((row) => row.number > lastAction));
  actions.splice(0, actions.length - TRAIL_KEPT);
  lastAction = Math.max(lastAction, found.after);
  return true;
}

function siftTrail() {
  const text = byId("whose").value.toLowerCase();
  const found = actions.filter(({ who, from, what, reason, effect }) =>
    [who, from, what, reason, effect].join(" ").toLowerCase().includes(text),
  );
  const rows = found.slice(-TRAIL_ROWS).reverse().map(actionCells);
  table(byId("trail"), TRAIL_HEADS, rows, text ? "nothing found" : "nobody did anything yet");
}

function actionCells(row) {
  return [
    row.time.slice(0, 19).replace("T", " "),
    row.who,
    row.from,
    row.what,
    row.reason || "",
    row.before || "",
    row.after || "",
    [row.effect || "", row.done ? "" : "down"],
  ];
}

byId("find").onsubmit = (event) => {
  event.preventDefault();
  searchJournal();
};
byId("sift").onsubmit = (event) => event.preventDefault();
byId("whose").oninput = siftTrail;
