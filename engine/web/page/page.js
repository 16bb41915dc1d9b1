// Where the page starts: boxes that scroll are reached by key, the stream is opened and watched,
// and the status that came with the page is shown.
import { byId } from "./elements.js";
import { goLive, receive, watch } from "./live.js";

const WATCHED_EVERY_MS = 5000;

for (const box of document.querySelectorAll(".scroll")) {
  box.tabIndex = 0;
  box.role = "region";
  box.ariaLabel = box.closest("section").querySelector("h2").textContent;
}
setInterval(watch, WATCHED_EVERY_MS);
goLive();
const first = byId("first").textContent;
if (first) receive(JSON.parse(first));
