// Buttons that command the engine: HALT at once, the others after one was asked and gave a reason.
import { byId } from "./elements.js";
import { command } from "./engine.js";

const CONFIRMATIONS = 3; // a busy venue may answer late
const ACTIONS = {
  resume: [
    "Resume trading",
    "Roles, market and books are checked in order, then the gates are re-armed.",
  ],
  pause: ["Pause", "No entries; exits and cancels go on."],
  reduce: ["Reduce", "Only orders that close positions pass."],
  flatten: ["Flatten", "Cancels all orders and closes all positions."],
};
const BOTH_LINES =
  "Both lines of a plan deliver until the one asked for was good for half a minute; " +
  "nothing is cut.";
const GAPS =
  "Holes in trade ids, instruments gone quiet and missing bars are asked of the venue's history.";
const FEED_ACTIONS = {
  first: feedAction("Market data by the first lines", "first"),
  second: feedAction("Market data by the second lines", "second"),
  gaps: ["Look for gaps", GAPS, "trigger_reconcile_gap", {}],
};
let pending = null;

function feedAction(title, line) {
  return [title, BOTH_LINES, "switch_primary_feeds", { line }];
}

/** Ask whether one is sure; then give the command, and call what is to happen after it. */
export function askFirst(title, text, name, more, after) {
  pending = { name, more, after };
  byId("asktitle").textContent = title;
  byId("asktext").textContent = text;
  byId("reason").value = "";
  byId("ask").returnValue = "";
  byId("ask").showModal();
  byId("reason").focus();
}

async function answered() {
  const { name, more, after } = pending;
  if (byId("ask").returnValue !== "yes") return;
  await command(name, byId("reason").value, more);
  if (after) after();
}

async function halt() {
  if (!(await command("halt", "halt button"))) return;
  for (let asked = 0; asked < CONFIRMATIONS; asked++) {
    if (await command("confirm_halt", "halt button")) return;
  }
}

byId("halt").onclick = halt;
byId("ask").onclose = answered;
for (const button of document.querySelectorAll("[data-act]")) {
  const name = button.dataset.act;
  button.onclick = () => askFirst(...ACTIONS[name], name);
}
for (const button of document.querySelectorAll("[data-feed]")) {
  button.onclick = () => askFirst(...FEED_ACTIONS[button.dataset.feed]);
}
for (const button of document.querySelectorAll("[data-back]")) {
  button.onclick = () => button.closest("dialog").close();
}
