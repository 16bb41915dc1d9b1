"""Bars and flow windows against plain models, on any order of trades and quotes."""

import math
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.bars import BAR_MASK, BAR_RING_BARS, LATE_GRACE_NS
from engine.domain.features import micro
from engine.domain.features.series import SERIES_BARS, TRADES
from engine.domain.strategy_table import select_rows
from tests.builders import MS, START_VENUE_NS, joined, make_instruments, make_quote, make_trade
from tests.market_runs import play

SECOND_MS = 1_000
ROWS = select_rows(["quote_imbalance"])

# (ms since the record before, which may be late; price; quantity; bought) or a quote (price 0).
STEPS = st.lists(
    st.tuples(st.integers(-1_500, 2_500), st.integers(0, 40), st.integers(1, 50), st.booleans()),
    min_size=1,
    max_size=60,
)


@dataclass
class PlainBars:
    """One-second bars by the rules of the module, with lists and dictionaries."""

    closed: list[dict[str, int]] = field(default_factory=list)
    forming: dict[str, int] | None = None
    closed_until_ms: int = 0
    late: int = 0

    def close_until(self, until_ms: int) -> None:
        if self.forming is not None and self.forming["start"] + SECOND_MS <= until_ms:
            self.closed.append(self.forming)
            self.closed_until_ms = self.forming["start"] + SECOND_MS
            self.forming = None

    def trade(self, at_ms: int, price: int, qty: int, bought: bool) -> None:
        self.close_until(at_ms)
        start = at_ms // SECOND_MS * SECOND_MS
        earliest = self.closed_until_ms if self.forming is None else self.forming["start"]
        if at_ms < earliest:
            self.late += 1
            return
        if self.forming is None:
            self.forming = {"start": start, "open": price, "high": price, "low": price}
            self.forming |= {"volume": 0, "bought": 0, "count": 0}
        bar = self.forming
        bar["high"] = max(bar["high"], price)
        bar["low"] = min(bar["low"], price)
        bar["close"] = price
        bar["volume"] += qty
        bar["bought"] += qty if bought else 0
        bar["count"] += 1


def timeline(steps: list[tuple[int, int, int, bool]]) -> list[tuple[int, int, int, bool]]:
    """Return the steps with absolute times, never before the start."""
    at_ms = 60_000
    out = []
    for elapsed, price, qty, bought in steps:
        at_ms = max(0, at_ms + elapsed)
        out.append((at_ms, price, qty, bought))
    return out


def records_of(steps: list[tuple[int, int, int, bool]]) -> np.ndarray:
    rows = []
    for at_ms, price, qty, bought in steps:
        venue_ns = START_VENUE_NS + at_ms * MS
        if price == 0:
            rows.append(make_quote(999, 1_001, venue_time_ns=venue_ns))
        else:
            rows.append(make_trade(1_000 + price, qty, buy=bought, venue_time_ns=venue_ns))
    return joined(rows)


@given(STEPS)
def test_bars_equal_a_plain_model(steps: list[tuple[int, int, int, bool]]) -> None:
    absolute = timeline(steps)
    market = play(records_of(absolute), make_instruments(1), ROWS, (1,)).market
    model = PlainBars(closed_until_ms=-(10**9))
    for at_ms, price, qty, bought in absolute:
        if price == 0:
            model.close_until(at_ms - LATE_GRACE_NS // MS)
        else:
            model.trade(at_ms, 1_000 + price, qty, bought)
    assert market.closed_count[0, 0] == len(model.closed)
    assert market.hot["late_trade_count"][0] == model.late
    for number in range(max(0, len(model.closed) - BAR_RING_BARS), len(model.closed)):
        bar, expected = market.closed[0, 0, number & BAR_MASK], model.closed[number]
        assert (bar["start_ns"] - START_VENUE_NS) // MS == expected["start"]
        assert bar["open_ticks"] == expected["open"]
        assert bar["high_ticks"] == expected["high"]
        assert bar["low_ticks"] == expected["low"]
        assert bar["close_ticks"] == expected["close"]
        assert bar["volume_lots"] == expected["volume"]
        assert bar["buy_lots"] == expected["bought"]
        assert bar["trade_count"] == expected["count"]
        assert bar["is_final"] == 1


@given(STEPS)
def test_no_trade_is_lost_between_bars(steps: list[tuple[int, int, int, bool]]) -> None:
    absolute = timeline(steps)
    market = play(records_of(absolute), make_instruments(1), ROWS, (1,)).market
    trades = [step for step in absolute if step[1] > 0]
    count = int(market.closed_count[0, 0])
    closed = market.series[0, 0, TRADES, SERIES_BARS : SERIES_BARS + count]
    in_bars = int(closed.sum() + market.forming["trade_count"][0, 0])
    assert in_bars + int(market.hot["late_trade_count"][0]) == len(trades)


@given(STEPS)
def test_trade_flow_equals_a_sum_over_its_window(steps: list[tuple[int, int, int, bool]]) -> None:
    absolute = timeline(steps)
    market = play(records_of(absolute), make_instruments(1), ROWS, (1,)).market
    bucket = 0
    signed: list[tuple[int, float]] = []
    for at_ms, price, qty, bought in absolute:
        bucket = max(bucket, (START_VENUE_NS + at_ms * MS) >> micro.BUCKET_SHIFT)
        if price > 0:
            signed.append((bucket, math.sqrt(qty) * (1 if bought else -1)))
    for column, length in (
        (micro.TRADE_FLOW_SHORT, micro.SHORT_BUCKETS),
        (micro.TRADE_FLOW_LONG, micro.FLOW_BUCKETS),
    ):
        inside = [flow for place, flow in signed if place > bucket - length]
        value = market.hot["micro"][0, column]
        if not inside:
            assert math.isnan(value)
            continue
        expected = sum(inside) / math.sqrt(sum(flow * flow for flow in inside))
        assert math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-9)
