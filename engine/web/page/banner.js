// The line above everything: what the engine notices, and what came of a command.
import { byId } from "./elements.js";

const ANSWER_STAYS_MS = 8000;
let answeredAtMs = 0;

export function banner(text, isCalm) {
  const node = byId("banner");
  node.textContent = text;
  node.className = isCalm ? "calm" : "";
  node.style.display = text ? "block" : "none";
}

/** Tell what came of a command; it stays for a while. */
export function tell(text, isCalm) {
  answeredAtMs = Date.now();
  banner(text, isCalm);
}

/** Tell what the engine notices, unless the answer to a command still stands there. */
export function notice(text, isCalm) {
  if (Date.now() - answeredAtMs > ANSWER_STAYS_MS) banner(text, isCalm);
}
