"""What a chart is made of: bars and structure as the brain sees them, decisions and fills."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import TRADE_BUYER_AGGRESSOR, RecordType
from engine.domain.records import MARKET_DTYPE
from engine.domain.risk_reasons import RiskReason
from engine.domain.structure import StructureKind
from engine.store.reader import join_records
from engine.store.session import read_document
from research.chart_data import (
    NS_PER_S,
    Records,
    Span,
    bars_and_structure,
    busiest_instrument,
    by_clock,
    by_size,
    chart_data,
    instrument_records,
    marks,
    within,
)
from tests.builders import make_instrument
from tests.feature_bars import Bar
from tests.store_builders import as_bytes, open_market, write_session
from tests.store_events import decision, fill, repeated
from tests.structure_twins import coarse_walk, streamed_structure

START_NS = 1_700_000_000 * NS_PER_S


def trade(second: float, price: int, qty: int = 1, *, index: int = 0, buys: bool = True) -> Records:
    record = np.zeros(1, dtype=MARKET_DTYPE)
    record["record_type"] = RecordType.TRADE
    record["instrument_index"] = index
    record["venue_time_ns"] = START_NS + round(second * NS_PER_S)
    record["price_ticks"], record["qty_lots"] = price, qty
    record["flags"] = TRADE_BUYER_AGGRESSOR if buys else 0
    return record


def quote(second: float, index: int = 0) -> Records:
    record = trade(second, 1, index=index)
    record["record_type"] = RecordType.QUOTE
    return record


def joined(*records: Records) -> Records:
    return join_records(records, MARKET_DTYPE).copy()


def trades_of(bars: list[Bar]) -> Records:
    """Return trades that make these bars, a second each, and one more that closes the last."""
    parts = []
    for k, bar in enumerate(bars):
        prices = (bar.open, bar.high, bar.low, bar.close)
        parts += [trade(k + 0.1 * place, int(price)) for place, price in enumerate(prices)]
    return joined(*parts, trade(len(bars), int(bars[-1].close)))


def journal(tmp_path: Path, *records: Records) -> Path:
    directory = write_session(tmp_path / "practice-practice-paper", decision(), session_id="s-1")
    writer = open_market(directory)
    market = joined(*records)
    market["sequence"] = np.arange(len(market)) + 1
    writer.append(0, as_bytes(market))
    writer.close(is_end=False)
    return directory


def test_bars_hold_what_was_traded_in_them() -> None:
    bars = bars_and_structure(
        joined(trade(0, 100, 3), trade(0.5, 97, 2, buys=False), trade(1.2, 105)), by_clock(1)
    ).bars
    assert len(bars) == 1, "the newest is not closed"
    (bar,) = bars
    assert [int(bar[f"{name}_ticks"]) for name in ("open", "high", "low", "close")] == [
        100,
        100,
        97,
        97,
    ]
    assert (int(bar["volume_lots"]), int(bar["buy_lots"])) == (5, 3)
    assert int(bar["start_ns"]) == START_NS


def test_a_quote_closes_a_bar_only_after_the_grace_of_late_trades() -> None:
    early = joined(trade(0, 100), quote(1.1))
    assert len(bars_and_structure(early, by_clock(1)).bars) == 0
    late = joined(trade(0, 100), quote(1.2), trade(0.9, 90))
    bars = bars_and_structure(late, by_clock(1)).bars
    assert [int(bar["low_ticks"]) for bar in bars] == [100], "a closed bar never changes"


@pytest.mark.parametrize(
    ("words", "ends"),
    [
        ("tick:3", [2, 5]),
        ("volume:0.004", [1, 3, 5]),
        ("dollar:0.4", [1, 3, 5]),
        ("imbalance:0.004", [3, 5]),
    ],
)
def test_bars_may_end_by_what_was_traded(words: str, ends: list[int]) -> None:
    """One lot is 0.001, one tick 0.1: a trade of 2 lots at 1,000 ticks is worth 0.2."""
    trades = [trade(k, 1_000 + k, 2, buys=k != 1) for k in range(6)]
    length = by_size(words, make_instrument())
    seen = bars_and_structure(joined(*trades, quote(60)), length)
    assert [int(bar["close_ticks"]) - 1_000 for bar in seen.bars] == ends
    assert len(seen.open_sessions) == len(ends)
    assert length.label == words.replace(":", "-")


@given(st.integers(0, 50))
def test_the_structure_is_what_the_brain_knew_bar_by_bar(seed: int) -> None:
    walk = coarse_walk(120, seed)
    bars, events, _ = bars_and_structure(trades_of(walk), by_clock(1))
    assert len(bars) == len(walk)
    told = [
        (event.kind, event.side, event.bar, event.known_at, event.level, event.far)
        for event in events
    ]
    expected = streamed_structure(walk).events
    assert told == [
        (event.kind, event.side, event.bar, event.known_at, event.level, event.far)
        for event in expected
    ]


def test_only_the_instruments_own_records_are_taken(tmp_path: Path) -> None:
    directory = journal(
        tmp_path, trade(0, 1), trade(0, 2, index=1), trade(1, 3, index=1), quote(1, index=1)
    )
    assert len(instrument_records(directory, 0)) == 1
    assert len(instrument_records(directory, 1)) == 3
    assert busiest_instrument(directory) == 1


def test_a_journal_without_trades_has_no_busiest_instrument(tmp_path: Path) -> None:
    assert busiest_instrument(journal(tmp_path, quote(0))) == -1


def test_marks_are_decisions_with_their_inputs_and_fills_told_once(tmp_path: Path) -> None:
    mask = 1 << RiskReason.LEASE
    directory = write_session(
        tmp_path / "practice-practice-paper",
        decision(reason=3, strategy_index=1, venue_time_ns=5_000),
        decision(refusal_mask=mask, venue_time_ns=6_000),
        decision(instrument_index=1, venue_time_ns=6_000),
        fill(1, 501, 5, position_lots=5),
        repeated(fill(1, 501, 5)),
        session_id="s-1",
    )
    document = read_document(directory)
    decisions, fills = marks(directory, document, 0)
    assert [mark.is_refused for mark in decisions] == [False, True]
    assert "orderflow: entry, FLOW_SCORE" in decisions[0].detail
    assert "trade_flow 1" in decisions[0].detail
    assert "refused: LEASE" in decisions[1].detail
    assert [(mark.price, mark.position) for mark in fills] == [(100.0, 0.005)]
    whole = chart_data(directory, document, 0, by_clock(1))
    assert (whole.decisions, whole.fills) == (decisions, fills)
    assert within(whole, Span(5_500, 9_000)).decisions == decisions[1:]


@pytest.mark.parametrize("first", [0, 40, 77])
def test_a_span_shows_the_same_structure_wherever_it_begins(tmp_path: Path, first: int) -> None:
    directory = journal(tmp_path, trades_of(coarse_walk(120, 7)))
    document = read_document(directory)
    whole = chart_data(directory, document, 0, by_clock(1))
    begin_ns = START_NS + first * NS_PER_S
    part = within(whole, Span(begin_ns, 2**63 - 1))
    assert np.array_equal(part.bars, whole.bars[first:]), "field by field: rows are padded"
    moved = [
        (event.kind, event.bar + first, event.known_at + first, event.level)
        for event in part.structure
    ]
    assert moved == [
        (event.kind, event.bar, event.known_at, event.level)
        for event in whole.structure
        if event.bar >= first
    ]
    assert {event.kind for event in whole.structure} >= {StructureKind.SWING, StructureKind.GAP}
