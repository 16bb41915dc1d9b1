// The engine's status, which comes a few times a second: the header, the cards and their tables.
import { notice } from "./banner.js";
import { sparkline } from "./charts.js";
import { byId, chip, element, sideCell, table, when } from "./elements.js";
import { may } from "./engine.js";
import { count, money, sign, span, time, words } from "./format.js";

const POINTS_KEPT = 240;
const INSTRUMENTS_SHOWN = 40;
const BAR_WIDTH = 100;
const LIVENESS_TONE = {
  LIVE: "good",
  UNSUPPORTED: "",
  CONNECTING: "warn",
  SYNCING: "warn",
  SILENT: "warn",
  STALE: "bad",
  INVALID: "bad",
};
const ROLE_TONE = { READY: "good", SYNCED: "good", WARM: "good", FAULTED: "bad", STOPPED: "bad" };
const SETTLED = ["READY", "STOPPED", "FAULTED"];
const REASON_HEADS = [["reason"], ["count", 1], [""]];
const history = { rate: [], result: [] }; // of the lines on the cards

export function forgetHistory() {
  history.rate = [];
  history.result = [];
}

/** Keep a point of each line. */
export function remember(status) {
  history.rate.push(status.rates.records_per_s);
  history.result.push(status.pnl.realised + status.pnl.unrealised);
  for (const points of Object.values(history)) if (points.length > POINTS_KEPT) points.shift();
}

export function showStatus(status) {
  showHeader(status);
  showCards(status);
  showPositions(status.positions);
  showFeeds(status.sources);
  showInstruments(status.instruments);
  showDecisions(status);
  table(byId("refusals"), REASON_HEADS, bars(status.refusals), "none");
  table(byId("rejected"), REASON_HEADS, bars(status.rejected_records), "none");
  showRoles(status.roles);
  showOpenOrders(status.orders_open);
  showLatency(status.latency_us);
  notice(status.notice || waitingFor(status), !status.notice);
}

function showChip(id, text, tone) {
  byId(id).textContent = text;
  byId(id).className = "chip " + tone;
}

function showHeader({ mode, armed, trading_state: state, uptime_s, held_intents: held }) {
  const venue = mode.practice ? "practice money" : mode.trading_mode + " · " + mode.venue;
  showChip("money", venue, mode.practice ? "good" : "bad");
  const isEnabled = state === "ENABLED";
  showChip("state", state, state === "HALTED" ? "bad" : isEnabled ? "good" : "warn");
  const isArmed = armed.required && armed.armed;
  showChip("armed", armed.required ? (isArmed ? "ARMED" : "not armed") : "", isArmed ? "bad" : "");
  byId("source").textContent = mode.source || "";
  byId("clock").textContent = "up " + span(uptime_s);
  byId("resume").hidden = isEnabled || !may("operate");
  byId("waits").textContent = held ? held + (held > 1 ? " entries wait" : " entry waits") : "";
}

function showCards({ pnl, rates, counts, latency_us: latency }) {
  const result = pnl.realised + pnl.unrealised;
  byId("cards").replaceChildren(
    card("records / s", count(rates.records_per_s), "", history.rate),
    card("PnL after fees, " + pnl.currency, money(result), sign(result), history.result),
    card("realised / open", money(pnl.realised) + " / " + money(pnl.unrealised)),
    card("records", count(counts.records)),
    card("decisions / refusals", count(counts.decisions) + " / " + count(counts.refusals)),
    card("orders / fills", count(counts.orders) + " / " + count(counts.fills)),
    card("lag p50 / p99", medianAndTail(latency.lag)),
    card("tick to order p50 / p99", medianAndTail(latency.tick_to_order)),
  );
}

function medianAndTail({ count: times, p50, p99 }) {
  return times ? time(p50) + " / " + time(p99) : "–";
}

function card(label, value, className, values) {
  const made = element("div", null, "card");
  made.append(element("b", value, className), element("span", label));
  if (values) made.append(sparkline(values));
  return made;
}

function showPositions(positions) {
  const heads = [
    ["instrument"],
    ["strategy"],
    ["quantity", 1],
    ["entry", 1],
    ["after fees", 1],
    ["fees", 1],
  ];
  table(byId("positions"), heads, positions.map(positionCells), "no position yet");
}

function positionCells(position) {
  const quantity = Number(position.quantity);
  const net = position.realised_pnl - (position.fees || 0);
  return [
    position.instrument,
    position.strategy,
    quantity ? [position.quantity, sign(quantity)] : ["flat", "dim"],
    quantity ? position.average_entry_price : "–",
    [money(net), sign(net)],
    position.fees == null ? "–" : position.fees.toFixed(2),
  ];
}

function showFeeds({ connections = [], incidents = [], clock }) {
  const heads = [["connection"], ["state"], ["for"], ["lag p50", 1], ["p99", 1], ["says"]];
  table(byId("feeds"), heads, connections.map(connectionCells), "no connection yet");
  const known = clock ? "venue's clock known to " + time(1000 * clock.bound_ms) + " · " : "";
  byId("losses").textContent = known + (incidents[0] ? lossText(incidents[0]) : "nothing was lost");
}

function connectionCells({ name, state, late, for_s, lag_ms, refusal }) {
  const isReserve = state === "unwanted";
  const lag = (percentile) => (isReserve ? "–" : time(1000 * lag_ms[percentile]));
  let shown = chip(state, state === "up" ? "good" : "bad");
  if (isReserve) shown = chip("in reserve", "");
  else if (late) shown = chip("late", "warn");
  return [name, shown, span(for_s), lag("p50"), lag("p99"), element("span", refusal || "", "wrap")];
}

function lossText({ source, what, reason, state, lasted_ms }) {
  return `last loss: ${source} ${what} (${reason}), ${state} after ${span(lasted_ms / 1000)}`;
}

function showInstruments(instruments) {
  const heads = [["instrument"], ["bid", 1], ["ask", 1], ["channels"]];
  const rows = instruments
    .slice(0, INSTRUMENTS_SHOWN)
    .map(({ symbol, bid, ask, liveness }) => [
      chartLink(symbol),
      bid ?? "–",
      ask ?? "–",
      channels(liveness),
    ]);
  table(byId("instruments"), heads, rows, "none discovered yet");
}

function chartLink(symbol) {
  const link = element("a", symbol);
  link.href = "/v1/chart/" + encodeURIComponent(symbol);
  link.target = "_blank";
  link.rel = "noopener";
  link.title = "bars, structure, decisions and fills";
  return link;
}

/** Channels that are live as one chip, each other one as its own. */
function channels(liveness) {
  const box = element("span", null, "wrap");
  const all = Object.entries(liveness).filter(([, state]) => state !== "UNSUPPORTED");
  const live = all.filter(([, state]) => state === "LIVE").map(([name]) => name.toLowerCase());
  if (live.length) {
    const isAll = live.length === all.length;
    const some = isAll ? "all " + all.length : live.length + " of " + all.length;
    const together = chip(some + " live", "good");
    together.title = live.join(", ");
    box.append(together);
  }
  for (const [name, state] of all) {
    if (state === "LIVE") continue;
    box.append(chip(name.toLowerCase() + " " + state.toLowerCase(), LIVENESS_TONE[state] || ""));
  }
  return box;
}

function showDecisions(status) {
  const heads = [
    ["time"],
    ["instrument"],
    ["strategy"],
    ["side"],
    ["why"],
    ["score", 1],
    ["outcome"],
  ];
  const none = waitingFor(status) || "none yet: no strategy has seen an entry";
  table(byId("decisions"), heads, status.decisions_recent.map(decisionCells), none);
}

function decisionCells(decision) {
  const { time: at, instrument, strategy, reason, score, outcome } = decision;
  const shownScore = score == null ? "–" : Number(score).toFixed(2);
  return [when(at), instrument, strategy, sideCell(decision), reason, shownScore, outcome];
}

/** What the roles that are not ready do; empty when all are. */
function waitingFor({ roles }) {
  return roles
    .filter(({ state }) => !SETTLED.includes(state))
    .map(
      ({ name, state, progress }) =>
        name + " " + state.toLowerCase() + (progress ? ": " + progress : ""),
    )
    .join("; ");
}

function bars(counts) {
  const rows = Object.entries(counts || {}).sort(([, one], [, other]) => other - one);
  const most = rows.length ? rows[0][1] : 1;
  return rows.map(([reason, times]) => {
    const bar = element("div", null, "bar");
    bar.style.width = Math.max(2, (BAR_WIDTH * times) / most) + "px";
    return [reason, count(times), bar];
  });
}

function showRoles(roles) {
  const rows = roles.map(({ name, state, heartbeat_age_ms, pid }) => [
    name,
    chip(state, ROLE_TONE[state] || "warn"),
    count(heartbeat_age_ms),
    pid,
  ]);
  table(byId("roles"), [["role"], ["state"], ["beat ms", 1], ["pid", 1]], rows, "not started");
}

function showOpenOrders(orders) {
  const heads = [
    ["instrument"],
    ["side"],
    ["quantity", 1],
    ["price", 1],
    ["status"],
    ["client id"],
  ];
  const rows = orders.map((order) => [
    order.instrument,
    sideCell(order),
    order.quantity,
    order.price,
    order.status,
    order.client_order_id,
  ]);
  table(byId("orders"), heads, rows, "none resting");
}

function showLatency(latency) {
  const heads = [["what"], ["p50", 1], ["p99", 1], ["p99.9", 1], ["max", 1], ["count", 1]];
  const rows = Object.entries(latency).map(([name, found]) => {
    const times = [found.p50, found.p99, found.p999, found.max];
    const shown = times.map((us) => (found.count ? time(us) : "–"));
    return [words(name), ...shown, count(found.count)];
  });
  table(byId("latency"), heads, rows, "");
}
