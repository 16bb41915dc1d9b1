// The engine whose numbers are shown, who looks at it, and the ways to ask and to command it.
import { tell } from "./banner.js";

export const SILENT_MS = 15_000;
const HALT_PATIENCE_MS = 5000;
const PATIENCE_MS = 60_000;

export const engine = {
  session: "",
  caller: { scopes: [], csrf: "" },
  aheadMs: 0, // of the engine's clock
};

export function may(scope) {
  return engine.caller.scopes.includes(scope);
}

/** Ask who is looking, and what the engine's clock shows; throw when nobody says. */
export async function identify() {
  const answer = await fetch("/v1/whoami", { signal: AbortSignal.timeout(SILENT_MS) });
  if (!answer.ok) throw new Error("status " + answer.status);
  const clockMs = Date.parse(answer.headers.get("date"));
  if (clockMs) engine.aheadMs = clockMs - Date.now();
  engine.caller = await answer.json();
}

/** Return a document; null: no answer, or one of an engine that is not shown any more. */
export async function read(path) {
  const { session } = engine;
  try {
    const answer = await fetch("/v1/" + path, { signal: AbortSignal.timeout(SILENT_MS) });
    const found = answer.ok ? await answer.json() : null;
    return session === engine.session ? found : null;
  } catch {
    return null;
  }
}

/** Return whether a request was granted, and its answer. */
export async function ask(name, body) {
  try {
    const answer = await fetch("/v1/" + name, {
      method: "POST",
      headers: { "content-type": "application/json", "x-aegis-csrf": engine.caller.csrf },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(patienceMs(name)),
    });
    return [answer.ok, await answer.json()];
  } catch {
    return [false, { error: "no answer from the engine; whether it was done is not known" }];
  }
}

/** Give a command and tell what came of it; return whether it was done. */
export async function command(name, reason, more) {
  const [isDone, answer] = await ask(name, {
    who: "page",
    reason,
    request_id: "page-" + crypto.randomUUID(),
    // Who has gone wants nothing done later; the engine's clock counts, this one may be off.
    expires_ms: Date.now() + engine.aheadMs + patienceMs(name),
    ...more,
  });
  tell(isDone ? answer.effect : name + ": " + (answer.error || answer.effect), isDone);
  return isDone;
}

function patienceMs(name) {
  return name === "halt" ? HALT_PATIENCE_MS : PATIENCE_MS;
}
