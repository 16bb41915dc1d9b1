// What may enter: the modes of the engine's parts, and the entries that wait for a word.
import { askFirst } from "./buttons.js";
import { byId, element, sideCell, table } from "./elements.js";
import { may, read } from "./engine.js";
import { short, span } from "./format.js";

const PARTS_SHOWN = 400;
// From mild to severe: [class, what it does].
const MODES = {
  live: ["good", "Entries go."],
  simulate: [
    "warn",
    "Entries go where no order leaves for a third party; elsewhere they are recorded only.",
  ],
  shadow: ["warn", "Entries are recorded with their decision, and none is sent."],
  off: ["bad", "Entries are counted, not recorded."],
};
const SEVERITY = Object.keys(MODES);
const SCOPES = {
  module: "modules",
  strategy: "strategies",
  instrument: "instruments",
  regime: "regimes",
};
const NONE_WAITS =
  "None. Entries above approval.notional, or unusual for their strategy, " +
  "stand here until somebody says a word or they expire.";
const APPROVAL = "It passes every gate again, at the prices of that moment, and is sent once.";

let scope = "strategy";
let partsDrawn = "";
let entriesDrawn = "";
let expiries = []; // of the entries that wait: the elements that tell how long they still do

/** Draw everything anew the next time it is asked for. */
export function forgetEntries() {
  partsDrawn = entriesDrawn = "";
}

export function isAnyEntryShown() {
  return expiries.length > 0;
}

export async function showParts() {
  const found = await read("parts");
  if (!found) return;
  const isAllowed = may("operate");
  const drawing = JSON.stringify([found.rows, scope, isAllowed]);
  if (drawing === partsDrawn) return;
  labelScopes(found.rows);
  const focused = document.activeElement;
  const focusedLabel = byId("parts").contains(focused) ? focused.ariaLabel : "";
  const rows = found.rows.filter(({ part }) => part === "all" || part.startsWith(scope + ":"));
  const cells = rows.slice(0, PARTS_SHOWN).map((row) => partCells(row, isAllowed));
  table(byId("parts"), [["part"], ["mode"], ["by"], ["why"]], cells, "");
  byId("partsays").textContent =
    (isAllowed ? "" : "Log in as an operator to change a mode. ") +
    "An entry takes the most severe mode of those it belongs to; exits always go.";
  if (focusedLabel) focusChoice(focusedLabel);
  partsDrawn = drawing;
}

function labelScopes(rows) {
  for (const button of byId("scopes").children) {
    const name = button.dataset.scope;
    const held = rows.filter(({ part, mode }) => part.startsWith(name + ":") && mode !== "live");
    button.textContent = SCOPES[name] + (held.length ? " (" + held.length + " not live)" : "");
    button.setAttribute("aria-pressed", name === scope);
  }
}

function partCells(row, isAllowed) {
  const name = row.part === "all" ? "everything" : row.part.slice(row.part.indexOf(":") + 1);
  return [name, modeChoice(row, isAllowed), row.who, element("span", row.reason, "wrap")];
}

function modeChoice(row, isAllowed) {
  const choice = element("select", null, MODES[row.mode][0]);
  for (const mode of SEVERITY) {
    const isChosen = mode === row.mode;
    choice.append(new Option(mode, mode, isChosen, isChosen));
  }
  choice.ariaLabel = "mode of " + row.part;
  choice.disabled = !isAllowed;
  choice.onchange = () => {
    const mode = choice.value;
    choice.value = row.mode;
    askForMode(row, mode);
  };
  return choice;
}

function askForMode(row, mode) {
  const isMilder = SEVERITY.indexOf(mode) < SEVERITY.indexOf(row.mode);
  const text =
    MODES[mode][1] + " Exits always go." + (isMilder ? " A milder mode needs a reason." : "");
  const asked = { module: row.part, state: mode };
  askFirst(row.part + ": " + mode, text, "set_module_state", asked, showParts);
}

function focusChoice(label) {
  const choices = [...byId("parts").querySelectorAll("select")];
  choices.find((choice) => choice.ariaLabel === label)?.focus();
}

export async function showEntries() {
  const found = await read("held_intents");
  if (!found) return;
  const isAllowed = may("operate");
  const drawing = JSON.stringify([found.rows.map((row) => row.number), isAllowed]);
  if (drawing !== entriesDrawn || !found.rows.length) {
    entriesDrawn = drawing;
    expiries = found.rows.map(() => element("span"));
    const cells = found.rows.map((row, number) => [
      entryText(row),
      row.notional.toFixed(2),
      expiries[number],
      entryButtons(row, isAllowed),
    ]);
    table(byId("waiting"), [["entry"], ["notional", 1], ["ends in", 1], [""]], cells, NONE_WAITS);
  }
  found.rows.forEach((row, number) => {
    if (expiries[number]) expiries[number].textContent = span(Math.max(0, row.expires_s));
  });
}

function entryText(row) {
  const price = row.price ? short(row.price, 8) : "market";
  const text = element("span");
  text.append(
    row.number + ": ",
    element("span", ...sideCell(row)),
    " " + row.instrument,
    element("div", short(row.quantity, 8) + " at " + price, "dim"),
    element("div", row.strategy, "dim"),
  );
  return text;
}

function entryButtons(row, isAllowed) {
  const both = element("div", null, "wrap");
  const approve = entryButton(row, "Approve", APPROVAL, "approve_intent");
  approve.className = "go";
  const reject = entryButton(row, "Reject", "It is dropped.", "reject_intent");
  approve.disabled = reject.disabled = !isAllowed;
  both.append(approve, " ", reject);
  return both;
}

function entryButton(row, word, text, name) {
  const button = element("button", word + "…");
  const title = word + " entry " + row.number;
  const order = `${row.side} ${row.quantity} ${row.instrument} for ${row.strategy}. `;
  button.ariaLabel = title;
  button.onclick = () => askFirst(title, order + text, name, { number: row.number }, showEntries);
  return button;
}

for (const name in SCOPES) {
  const button = element("button", SCOPES[name]);
  button.dataset.scope = name;
  button.onclick = () => {
    scope = name;
    showParts();
  };
  byId("scopes").append(button, " ");
}
