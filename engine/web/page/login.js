// Who looks at the page: logging in and out, and what the page then lets one do.
import { banner, tell } from "./banner.js";
import { byId } from "./elements.js";
import { ask, engine, identify, may } from "./engine.js";

const ENDED = "Your session has ended. Log in to see this engine; what is shown is old.";
let isInvited = false;
let wasAdmitted = false;

/** Ask who is looking and show what they may; return whether they may read. */
export async function admit() {
  await identify();
  const { caller } = engine;
  const isOperator = may("operate");
  byId("who").textContent = caller.csrf
    ? caller.name + " (" + caller.role + "): log out"
    : "log in…";
  byId("halt").disabled = !may("halt");
  byId("acts").hidden = !isOperator;
  for (const button of byId("lines").querySelectorAll("button")) {
    button.disabled = !isOperator;
    button.title = isOperator ? "" : "Log in as an operator";
  }
  if (may("read")) {
    isInvited = false;
    wasAdmitted = true;
    return true;
  }
  invite();
  return false;
}

function invite() {
  banner(wasAdmitted ? ENDED : "Log in to see this engine.", true);
  if (isInvited) return;
  isInvited = true;
  byId("login").showModal();
}

async function logOut() {
  const [isDone, answer] = await ask("logout", {});
  if (isDone) location.reload();
  else tell(answer.error);
}

async function logIn(event) {
  event.preventDefault();
  const account = byId("account").value.trim();
  const secret = byId("secret").value.trim();
  const credential = account ? { account, password: secret } : { token: secret };
  const [isDone, answer] = await ask("login", credential);
  if (isDone) location.reload();
  else byId("loginerror").textContent = answer.error;
}

byId("who").onclick = () => {
  if (engine.caller.csrf) return logOut();
  byId("secret").value = "";
  byId("loginerror").textContent = "";
  byId("login").showModal();
};
byId("loginyes").onclick = logIn;
