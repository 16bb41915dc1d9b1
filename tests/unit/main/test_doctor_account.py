"""`aegis doctor` and an account: the practice exchange is asked as a venue would be."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.clock import NS_PER_MS
from engine.config import Config, VenueConfig
from engine.processes.doctor_venue import clock_finding, look_at_account
from engine.processes.finding import Finding
from tests.engine_process import aegis
from tests.exchange_process import PracticeExchange
from tests.order_side import Exchange, running_exchange

Answers = dict[str, tuple[int, Any]]
TIME_OF_NOW = object()  # an answer: the clock when it is asked, however long the test waited before


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    with running_exchange("--generate", "2", "--seed", "3") as running:
        yield running


@pytest.fixture(autouse=True)
def calm(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "exchange" in request.fixturenames:
        request.getfixturevalue("exchange").fault(kind="clear")


def found_at(url: str, **changed: Any) -> dict[str, Finding]:  # noqa: ANN401  fields of a Config
    venue: dict[str, Any] = {"rest_url": url, "api_key": "practice", "api_secret": "practice"}
    venue |= changed.pop("venue", {})
    config = Config(venue=VenueConfig(**venue), **changed)
    return {finding.name: finding for finding in look_at_account(config)}


def symbols_of(exchange: Exchange) -> list[str]:
    return [instrument.symbol for instrument in exchange.instruments()]


def test_a_sound_account_has_nothing_to_remedy(exchange: Exchange) -> None:
    found = found_at(exchange.url)
    assert list(found) == [
        "venue clock",
        "instruments",
        "rate budget",
        "key",
        "position mode",
        "fees",
        "margin mode",
    ]
    assert {name: each.level for name, each in found.items()} == dict.fromkeys(found, "ok")
    assert found["instruments"].found.startswith(f"{len(symbols_of(exchange))} of ")
    assert "of 2,400 weight" in found["rate budget"].found
    assert found["position mode"].found == "one-way"


def test_the_offset_of_the_clock_is_measured(exchange: Exchange) -> None:
    exchange.fault(kind="time_offset", offset_ms=2_000)
    try:
        clock = found_at(exchange.url)["venue clock"]
    finally:
        exchange.fault(kind="time_offset", offset_ms=-2_000)
    offset_ms = float(clock.found.split(" ms", 1)[0].replace(",", ""))
    assert clock.level == "warn"
    assert 1_500 < offset_ms < 2_500
    assert "NTP" in clock.remedy


@pytest.mark.parametrize(
    ("offset_ms", "level"), [(0, "ok"), (250, "ok"), (-250, "ok"), (251, "warn"), (-251, "warn")]
)
def test_a_clock_is_judged_by_its_distance_either_way(offset_ms: int, level: str) -> None:
    assert clock_finding(offset_ms * NS_PER_MS, NS_PER_MS).level == level


def test_a_named_instrument_that_is_not_listed_is_said(exchange: Exchange) -> None:
    (known, *_) = symbols_of(exchange)
    some = found_at(exchange.url, instruments=(known, "NOSUCHUSDT"))["instruments"]
    assert some.level == "warn"
    assert "1 of 2 named; NOSUCHUSDT: the venue does not list it" in some.found
    none = found_at(exchange.url, instruments=("NOSUCHUSDT",))["instruments"]
    assert none.level == "fail", "nothing could be traded"


def test_an_unknown_key_fails_by_name_and_is_not_shown(exchange: Exchange) -> None:
    found = found_at(exchange.url, venue={"api_key": "key-in-clear", "api_secret": "s-in-clear"})
    assert found["venue clock"].level == "ok", "what needs no key is looked at all the same"
    assert found["key"].level == "fail"
    assert "permissions" in found["key"].remedy
    assert not any("in-clear" in each.found + each.remedy for each in found.values())


def test_a_wrong_secret_fails(exchange: Exchange) -> None:
    assert found_at(exchange.url, venue={"api_secret": "another"})["key"].level == "fail"


def test_without_a_key_the_account_is_not_asked(exchange: Exchange) -> None:
    found = found_at(exchange.url, venue={"api_key": ""})
    assert list(found) == ["venue clock", "instruments", "rate budget", "key"]
    assert found["key"].level == "ok", "paper money needs none"


def test_margin_and_leverage_that_a_start_would_change_are_said(exchange: Exchange) -> None:
    same = found_at(exchange.url, venue={"margin_type": "cross"})["margin mode"]
    assert same.level == "ok"
    differs = found_at(exchange.url, venue={"margin_type": "isolated"})["margin mode"]
    assert differs.level == "warn"
    assert "not the configured one" in differs.found
    lever = found_at(exchange.url, venue={"leverage": 7})["margin mode"]
    assert lever.level == "warn"
    assert not lever.fatal, "the start sets it"


# -- what the practice exchange never says ---------------------------------------------------------


@contextmanager
def venue_that_says(answers: Answers, headers: dict[str, str] | None = None) -> Iterator[str]:
    """Serve fixed answers by path; what is not among them is HTTP 404."""

    class Fixed(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            status, document = answers.get(path, (404, {}))
            if document is TIME_OF_NOW:
                document = {"serverTime": time.time_ns() // NS_PER_MS}
            body = json.dumps(document).encode()
            self.send_response(status)
            for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Fixed)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def sound() -> Answers:
    return {
        "/fapi/v1/time": (200, TIME_OF_NOW),
        "/fapi/v1/exchangeInfo": (200, {"symbols": []}),
        "/fapi/v2/account": (200, {"canTrade": True}),
        "/fapi/v1/positionSide/dual": (200, {"dualSidePosition": False}),
        "/fapi/v1/feeBurn": (200, {"feeBurn": False}),
        "/fapi/v2/positionRisk": (200, []),
    }


def test_hedge_mode_and_a_key_that_may_only_read_fail() -> None:
    answers = sound() | {
        "/fapi/v2/account": (200, {"canTrade": False}),
        "/fapi/v1/positionSide/dual": (200, {"dualSidePosition": True}),
    }
    with venue_that_says(answers) as url:
        found = found_at(url)
    assert (found["key"].level, found["key"].found) == ("fail", "known, may not trade")
    assert (found["position mode"].level, found["position mode"].found) == ("fail", "hedge")
    assert found["instruments"].level == "fail", "it lists none"


@pytest.mark.parametrize(
    ("status", "answer", "level", "said"),
    [
        (200, {"feeBurn": True}, "fail", "paid in BNB"),
        (200, {"feeBurn": False}, "ok", "paid in the quote currency"),
        (404, {"code": -5000, "msg": "Path is invalid."}, "ok", "paid in the quote currency"),
    ],
)
def test_fees_that_no_book_counts_fail(
    status: int, answer: dict[str, object], level: str, said: str
) -> None:
    with venue_that_says(sound() | {"/fapi/v1/feeBurn": (status, answer)}) as url:
        fees = found_at(url)["fees"]
    assert (fees.level, fees.found) == (level, said)


def test_a_venue_that_somebody_else_asks_much_is_a_warning() -> None:
    with venue_that_says(sound(), {"X-MBX-USED-WEIGHT-1M": "1900"}) as url:
        budget = found_at(url)["rate budget"]
    assert budget.level == "warn"
    assert budget.found.startswith("1,900 of 2,400")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/fapi/v1/time", "venue clock"),
        ("/fapi/v1/exchangeInfo", "instruments"),
        ("/fapi/v2/account", "key"),
        ("/fapi/v1/positionSide/dual", "position mode"),
        ("/fapi/v1/feeBurn", "fees"),
        ("/fapi/v2/positionRisk", "margin mode"),
    ],
)
def test_an_answer_that_fails_or_lies_is_that_lines_finding_alone(path: str, name: str) -> None:
    for answer in ((500, {}), (200, "not this"), (400, {"code": -2015, "msg": "no permission"})):
        answers = sound() | {path: answer}
        with venue_that_says(answers) as url:
            found = found_at(url)
        assert not found[name].good, answer
        others = set(found) - {name, "instruments"}
        assert {each: found[each].good for each in others} == dict.fromkeys(others, True)


def test_the_command_ends_with_3_when_the_account_cannot_trade(tmp_path: Path) -> None:
    exchange = PracticeExchange("--generate", "1")
    file = tmp_path / "aegis.toml"
    try:
        for key, code in (("practice", 0), ("unknown", 3)):
            lines = (
                f'rest_url = "{exchange.url}"',
                f'api_key = "{key}"',
                'api_secret = "practice"',
            )
            file.write_text("\n".join(("[venue]", *lines)), encoding="ascii")
            done = aegis(tmp_path / "home", "doctor", "--config", str(file), "--json")
            rows = {row["name"]: row["level"] for row in json.loads(done.stdout)}
            assert done.returncode == code, rows
            assert rows["key"] == ("ok" if code == 0 else "fail")
    finally:
        exchange.stop()
