"""Bad market data into a whole running engine, through the socket; one engine takes every case.

Each poison must be counted by its reason in `/status`, its neighbour on the wire (a liquidation of
a quantity of its own) must come through, and the engine must live. Afterwards the journal is read:
nothing but lawful records ever reached the ring that decisions are made from, and the quotes of
the poisoned instrument went on after every case.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from engine.domain.codes import EventType, RecordType
from engine.domain.firewall_reasons import FirewallReason
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_EVENTS_FEED, SOURCE_MARKET
from engine.store.reader import read_records
from engine.store.verify import verify_session
from tests.engine_process import Engine, fetch, post, wait_for
from tests.exchange_process import PracticeExchange
from tests.feed_rig import Frames

pytestmark = pytest.mark.slow  # a whole engine, and a minute until suppressed refusals are said

R = FirewallReason
SYMBOL = "BTCUSDT"
HOUR_NS = 3_600_000_000_000
FLOOD_FRAMES = 2_000


class Case(NamedTuple):
    """One fault: the exchange's own, or a frame of ours on a stream."""

    kind: str
    reason: FirewallReason
    stream: str = ""
    make: Callable[[int], object] = lambda _: ""  # of the venue's time in ms


GOOD = Frames(SYMBOL, 100.0, wrapped=False)
AGG, DEPTH, KLINE, MARK = "aggTrade", "depth@100ms", "kline_1m", "markPrice@1s"

OF_THE_EXCHANGE = [
    Case("malformed", R.MALFORMED),
    Case("nan_price", R.NOT_FINITE),
    Case("infinite_price", R.NOT_FINITE),
    Case("negative_price", R.PRICE_NOT_POSITIVE),
    Case("zero_price", R.PRICE_NOT_POSITIVE),
    Case("negative_quantity", R.QTY_NEGATIVE),
    Case("crossed_quote", R.QUOTE_CROSSED),
    Case("unknown_symbol", R.SYMBOL_UNKNOWN),
    Case("tomorrow", R.TIME_FUTURE),
    Case("yesterday", R.TIME_PAST),
    Case("off_tick", R.OFF_TICK),
    Case("price_jump", R.PRICE_JUMP),
    Case("huge_update_id", R.ID_JUMP),
    Case("stale_update_id", R.ID_OUT_OF_ORDER),
    Case("duplicate", R.ID_DUPLICATE, "bookTicker"),
    Case("reorder", R.ID_OUT_OF_ORDER, "bookTicker"),
    Case("duplicate", R.ID_DUPLICATE, AGG),
    # A reordered aggTrade is no poison: it waits and leaves in its place.
    Case("duplicate", R.ID_DUPLICATE, DEPTH),
    Case("reorder", R.DEPTH_GAP, DEPTH),
    Case("gap", R.DEPTH_GAP, DEPTH),
]
OF_OURS = [
    Case("frame", R.NOT_FINITE, AGG, lambda ms: GOOD.agg_trade(ms, p="NaN")),
    Case("frame", R.NOT_FINITE, AGG, lambda ms: GOOD.agg_trade(ms, p=float("nan"))),
    Case("frame", R.NOT_FINITE, AGG, lambda ms: GOOD.agg_trade(ms, q="1e3")),
    Case("frame", R.PRICE_NOT_POSITIVE, AGG, lambda ms: GOOD.agg_trade(ms, p="0.00")),
    Case("frame", R.QTY_ZERO, AGG, lambda ms: GOOD.agg_trade(ms, q="0.000")),
    Case("frame", R.PRICE_NOT_POSITIVE, MARK, lambda ms: GOOD.mark_price(ms, p="-1")),
    Case("frame", R.BAR_RANGE, KLINE, lambda ms: GOOD.kline(ms, h="1.00", l="2.00")),
    Case("frame", R.MALFORMED, "bookTicker"),
    Case("frame", R.MALFORMED, "bookTicker", lambda _: "[" * 2_000),
    Case("frame", R.MALFORMED, "bookTicker", lambda _: '{"e":"bookTicker","u":1\u0000'),
    Case("frame", R.EVENT_UNKNOWN, "bookTicker", lambda _: '{"e":"surprise","s":"BTCUSDT"}'),
]
CASES = OF_THE_EXCHANGE + OF_OURS


class Live:
    """One exchange, one engine, and what was sent to them."""

    def __init__(self, home: Path) -> None:
        """Start both and wait until every channel is live."""
        self.exchange = PracticeExchange("--generate", "2", "--seed", "7")
        self.engine = Engine(home, "--exchange", self.exchange.url, "--name", "poison", "--json")
        self.home = home
        self.neighbours: list[int] = []
        self.injected: list[tuple[int, Case]] = []
        self._numbers = itertools.count(1)
        self._outcome: tuple[int, dict[str, Any]] | None = None

    def wait_live(self) -> None:
        self.engine.wait_ready()

        def live() -> bool:
            status = self.status()
            states = [set(row["liveness"].values()) for row in status["instruments"]]
            return states == [{"LIVE"}, {"LIVE"}]

        wait_for("every channel live", live)

    def status(self) -> dict[str, Any]:
        found = self.engine.status()
        assert found is not None, "the API does not answer"
        return found

    def count(self, reason: FirewallReason) -> int:
        return int(self.status()["rejected_records"].get(reason.name.lower(), 0))

    def fault(self, **order: object) -> None:
        assert post(self.exchange.url, "/practice/fault", order) == 200, order

    def venue_ms(self) -> int:
        answer = fetch(self.exchange.url, "/fapi/v1/time")
        assert answer is not None
        return int(answer["serverTime"])

    def inject(self, case: Case) -> None:
        stream = f"{SYMBOL.lower()}@{case.stream}"
        made = case.make(self.venue_ms())
        text = made if isinstance(made, str) else json.dumps(made, separators=(",", ":"))
        self.injected.append((time.monotonic_ns(), case))
        if case.kind == "frame":
            self.fault(kind="frame", stream=stream, text=text)
        elif case.stream:
            self.fault(kind=case.kind, stream=stream, count=1)
        else:
            self.fault(kind=case.kind, symbol=SYMBOL)

    def send_neighbour(self) -> None:
        """Send a good frame that nothing else on the wire can be taken for."""
        lots = 1_000_000 + next(self._numbers)
        quantity = f"{lots // 1000}.{lots % 1000:03d}"
        bid = fetch(self.exchange.url, f"/fapi/v1/ticker/bookTicker?symbol={SYMBOL}")
        assert bid is not None
        price = bid["bidPrice"]
        made = GOOD.force_order(
            self.venue_ms(), q=quantity, p=price, ap=price, l=quantity, z=quantity
        )
        self.fault(kind="frame", stream=f"{SYMBOL.lower()}@forceOrder", text=json.dumps(made))
        self.neighbours.append(lots)

    def finish(self) -> tuple[int, dict[str, Any]]:
        """Stop in order, once; return the exit code and the summary."""
        if self._outcome is None:
            code, output, _ = self.engine.terminate()
            self._outcome = code, json.loads(output)
        return self._outcome

    def journal(self) -> Path:
        (directory,) = (self.home / "state").glob("*/journal/*")
        return directory

    def log_lines(self, reason: FirewallReason) -> list[dict[str, Any]]:
        text = (self.home / "logs" / "orchestrator.log").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        return [
            line
            for line in lines
            if line["event"] == "RECORD_REJECTED" and line["reason"] == reason.name
        ]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    running = Live(tmp_path_factory.mktemp("poison"))
    try:
        running.wait_live()
        yield running
    finally:
        running.engine.kill()
        running.exchange.stop()


def test_a_flood_of_one_kind_is_one_line(live: Live) -> None:
    text = json.dumps({"e": "forceOrder", "E": 1, "o": {"s": SYMBOL, "S": "HOLD"}})
    for _ in range(FLOOD_FRAMES):
        live.fault(kind="frame", stream=f"{SYMBOL.lower()}@forceOrder", text=text)
    wait_for("the flood counted", lambda: live.count(R.SIDE_UNKNOWN) == FLOOD_FRAMES)
    live.send_neighbour()
    wait_for("its line", lambda: live.log_lines(R.SIDE_UNKNOWN))
    (line,) = live.log_lines(R.SIDE_UNKNOWN)
    assert line["instrument"] == SYMBOL
    assert line["suppressed_count"] < FLOOD_FRAMES


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{number}-{case.kind}-{case.stream}" for number, case in enumerate(CASES)]
)
def test_a_poison_is_counted_and_its_neighbour_passes(live: Live, case: Case) -> None:
    before, records = live.count(case.reason), live.status()["counts"]["records"]
    live.inject(case)
    live.send_neighbour()
    wait_for(f"{case.reason.name}", lambda: live.count(case.reason) == before + 1)
    wait_for("more records", lambda: live.status()["counts"]["records"] > records + 10)
    assert live.status()["trading_state"] == "ENABLED"


def test_what_was_suppressed_is_said_a_minute_later(live: Live) -> None:
    flooded = live.count(R.SIDE_UNKNOWN)
    if not flooded:
        test_a_flood_of_one_kind_is_one_line(live)
        flooded = live.count(R.SIDE_UNKNOWN)

    def all_said() -> bool:
        lines = live.log_lines(R.SIDE_UNKNOWN)
        return sum(1 + line["suppressed_count"] for line in lines) == flooded

    wait_for("every refusal in a line", all_said)
    times = [
        datetime.fromisoformat(line["timestamp"]).timestamp()
        for line in live.log_lines(R.SIDE_UNKNOWN)
    ]
    assert all(later - sooner >= 60 for sooner, later in itertools.pairwise(times))


def test_the_summary_counts_every_reason_and_the_books_agree(live: Live) -> None:
    shown = live.status()["rejected_records"]
    code, summary = live.finish()
    assert code == 0, summary
    assert summary["exchange_agrees"] is True, summary["differences"]
    for reason, number in shown.items():
        assert summary["rejected_records"][reason] >= number, reason
    expected = {case.reason.name.lower() for _, case in live.injected}
    assert expected <= set(summary["rejected_records"])


def test_nothing_unlawful_ever_reached_the_ring(live: Live) -> None:
    live.finish()
    assert verify_session(live.journal()).is_intact
    records = read_records(live.journal(), SOURCE_MARKET)
    assert (np.diff(records["sequence"]) == 1).all(), "the journal holds all that was decided on"
    assert set(records["instrument_index"].tolist()) <= {0, 1}
    quotes = records[records["record_type"] == RecordType.QUOTE]
    assert (quotes["bid_price_ticks"] > 0).all()
    assert (quotes["bid_price_ticks"] < quotes["ask_price_ticks"]).all()
    assert (quotes["bid_qty_lots"] > 0).all()
    of_first = quotes[quotes["instrument_index"] == 0]["bid_price_ticks"]
    assert of_first.max() < 2 * of_first.min(), "no jump to ten times the price"
    stamped = records[records["venue_time_ns"] > 0]
    bars = stamped["record_type"] == RecordType.BAR
    span = np.ptp(stamped["venue_time_ns"][~bars])
    assert span < HOUR_NS, "neither tomorrow nor yesterday"


def test_every_neighbour_is_there_once_and_quotes_went_on(live: Live) -> None:
    live.finish()
    records = read_records(live.journal(), SOURCE_MARKET)
    liquidations = records[records["record_type"] == RecordType.LIQUIDATION]
    seen = [lots for lots in liquidations["qty_lots"].tolist() if lots > 1_000_000]
    assert seen == live.neighbours
    quotes = records[
        (records["record_type"] == RecordType.QUOTE) & (records["instrument_index"] == 0)
    ]["receive_time_ns"]
    ends = [at_ns for at_ns, _ in live.injected[1:]]
    for (at_ns, case), end_ns in zip(live.injected, ends, strict=False):
        assert ((quotes > at_ns) & (quotes < end_ns)).any(), case


def test_the_journal_has_one_event_per_reason_and_minute(live: Live) -> None:
    live.finish()
    events = read_records(live.journal(), SOURCE_EVENTS_FEED)
    rejected = events[events["event_type"] == EventType.RECORD_REJECTED]
    for reason in {case.reason for _, case in live.injected}:
        times_ns = np.sort(rejected[rejected["reason"] == reason]["time_ns"])
        assert len(times_ns) >= 1, reason
        assert (np.diff(times_ns) >= 60_000_000_000).all(), reason


def test_no_order_was_caused_by_anything_else_than_a_journaled_record(live: Live) -> None:
    live.finish()
    market = read_records(live.journal(), SOURCE_MARKET)["sequence"]
    events = read_records(live.journal(), SOURCE_EVENTS_BRAIN)
    requests = events[events["event_type"] == EventType.ORDER_REQUEST]
    assert np.isin(requests["cause_sequence"], market).all()
