"""The routes through a real server: reading is free, changing needs token, Host and Origin."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.domain.codes import TradingState
from engine.processes.api import ApiThread, bind
from engine.processes.commands import Outcome
from engine.web.routes import create_app

DEADLINE_S = 20.0
TOKEN = "token-of-this-run"


class Board:
    """A status source with nothing behind it."""

    alive = True

    def status(self) -> dict[str, Any]:
        return {"name": "main", "mode": {"source": "</script><b>venue text"}}

    def health(self) -> tuple[bool, dict[str, Any]]:
        return self.alive, {"status": "ok" if self.alive else "faulted"}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        return False, {"ready": False, "waiting": {"brain": "WARMING"}}

    def metrics(self) -> str:
        return 'aegis_records_total{role="brain"} 5\n'

    def book(self, symbol: str, level_count: int) -> tuple[int, dict[str, Any]]:
        if symbol != "BTCUSDT":
            return 404, {"error": f"no instrument {symbol!r}"}
        return 200, {"symbol": symbol, "asked": level_count}


class Operator:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def __getattr__(self, name: str) -> Callable[[str, str], Outcome]:
        def act(who: str, reason: str) -> Outcome:
            self.told.append((name, who, reason))
            return Outcome(f"did {name}", name != "reconcile", TradingState.HALTED)

        return act


@pytest.fixture(scope="module")
def operator() -> Operator:
    return Operator()


@pytest.fixture(scope="module")
def port(operator: Operator) -> Iterator[int]:
    api = ApiThread(bind("127.0.0.1", 0))
    api.start()
    api.serve(lambda: create_app(Board(), operator, TOKEN))  # type: ignore[arg-type]
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if ask(api.port, "GET", "/metrics")[0] == 200:
            break
    yield api.port
    api.stop(5.0)


def ask(
    port: int,
    method: str,
    path: str,
    body: object = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        text = None if body is None else body if isinstance(body, str) else json.dumps(body)
        connection.request(method, path, text, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def test_reading_needs_no_token(port: int) -> None:
    for path, status in (("/health", 200), ("/livez", 200), ("/status", 200), ("/readyz", 503)):
        assert ask(port, "GET", path)[0] == status


def test_metrics_are_prometheus_text(port: int) -> None:
    _, body, headers = ask(port, "GET", "/metrics")
    assert b"aegis_records_total" in body
    assert headers["content-type"].startswith("text/plain; version=0.0.4")


def test_the_page_carries_the_token_for_this_machine_only(port: int) -> None:
    assert TOKEN.encode() in ask(port, "GET", "/")[1]
    foreign = ask(port, "GET", "/", headers={"Host": "rebound.example"})[1]
    assert TOKEN.encode() not in foreign
    assert b"{{token}}" not in foreign


def test_the_page_carries_its_first_picture_and_no_text_ends_it(port: int) -> None:
    page = ask(port, "GET", "/")[1].decode()
    _, _, rest = page.partition('id="first">')
    first, _, _ = rest.partition("</script>")
    assert json.loads(first) == Board().status()


def test_the_page_may_not_be_framed_or_load_from_elsewhere(port: int) -> None:
    headers = ask(port, "GET", "/")[2]
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-aegis-token": ""},
        {"x-aegis-token": "wrong"},
        {"x-aegis-token": TOKEN, "Origin": "http://evil.example"},
        {"x-aegis-token": TOKEN, "Host": "rebound.example"},
        {"x-aegis-token": TOKEN, "Host": "rebound.example", "Origin": "http://rebound.example"},
        {"Authorization": "Bearer wrong"},
    ],
)
def test_changing_without_the_right_to_is_refused(
    port: int, operator: Operator, headers: dict[str, str]
) -> None:
    before = len(operator.told)
    status, body, _ = ask(port, "POST", "/v1/halt", {"reason": "x"}, headers)
    assert status == 403
    assert b"error" in body
    assert len(operator.told) == before


@pytest.mark.parametrize(
    "headers", [{"x-aegis-token": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}]
)
def test_a_command_with_the_token_takes_effect(
    port: int, operator: Operator, headers: dict[str, str]
) -> None:
    status, body, _ = ask(port, "POST", "/v1/halt", {"who": "test", "reason": "why"}, headers)
    assert (status, json.loads(body)["trading_state"]) == (200, "HALTED")
    assert operator.told[-1] == ("halt", "test", "why")


def test_a_command_that_does_nothing_says_so(port: int) -> None:
    status, body, _ = ask(port, "POST", "/v1/reconcile", {}, {"x-aegis-token": TOKEN})
    assert (status, json.loads(body)["effect"]) == (409, "did reconcile")


def test_an_unknown_command_lists_the_known(port: int) -> None:
    status, body, _ = ask(port, "POST", "/v1/explode", {}, {"x-aegis-token": TOKEN})
    assert status == 404
    assert "halt" in json.loads(body)["commands"]


@pytest.mark.parametrize("body", ["{", "[]", '{"reason": 3}', '"x"', "x" * 10_000])
def test_a_bad_body_is_refused(port: int, operator: Operator, body: str) -> None:
    before = len(operator.told)
    assert ask(port, "POST", "/v1/halt", body, {"x-aegis-token": TOKEN})[0] == 400
    assert len(operator.told) == before


def test_commands_are_not_reachable_by_get(port: int) -> None:
    assert ask(port, "GET", "/v1/halt", headers={"x-aegis-token": TOKEN})[0] == 405


def test_the_live_stream_sends_status(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    line = answer.readline()
    connection.close()
    assert line.startswith(b"data: ")
    assert json.loads(line[6:]) == Board().status()


def test_a_whole_book_is_read_without_a_token_and_bounded(port: int) -> None:
    assert ask(port, "GET", "/v1/book/BTCUSDT")[:2] == (200, b'{"symbol":"BTCUSDT","asked":100}')
    assert json.loads(ask(port, "GET", "/v1/book/BTCUSDT?levels=4096")[1])["asked"] == 4096
    assert ask(port, "GET", "/v1/book/NOSUCH")[0] == 404
    for text in ("-1", "ten", "1e3", "", "9" * 30, "%D9%A3"):
        assert ask(port, "GET", f"/v1/book/BTCUSDT?levels={text}")[0] == 400, text
    assert ask(port, "POST", "/v1/book/BTCUSDT")[0] == 405
