"""What a chart shows of one instrument in one session: bars, structure, decisions, fills.

Bars and structure come from the brain's own kernels, run over the journaled market, so a picture
shows what the brain saw. A trade that the firewall refused is in the picture all the
same: the journal keeps what was received. Times are the venue's, ns since the epoch; prices and
quantities are floats in the instrument's units: a picture needs no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.bar_kinds import TradeColumns, collect_bars, create_kind_state
from engine.domain.bar_sizes import BarKind, bar_size
from engine.domain.bars import (
    BAR_DTYPE,
    BAR_MASK,
    BAR_RING_BARS,
    LATE_GRACE_NS,
    apply_trade_to_bar,
    close_bar,
)
from engine.domain.codes import (
    EVENT_DUPLICATE,
    EVENT_ENTRY,
    TRADE_BUYER_AGGRESSOR,
    EventType,
    RecordType,
)
from engine.domain.features.batch import create_features, fold_structure
from engine.domain.features.catalogue import catalogue_text, compile_plan
from engine.domain.features.series import BAR_INPUTS, read_bar
from engine.domain.instrument_row import E8, Instrument
from engine.domain.records import MARKET_DTYPE
from engine.domain.risk_reasons import reasons_of
from engine.domain.strategy_table import StrategyReason
from engine.domain.structure import StructureKind
from engine.domain.structure_state import EVENT_MASK, EVENT_RING, Part
from engine.store.event_names import EventNames, member_name
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_MARKET
from engine.store.reader import join_records, read_batches
from engine.store.session import SessionDocument
from research.chart_shapes import Shapes, StructureEvent, clipped, shapes

NS_PER_S: Final = 1_000_000_000
SESSION_FIRST: Final = Part.ASIA - 1  # place of the first session among the spans
SESSION_BITS: Final = np.array([1, 2, 4])
Records = NDArray[np.void]


class Span(NamedTuple):
    """A stretch of venue time, ns; both ends count."""

    begin_ns: int
    end_ns: int

    def holds(self, time_ns: int) -> bool:
        """Return whether a time lies in it."""
        return self.begin_ns <= time_ns <= self.end_ns


class BarLength(NamedTuple):
    """What ends a bar: the clock every `timeframe_s`, or so much traded."""

    label: str
    timeframe_s: int = 0  # 0: not the clock
    kind: BarKind = BarKind.CLOCK
    threshold: int = 0  # unit by the kind (`engine.domain.bar_kinds`)


def by_clock(timeframe_s: int) -> BarLength:
    """Return bars of so many seconds."""
    return BarLength(f"{timeframe_s} s", timeframe_s)


def by_size(words: str, instrument: Instrument) -> BarLength:
    """Return an instrument's bars by words such as "dollar:250000".

    Raises:
        BarSizeError: they name no bar.
    """
    size = bar_size(words)
    threshold = size.threshold(instrument.symbol, instrument.lot_size, instrument.unit_e8)
    return BarLength(size.label(instrument.symbol), 0, size.kind, threshold)


class Mark(NamedTuple):
    """Something at a time and a price: a decision or a fill."""

    time_ns: int
    price: float
    side: int
    label: str  # of a decision its reason, of a fill its strategy
    detail: str  # all that is known of it, one fact per line
    is_refused: bool = False
    position: float = 0.0  # the strategy's, after a fill


class ChartData(NamedTuple):
    """Everything a picture needs."""

    symbol: str
    length: str  # of a bar, in words
    bars: Records  # BAR_DTYPE[n], in ticks and lots
    tick: float
    lot: float
    structure: tuple[StructureEvent, ...]
    drawn: Shapes  # what the structure looks like
    open_sessions: NDArray[np.int64]  # int64[n], bit k: the k-th of Asia, London, New York is open
    decisions: tuple[Mark, ...]
    fills: tuple[Mark, ...]


def instrument_records(directory: Path, index: int) -> Records:
    """Return the journaled quotes and trades of an instrument, as they were received."""
    parts = []
    for batch in read_batches(directory, SOURCE_MARKET):
        records = batch.records
        wanted = records["instrument_index"] == index
        wanted &= np.isin(records["record_type"], (RecordType.QUOTE, RecordType.TRADE))
        parts.append(records[wanted])
    return join_records(parts, MARKET_DTYPE)


def busiest_instrument(directory: Path) -> int:
    """Return the index of the instrument with most trades; -1: no trade was journaled."""
    counts = np.zeros(1 << 16, dtype=np.int64)
    for batch in read_batches(directory, SOURCE_MARKET):
        trades = batch.records[batch.records["record_type"] == RecordType.TRADE]
        counts += np.bincount(trades["instrument_index"], minlength=len(counts))
    return int(counts.argmax()) if counts.any() else -1


class Seen(NamedTuple):
    """What the brain saw of an instrument's bars."""

    bars: Records  # BAR_DTYPE[n]
    events: tuple[StructureEvent, ...]
    open_sessions: NDArray[np.int64]  # int64[n], as of ChartData


def bars_and_structure(records: Records, length: BarLength) -> Seen:
    """Return the closed bars of quotes and trades, and what their structure made known.

    Args:
        records: MARKET_DTYPE[n], quotes and trades of one instrument in order.
        length: what ends a bar.
    """
    bars = _bars_by_clock(records, length) if length.timeframe_s else _bars_by_size(records, length)
    catalogue = compile_plan(catalogue_text())
    state = create_features(catalogue)
    inputs = np.zeros(BAR_INPUTS)
    events: list[StructureEvent] = []
    sessions: list[int] = []
    for bar in bars:
        before = int(state.structure["event_count"][0])
        read_bar(bar, inputs)
        fold_structure(catalogue.plan, state, inputs)
        events.extend(_structure_events(state.structure[0], before))
        shares = state.structure["session_share"][0, SESSION_FIRST:]
        sessions.append(int(np.isfinite(shares) @ SESSION_BITS))
    return Seen(bars, tuple(events), np.array(sessions, dtype=np.int64))


def _bars_by_clock(records: Records, length: BarLength) -> Records:
    timeframe_ns = length.timeframe_s * NS_PER_S
    forming = np.zeros((1, 1), dtype=BAR_DTYPE)
    ring = np.zeros((1, 1, BAR_RING_BARS), dtype=BAR_DTYPE)
    count = np.zeros((1, 1), dtype=np.int64)
    bars: list[np.void] = []
    for kind, flags, time_ns, price, qty in _columns(records):
        is_trade = kind == RecordType.TRADE
        until_ns = time_ns if is_trade else time_ns - LATE_GRACE_NS
        ends_ns = int(forming["start_ns"][0, 0]) + timeframe_ns
        if forming["trade_count"][0, 0] and ends_ns <= until_ns:
            close_bar(forming, ring, count, 0, 0, timeframe_ns)
            bars.append(ring[0, 0, (int(count[0, 0]) - 1) & BAR_MASK].copy())
        if is_trade:
            is_buy = bool(flags & TRADE_BUYER_AGGRESSOR)
            apply_trade_to_bar(forming[0, 0], timeframe_ns, time_ns, price, qty, is_buy)
    return np.array(bars, dtype=BAR_DTYPE)


def _bars_by_size(records: Records, length: BarLength) -> Records:
    trades = records[records["record_type"] == RecordType.TRADE]
    columns = TradeColumns(
        trades["venue_time_ns"].copy(),
        trades["price_ticks"].copy(),
        trades["qty_lots"].copy(),
        ((trades["flags"] & TRADE_BUYER_AGGRESSOR) != 0).astype(np.uint8),
    )
    bars = np.zeros(len(trades), dtype=BAR_DTYPE)
    count = collect_bars(create_kind_state(1), length.kind, length.threshold, columns, bars)
    return bars[:count]


def _columns(records: Records) -> Iterator[tuple[int, ...]]:
    names = ("record_type", "flags", "venue_time_ns", "price_ticks", "qty_lots")
    return zip(*(records[name].tolist() for name in names), strict=True)


def _structure_events(row: np.void, before: int) -> Iterator[StructureEvent]:
    count = int(row["event_count"])
    for number in range(max(before, count - EVENT_RING), count):
        k = number & EVENT_MASK
        yield StructureEvent(
            StructureKind(int(row["event_kind"][k])),
            int(row["event_side"][k]),
            int(row["event_bar"][k]),
            int(row["event_known_at"][k]),
            int(row["event_broken_at"][k]),
            float(row["event_level_ticks"][k]),
            float(row["event_far_ticks"][k]),
            int(row["event_part"][k]),
        )


def marks(
    directory: Path, document: SessionDocument, index: int
) -> tuple[tuple[Mark, ...], tuple[Mark, ...]]:
    """Return the decisions and the fills of an instrument."""
    instrument, names = document.instruments[index], EventNames(document)
    decisions: list[Mark] = []
    fills: list[Mark] = []
    for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
        for event in batch.records[batch.records["instrument_index"] == index]:
            if event["event_type"] == EventType.SIGNAL_GENERATED:
                decisions.append(_decision(names, instrument, event))
            elif event["event_type"] == EventType.FILL and not event["flags"] & EVENT_DUPLICATE:
                fills.append(_fill(names, instrument, event))
    return tuple(decisions), tuple(fills)


def _decision(names: EventNames, instrument: Instrument, event: np.void) -> Mark:
    refused = reasons_of(int(event["refusal_mask"]))
    reason = member_name(StrategyReason, int(event["reason"]))
    wants = "entry" if event["flags"] & EVENT_ENTRY else "exit"
    facts = [
        f"{names.strategy(event)}: {wants}, {reason}",
        f"score {float(event['input_0']):.4g}",
        *(f"{name} {number:.4g}" for name, number in names.inputs(event).items()),
        *(f"{name} {number:.4g}" for name, number in names.weighed(event).items()),
        *([f"because {because}"] if (because := names.because(event)) else []),
        f"quantity {instrument.qty_text(int(event['qty_lots']))}",
        "refused: " + " ".join(gate.name for gate in refused) if refused else "all gates passed",
    ]
    return Mark(
        time_ns=int(event["venue_time_ns"]),
        price=int(event["price_ticks"]) * instrument.tick_size,
        side=int(event["side"]),
        label=reason,
        detail="<br>".join(facts),
        is_refused=bool(refused),
    )


def _fill(names: EventNames, instrument: Instrument, event: np.void) -> Mark:
    quantity = instrument.qty_text(int(event["last_qty_lots"]))
    price = instrument.price_text(int(event["last_price_ticks"]))
    facts = [
        f"{names.strategy(event)}: {quantity} at {price}",
        f"realised {int(event['realised_pnl_e8']) / E8:+.4f}",
        f"fee {int(event['fee_e8']) / E8:.4f}",
        f"order {names.client_order_id(event)}",
    ]
    return Mark(
        time_ns=int(event["venue_time_ns"]),
        price=int(event["last_price_ticks"]) * instrument.tick_size,
        side=int(event["side"]),
        label=names.strategy(event),
        detail="<br>".join(facts),
        position=int(event["position_lots"]) * instrument.lot_size,
    )


def chart_data(
    directory: Path, document: SessionDocument, index: int, length: BarLength
) -> ChartData:
    """Return what a chart of an instrument shows, over its whole session."""
    instrument = document.instruments[index]
    bars, events, sessions = bars_and_structure(instrument_records(directory, index), length)
    tick = instrument.tick_size
    structure = tuple(e._replace(level=e.level * tick, far=e.far * tick) for e in events)
    decisions, fills = marks(directory, document, index)
    return ChartData(
        symbol=instrument.symbol,
        length=length.label,
        bars=bars,
        tick=tick,
        lot=instrument.lot_size,
        structure=structure,
        drawn=shapes(structure, len(bars)),
        open_sessions=sessions,
        decisions=decisions,
        fills=fills,
    )


def within(data: ChartData, span: Span) -> ChartData:
    """Return what lies in a span. The structure is what the whole session made known of it."""
    starts = data.bars["start_ns"]
    shown = np.flatnonzero((starts >= span.begin_ns) & (starts <= span.end_ns))
    first, behind = (int(shown[0]), int(shown[-1]) + 1) if len(shown) else (0, 0)
    return data._replace(
        bars=data.bars[first:behind],
        drawn=clipped(data.drawn, first, behind),
        open_sessions=data.open_sessions[first:behind],
        structure=tuple(
            event._replace(
                bar=event.bar - first,
                known_at=event.known_at - first,
                broken_at=event.broken_at - first if event.broken_at >= 0 else -1,
            )
            for event in data.structure
            if first <= event.bar and event.known_at < behind
        ),
        decisions=tuple(mark for mark in data.decisions if span.holds(mark.time_ns)),
        fills=tuple(mark for mark in data.fills if span.holds(mark.time_ns)),
    )
