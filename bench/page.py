"""The page: how long from going there until its numbers are shown and HALT answers a click.

Question: may somebody act a second after they went to the page? Load: `aegis run` against a
practice exchange with its usual generated market, trading, everything on the same cores; headless
Chromium goes to the page again and again, each time with its caches emptied before, or with them
as the last time left them. Frame after frame it is looked whether the cards stand there and HALT is
enabled; then it is clicked, and the time is that of the request the page makes for it, from the
start of the navigation by the browser's own clock. The request is not let out: how long a halt
takes from there is `bench.control`'s. Times have the grain of a frame, 17 ms. Baseline: a page of
the same elements without a script to speak of, from a bare `http.server`, in the same browser.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from bench import harness
from bench.control import children, running
from bench.harness import Bench, Pass
from bench.startup import exchange
from tests.chromium import Browser, browser_path

LOADS = 30  # of a pass
CARDS = 8
NAME = "page"
BARE = "empty page"
COLD, WARM = "empty caches", "warm caches"
BENCH = Bench(
    name="page",
    question="May somebody act a second after they went to the page?",
    load=f"an engine trades a generated market; {LOADS} loads of a pass, one after another",
    worry="HALT answers a click later than 1,000 ms after the navigation began",
    units=dict.fromkeys(("p50", "p99", "max"), "ms") | {"count": "times"},
    baseline=BARE,
)
EMPTY = (
    "<!doctype html><title>empty</title><div id=cards>"
    + "<div class=card><b>0</b></div>" * CARDS
    + "</div><button id=halt onclick=\"fetch('/v1/halt')\">HALT</button>"
)
# In every page before its own script: [first data shown, click answered], ms from navigation start.
PROBE = f"""window.answered = new Promise(done => {{
    const real = window.fetch;
    let shown = 0;
    window.fetch = (url, more) => {{
        if (!String(url).endsWith("/v1/halt")) return real(url, more);
        done([shown, performance.now()]);
        return new Promise(() => {{}});
    }};
    const look = () => {{
        const halt = document.getElementById("halt");
        if (!shown && document.querySelectorAll("#cards .card b").length >= {CARDS})
            shown = performance.now();
        if (shown && halt && !halt.disabled) halt.click(); else requestAnimationFrame(look);
    }};
    requestAnimationFrame(look);
}});"""


class Empty(BaseHTTPRequestHandler):
    """The least page that has what is looked for."""

    text = EMPTY

    def do_GET(self) -> None:
        """Answer everything with it."""
        body = self.text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextmanager
def served(handler: type[Empty] = Empty) -> Iterator[str]:
    """Serve a page for the length of the bench; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="empty page")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def opened(profile: Path, first_url: str) -> Iterator[Browser]:
    """Run a browser with the probe in every page for the length of the bench."""
    binary = browser_path()
    assert binary is not None, "no Chromium is installed on this machine"
    with Browser(binary, profile) as browser:
        browser.call("Network.enable")
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=PROBE)
        browser.open(first_url)  # of this machine, so one process of the browser shows all pages
        yield browser


@contextmanager
def trading(home: Path, exchange_url: str) -> Iterator[str]:
    """Run an engine with its usual strategies for the length of the bench; yield its page."""
    with running(home, NAME, "--exchange", exchange_url) as port:
        yield f"http://127.0.0.1:{port}/"


def loads(browser: Browser, url: str, is_cold: bool, count: int = LOADS) -> list[list[float]]:
    """Go to a page again and again; return [first data, click answered] of each, ms."""
    found = []
    for _ in range(count):
        if is_cold:
            browser.call("Network.clearBrowserCache")
        browser.open(url)
        shown_ms, answered_ms = browser.evaluate("answered")
        assert 0 < shown_ms <= answered_ms, (shown_ms, answered_ms)
        found.append([shown_ms, answered_ms])
    complaints = browser.unexpected()
    assert not complaints, complaints
    return found


def summary(waits_ms: list[float]) -> Pass:
    """Return what was waited."""
    return {
        "p50": float(np.percentile(waits_ms, 50)),
        "p99": float(np.percentile(waits_ms, 99)),
        "max": max(waits_ms),
        "count": float(len(waits_ms)),
    }


def one_pass(browser: Browser, empty_url: str, page_url: str) -> dict[str, Pass]:
    """Go to every page so many times, one case after another."""
    found = {BARE: summary([answered for _, answered in loads(browser, empty_url, True)])}
    for caches, is_cold in ((COLD, True), (WARM, False)):
        waits = loads(browser, page_url, is_cold)
        found[f"first data, {caches}"] = summary([shown for shown, _ in waits])
        found[f"HALT answers, {caches}"] = summary([answered for _, answered in waits])
    return found


def main() -> None:
    """Measure and report."""
    asked = harness.arguments(__doc__ or "")
    if browser_path() is None:
        sys.stderr.write("no Chromium is installed on this machine; nothing is measured\n")
        return
    about = harness.machine()
    results: dict[str, list[Pass]] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(os.environ.get("AEGIS_HOME", folder))
        with (
            exchange() as exchange_url,
            trading(home, exchange_url) as page_url,
            served() as empty_url,
            opened(Path(folder) / "profile", empty_url) as browser,
        ):
            case = partial(one_pass, browser, empty_url, page_url)
            patience = harness.Patience(asked.patience)
            for number in range(harness.WARM_UP_PASSES + asked.passes):
                sys.stderr.write(f"\rpass {number + 1}/{harness.WARM_UP_PASSES + asked.passes}")
                found, foreign = harness.quiet_pass(case, patience, children(os.getpid()))
                if number >= harness.WARM_UP_PASSES:
                    for name, waited in found.items():
                        results.setdefault(name, []).append({**waited, "foreign cores": foreign})
    sys.stderr.write("\r" + " " * 20 + "\r")
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
