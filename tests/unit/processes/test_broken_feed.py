"""A feed that is broken writes straight into the ring: the second layer refuses what it wrote.

Every poisoned quote carries an imbalance that makes the strategy enter; believed, it would be an
order. The same quote without its poison is one, so the test can fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from engine.domain.codes import Channel, EventType, RecordType
from engine.domain.features.micro import DEPTH_IMBALANCE
from engine.domain.firewall_lanes import FROZEN_NS, FROZEN_QUOTES, MOVES_WARM
from engine.domain.firewall_memory import BAR_VOLUME, DIVERGED_RUN
from engine.domain.firewall_reasons import FirewallReason
from engine.domain.instrument_row import FILTER_OFFSETS
from tests import builders
from tests.loop_rig import ASK, BID, LoopRig

R = FirewallReason
DAY_NS = 86_400_000_000_000
MS = 1_000_000
HUGE = 9_200_000_000_000_000_000
INT64_MIN = -(1 << 63)
TIMES = ("receive_time_ns", "venue_time_ns")

Change = Callable[[np.ndarray], None]


@pytest.fixture
def rig() -> Iterator[LoopRig]:
    made = LoopRig()
    made.run()
    made.sync()
    for _ in range(3):
        made.publish_market(made.quote())
    made.run_until_taken()
    made.drain_events()
    made.drain_commands()
    yield made
    made.stop()
    made.close()


def entry(rig: LoopRig) -> np.ndarray:
    return rig.quote(bid_lots=99_000, ask_lots=1_000)


def orders(rig: LoopRig) -> int:
    rig.run_until_taken()
    rig.run()
    requests = int((rig.drain_events()["event_type"] == EventType.ORDER_REQUEST).sum())
    assert len(rig.drain_commands()) == requests
    return requests


def refused(rig: LoopRig) -> dict[R, int]:
    counts = rig.state.market.reject_counts
    return {R(k): int(count) for k, count in enumerate(counts) if count}


def put(name: str, number: int) -> Change:
    def change(record: np.ndarray) -> None:
        record[name] = number

    return change


def add(name: str, number: int) -> Change:
    def change(record: np.ndarray) -> None:
        record[name] += number

    return change


QUOTES = [
    ("a type that is none", put("record_type", 99), R.RECORD_TYPE_UNKNOWN),
    ("type 0", put("record_type", 0), R.RECORD_TYPE_UNKNOWN),
    ("another instrument", put("instrument_index", 7), R.INSTRUMENT_UNKNOWN),
    ("the last instrument there is", put("instrument_index", 65_535), R.INSTRUMENT_UNKNOWN),
    ("a bid of zero", put("bid_price_ticks", 0), R.PRICE_NOT_POSITIVE),
    ("an ask below zero", put("ask_price_ticks", -ASK), R.PRICE_NOT_POSITIVE),
    ("the least number as a price", put("bid_price_ticks", INT64_MIN), R.PRICE_NOT_POSITIVE),
    ("a crossed quote", put("bid_price_ticks", ASK + 1), R.QUOTE_CROSSED),
    ("a locked quote", put("bid_price_ticks", ASK), R.QUOTE_LOCKED),
    ("half the price", put("bid_price_ticks", BID // 2), R.SPREAD_WIDE),
    ("an ask beyond any", put("ask_price_ticks", HUGE), R.NUMBER_RANGE),
    ("a quantity below zero", put("bid_qty_lots", -1), R.QTY_NEGATIVE),
    ("a quantity of zero", put("ask_qty_lots", 0), R.QTY_ZERO),
    ("a quantity beyond any", put("bid_qty_lots", HUGE), R.NUMBER_RANGE),
    ("tomorrow", add("venue_time_ns", DAY_NS), R.TIME_FUTURE),
    ("yesterday", add("venue_time_ns", -DAY_NS), R.TIME_PAST),
    ("the end of time", put("venue_time_ns", HUGE), R.TIME_FUTURE),
    ("received at the end of time", put("receive_time_ns", (1 << 63) - 1), R.TIME_FUTURE),
]


@pytest.mark.parametrize(
    ("change", "reason"),
    [row[1:] for row in QUOTES],
    ids=[row[0].replace(" ", "-") for row in QUOTES],
)
def test_a_poisoned_quote_in_the_ring_is_refused_and_causes_no_order(
    rig: LoopRig, change: Change, reason: R
) -> None:
    poisoned = entry(rig)
    change(poisoned)
    rig.publish_market(poisoned)
    assert orders(rig) == 0
    assert refused(rig) == {reason: 1}
    rig.publish_market(entry(rig))
    assert orders(rig) == 1, "the neighbour without poison is believed"
    assert refused(rig) == {reason: 1}


def test_a_price_from_nowhere_and_an_old_id_are_refused(rig: LoopRig) -> None:
    far, old, known = entry(rig), entry(rig), entry(rig)
    for name in ("bid_price_ticks", "ask_price_ticks"):
        far[name] *= 2
    first = rig.quote(ask_lots=5_001)
    first["aux"], far["aux"], old["aux"], known["aux"] = 101, 102, 100, 101
    rig.publish_market(first, far, old, known)
    assert orders(rig) == 0
    assert refused(rig) == {R.PRICE_JUMP: 1, R.ID_OUT_OF_ORDER: 1, R.ID_DUPLICATE: 1}


def test_a_feed_that_repeats_one_quote_for_ever_is_found_out(rig: LoopRig) -> None:
    step_ns = 2 * FROZEN_NS // FROZEN_QUOTES
    first = rig.quote(ask_lots=5_003)
    count = FROZEN_QUOTES + 20
    for step in range(count):
        again = first.copy()
        for name in TIMES:
            again[name] += (step - count) * step_ns  # the last one was received just now
        again["aux"] += step
        rig.publish_market(again)
    rig.run_until_taken()
    frozen = refused(rig)
    assert set(frozen) == {R.QUOTE_FROZEN}
    assert 10 <= frozen[R.QUOTE_FROZEN] <= 30
    alive = entry(rig)
    alive["aux"] += count
    rig.publish_market(alive)
    assert orders(rig) == 1, "a quote that moves ends it"


def stamped(rig: LoopRig, record: np.ndarray, **fields: int) -> np.ndarray:
    now = rig.quote()
    for name in TIMES:
        record[name] = now[name]
    for name, number in fields.items():
        record[name] = number
    return record


def test_other_records_that_no_venue_sends_are_refused(rig: LoopRig) -> None:
    minute_ns = 60_000_000_000
    start_ns = int(rig.quote()["venue_time_ns"][0]) // minute_ns * minute_ns
    rows = [
        (stamped(rig, builders.make_trade(price=0)), R.PRICE_NOT_POSITIVE),
        (stamped(rig, builders.make_trade(qty=INT64_MIN)), R.QTY_NEGATIVE),
        (stamped(rig, builders.make_level(HUGE, 1, bid=True)), R.NUMBER_RANGE),
        (stamped(rig, builders.make_level(BID, -1, bid=True)), R.QTY_NEGATIVE),
        (stamped(rig, builders.make_bar(high=-1, low=1), venue_time_ns=start_ns), R.BAR_RANGE),
        (stamped(rig, builders.make_bar(close=9), venue_time_ns=start_ns), R.BAR_OPEN_CLOSE),
        (stamped(rig, builders.make_bar(), venue_time_ns=start_ns + 1), R.BAR_TIME),
        (stamped(rig, builders.make_bar(trades=0), venue_time_ns=start_ns), R.BAR_VOLUME),
        (stamped(rig, builders.make_bar(open_ticks=HUGE)), R.NUMBER_RANGE),
        (stamped(rig, builders.make_bar(volume=HUGE)), R.NUMBER_RANGE),
        (stamped(rig, builders.make_mark(HUGE)), R.NUMBER_RANGE),
        (stamped(rig, builders.make_mark(), funding_rate_e8=INT64_MIN), R.FUNDING_RANGE),
        (builders.make_liveness(state=99), R.NUMBER_RANGE),  # type: ignore[arg-type]
        (builders.make_gap(channel=99), R.NUMBER_RANGE),  # type: ignore[arg-type]
    ]
    wanted: dict[R, int] = {}
    for record, reason in rows:
        rig.publish_market(record)
        wanted[reason] = wanted.get(reason, 0) + 1
    rig.run_until_taken()
    assert refused(rig) == wanted
    assert int(rig.state.market.hot["trade_count"][0]) == 0
    assert int(rig.state.market.hot["gap_count"][0]) == 0


def test_a_gap_the_feed_admits_is_no_poison(rig: LoopRig) -> None:
    rig.publish_market(builders.make_gap(channel=Channel.QUOTE))
    rig.run_until_taken()
    assert refused(rig) == {}


def test_a_price_that_leaps_out_of_a_calm_market_is_refused(rig: LoopRig) -> None:
    calm = [rig.quote(bid_lots=5_000 + step) for step in range(MOVES_WARM + 2)]
    rig.publish_market(*calm)
    leaping = entry(rig)
    for name in ("bid_price_ticks", "ask_price_ticks"):
        leaping[name] += BID // 50
    rig.publish_market(leaping)
    assert orders(rig) == 0
    assert refused(rig) == {R.PRICE_SPIKE: 1}
    rig.publish_market(entry(rig))
    assert orders(rig) == 1, "the market itself is believed"


def test_a_bar_that_contradicts_the_one_before_is_refused(rig: LoopRig) -> None:
    minute_ns = 60_000_000_000
    start_ns = int(rig.quote()["venue_time_ns"][0]) // minute_ns * minute_ns
    said = stamped(rig, builders.make_bar(final=False), venue_time_ns=start_ns)
    shrunk = stamped(rig, builders.make_bar(volume=50, final=False), venue_time_ns=start_ns)
    grown = stamped(rig, builders.make_bar(volume=150), venue_time_ns=start_ns)
    rig.publish_market(said, shrunk, grown)
    rig.run_until_taken()
    assert refused(rig) == {R.BAR_HISTORY: 1}
    kept = rig.state.market.hot["bar"][0]
    assert kept[BAR_VOLUME] == 150, "what the last one said is remembered"


def test_a_book_that_its_quotes_deny_is_not_looked_at(rig: LoopRig) -> None:
    book = builders.make_book([(BID, 7)], [(ASK, 9)], update_id=1)
    rig.publish_market(*(stamped(rig, book[k : k + 1]) for k in range(len(book))))
    rig.run_until_taken()
    imbalance = rig.state.market.hot["micro"][0]
    assert not np.isnan(imbalance[DEPTH_IMBALANCE])
    for step in range(DIVERGED_RUN + 1):
        rig.publish_market(rig.quote(bid_lots=5_000 + step))
        rig.update_id += 1
        touch = builders.make_level(BID - 50, 1 + step, bid=True, update_id=rig.update_id)
        rig.publish_market(stamped(rig, touch))
        rig.run_until_taken()
    assert refused(rig).keys() == {R.BOOK_DIVERGED}
    assert np.isnan(rig.state.market.hot["micro"][0, DEPTH_IMBALANCE])


def test_a_feed_that_closes_an_instrument_and_writes_nonsense_into_its_row(rig: LoopRig) -> None:
    """Only a bound may be written, and only what is a number for it."""
    before = rig.state.market.instruments.copy()
    for offset in (0, 72, 168, 9_999):
        rig.publish_market(builders.make_record(RecordType.FILTER, aux=offset, filter_number=1))
    least = FILTER_OFFSETS["min_notional_e8"]
    rig.publish_market(builders.make_record(RecordType.FILTER, aux=least, filter_number=-1))
    rig.run_until_taken()
    assert refused(rig) == {R.NUMBER_RANGE: 5}
    assert (rig.state.market.instruments == before).all()
    flags = FILTER_OFFSETS["flags"]
    rig.publish_market(builders.make_record(RecordType.FILTER, aux=flags, filter_number=2))
    rig.publish_market(entry(rig))
    assert orders(rig) == 0, "closed: no entry"
    rig.publish_market(builders.make_record(RecordType.FILTER, aux=flags, filter_number=3))
    rig.publish_market(entry(rig))
    assert orders(rig) == 1
