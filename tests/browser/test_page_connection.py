"""The page and an engine that goes away: it says so, asks again, and shows the next one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chromium import Browser
from tests.engine_process import Engine, fetch, wait_for
from tests.page_rig import stop, text, trading, within

pytestmark = [pytest.mark.browser, pytest.mark.slow]

OFFLINE = (
    "net::ERR_",
    "503 (Service Unavailable)",
)  # what a browser says of an engine that is gone
LIVE = within(
    "live",
    f"its.connection.stream !== null && {text('#state')} === 'ENABLED' && {text('#banner')} === ''",
)
LOST = f"{text('#state')} === 'no connection' && {text('#banner')}.includes('trying again')"


SESSION = within("engine", "its.engine.session")
ANY_FILL = within("fills", "its.book.fills.count > 0")
SILENCE = """(() => {
    silent = its.connection.stream;
    its.connection.heardAtMs = 1;
    its.watch();
})()"""
TEN_TIMES_LATER = """(() => {
    const real = setTimeout, waits = [];
    setTimeout = (_, ms) => waits.push(ms);
    for (let n = 0; n < 9; n++) its.goLiveLater("trying again");
    setTimeout = real;
    its.goLiveLater("");
    return waits;
})()"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    home = tmp_path / "home"
    home.mkdir()
    running = trading(home, 3)
    yield running
    if running.process.poll() is None:
        stop(running)


class Asked(BaseHTTPRequestHandler):
    """A proxy without an engine behind it."""

    paths: list[str]

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_error(503)

    def log_message(self, *_words: object) -> None:
        pass


@contextmanager
def proxy_alone(port: int) -> Iterator[list[str]]:
    """Answer 503 on a port to everything; yield what is asked."""
    asked: list[str] = []

    class Here(Asked):
        paths = asked

    with HTTPServer(("127.0.0.1", port), Here) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def test_a_page_goes_live_again_with_the_next_engine_of_its_address(
    page: Browser, engine: Engine
) -> None:
    page.wait(ANY_FILL)
    page.evaluate("loadedOnce = true")
    session = page.evaluate(SESSION)
    after = page.evaluate(within("fills", "its.book.fills.after"))
    port = urlsplit(engine.url).port
    assert port
    page.provoke(*OFFLINE)
    stop(engine)
    page.wait(LOST)
    with proxy_alone(port) as asked:
        wait_for("the page to ask twice more", lambda: len(asked) >= 2)
    following = trading(engine.home, 4, port)
    try:
        page.wait(LIVE)
        page.wait(ANY_FILL)
        assert page.evaluate("loadedOnce"), "it came back by itself, without a reload"
        shown = page.evaluate(within("fills", "its.book.fills.latest.map(f => f.order_id)"))
        journal = fetch(following.url, "/v1/get_trade_journal?limit=1000") or {}
        assert page.evaluate(SESSION) == journal["session"] != session
        assert set(shown) <= {row["order_id"] for row in journal["rows"]}
        first_row = journal["rows"][0]["sequence"]
        assert first_row <= after, "the numbers of a session begin again"
    finally:
        stop(following)


def test_a_page_whose_first_question_fails_asks_again(visitor: Browser, engine: Engine) -> None:
    visitor.provoke(*OFFLINE)
    visitor.call("Network.enable")
    visitor.call("Network.setBlockedURLs", urls=["*/v1/whoami"])
    visitor.open(engine.url + "/")
    visitor.wait("document.getElementById('halt') !== null")
    visitor.wait(LOST)
    visitor.call("Network.setBlockedURLs", urls=[])
    visitor.wait(LIVE)
    assert not visitor.evaluate("document.getElementById('halt').disabled")


def test_a_stream_on_which_nothing_is_heard_is_opened_anew(page: Browser) -> None:
    page.wait(LIVE)
    page.evaluate(within("live", SILENCE))
    assert page.evaluate(LOST.replace("trying again", "nothing heard"))
    page.wait(within("live", "its.connection.stream !== silent"))
    page.wait(LIVE)
    assert page.evaluate("silent.readyState") == 2


def test_a_stream_refused_is_asked_for_ever_later_and_not_for_ever_later(page: Browser) -> None:
    page.provoke(*OFFLINE)
    page.wait(LIVE)
    waits = page.evaluate(within("live", TEN_TIMES_LATER))
    assert waits[0] <= 1_000 < waits[4]
    assert max(waits) <= 10_000


def test_a_halt_that_nobody_answers_is_told_as_that(page: Browser, engine: Engine) -> None:
    page.wait("!document.getElementById('halt').disabled")
    page.provoke(*OFFLINE)
    stop(engine)
    page.evaluate("document.getElementById('halt').click()")
    page.wait(f"{text('#banner')}.includes('halt: no answer from the engine')")
    page.wait(f"{text('#state')} === 'no connection'")
