"""What a session's orders cost to execute, from its journal alone.

    requests (arrival, mid) and fills -> orders with fills -> the market around each -> costs

Times are the session's monotonic clock: arrival is the decision, a fill is when the brain had it,
the market is when it was received. Fills of conditional orders are left out and counted. Where the
market was not journaled, or was removed to keep the journal's bound, what needs it is None; arrival
is in the request. Memory is bounded by the newest `ORDERS_MAX` requests and `KEPT_MAX` market
records; from the record that is one too many on, the market counts as not known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EVENT_DUPLICATE, EventType, Liquidity, OrderType, RecordType
from engine.domain.execution.asked import Method
from engine.domain.strategy_table import EXECUTION
from engine.store.event_names import Event, EventNames, member_name
from engine.store.execution_costs import (
    MARKOUTS_S,
    NS_PER_S,
    Costs,
    Execution,
    Mids,
    costs_of,
)
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_MARKET, segment_paths
from engine.store.quotes import two_sided
from engine.store.reader import read_batches, segment_header
from engine.store.session import SessionDocument, read_document

ORDERS_MAX: Final = 2_000
KEPT_MAX: Final = 2_000_000  # market records around the orders: 64 MB at most
AFTER_NS: Final = max(MARKOUTS_S) * NS_PER_S

Integers = NDArray[np.int64]


class WorkedOrder(NamedTuple):
    """An order that was asked for, or a parent order, and its fills in order of time."""

    client_order_id: str
    instrument: str
    strategy: str
    instrument_index: int
    side: int
    wanted_lots: int
    arrived_ns: int
    mid_half_ticks: int  # bid plus ask at the decision; 0: one side was empty
    unit_e8: int  # money of a tick times a lot
    fills: list[Execution]
    parent_number: int = 0  # of the parent order whose child it is; 0: of none

    @property
    def notional_e8(self) -> int:
        """Return what its fills traded, 1e-8 quote."""
        return sum(one.price_ticks * one.qty_lots for one in self.fills) * self.unit_e8

    @property
    def until_ns(self) -> int:
        """Return until when the market matters to it."""
        return self.fills[-1].time_ns + AFTER_NS


class MarketAround(NamedTuple):
    """Quotes and trades of one instrument near its orders, oldest first."""

    quote_times_ns: Integers
    half_ticks: Integers
    trades: Integers  # int64[n, 3]: time, price in ticks, lots


class SessionCosts(NamedTuple):
    """What orders with a fill cost, parent orders whole, and how many fills belong to none kept."""

    orders: list[tuple[WorkedOrder, Costs]]
    parents: list[tuple[WorkedOrder, Costs]]
    fills_left_out: int


def session_costs(directory: Path, client_order_id: str = "") -> SessionCosts:
    """Return what the orders of the session in a directory cost.

    Args:
        directory: of the session's journal.
        client_order_id: of the one order that is asked for, a parent's EPOCH-NUMBER; empty: all.

    Raises:
        StoreError: the journal or its document cannot be read.
    """
    document = read_document(directory)
    asked = _worked_orders(directory, document)
    both = [asked.orders, _worked_parents(asked)]
    if client_order_id:
        both = [[row for row in rows if row.client_order_id == client_order_id] for rows in both]
    market, known_until_ns = _market_around(directory, [*both[0], *both[1]])
    orders, parents = (
        [(order, _cost(order, market, known_until_ns)) for order in rows] for rows in both
    )
    return SessionCosts(orders, parents, asked.left_out)


class _Read(NamedTuple):
    """Orders with a fill, parents as they began, and fills that belong to no order kept."""

    orders: list[WorkedOrder]
    parents: dict[int, WorkedOrder]
    left_out: int


def _worked_parents(asked: _Read) -> list[WorkedOrder]:
    """Return the parents of which a child was filled, with all their children's fills."""
    for order in asked.orders:
        if order.parent_number in asked.parents:
            asked.parents[order.parent_number].fills.extend(order.fills)
    for parent in asked.parents.values():
        parent.fills.sort(key=lambda fill: fill.time_ns)
    return [parent for parent in asked.parents.values() if parent.fills]


def _worked_orders(directory: Path, document: SessionDocument) -> _Read:
    names, left_out = EventNames(document), 0
    known: OrderedDict[tuple[int, int], WorkedOrder] = OrderedDict()
    parents: dict[int, WorkedOrder] = {}
    for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
        if not len(batch.records):
            continue
        kinds = batch.records["event_type"]
        fresh = (batch.records["flags"] & EVENT_DUPLICATE) == 0
        is_fill = (kinds == EventType.FILL) & fresh
        for event in batch.records[kinds == EventType.PARENT_STATE]:
            if len(parents) < ORDERS_MAX:
                parents.setdefault(int(event["order_sequence"]), _begun(names, event))
        for event in batch.records[(kinds == EventType.ORDER_REQUEST) | is_fill]:
            key = (int(event["epoch_low"]), int(event["order_sequence"]))
            if event["event_type"] == EventType.ORDER_REQUEST:
                if event["order_type"] >= OrderType.STOP_MARKET:
                    continue  # it waits for a price: the mid of its request is no arrival
                known[key] = _asked(names, event)
                if len(known) > ORDERS_MAX:
                    left_out += len(known.popitem(last=False)[1].fills)
            elif key in known:
                known[key].fills.append(_filled(event))
            else:
                left_out += 1
    return _Read([order for order in known.values() if order.fills], parents, left_out)


def _asked(names: EventNames, event: Event) -> WorkedOrder:
    index = int(event["instrument_index"])
    return WorkedOrder(
        client_order_id=names.client_order_id(event),
        instrument=names.instrument(event),
        strategy=names.strategy(event),
        instrument_index=index,
        side=int(event["side"]),
        wanted_lots=int(event["qty_lots"]),
        arrived_ns=int(event["decision_time_ns"]) or int(event["time_ns"]),
        mid_half_ticks=int(event["mid_half_ticks"]),
        unit_e8=names.document.instruments[index].unit_e8,
        fills=[],
        parent_number=int(event["cause_sequence"]) if names.strategy(event) == EXECUTION else 0,
    )


def _begun(names: EventNames, event: Event) -> WorkedOrder:
    """Return a parent order as its first state has it: arrival is when it began.

    Of one of an earlier session that is when it was taken up; the mid is that of its beginning.
    """
    index = int(event["instrument_index"])
    again = ", taken up" if event["time_in_force"] else ""
    return WorkedOrder(
        client_order_id=names.order_id(event),
        instrument=names.instrument(event),
        strategy=member_name(Method, int(event["order_type"])).lower() + again,
        instrument_index=index,
        side=int(event["side"]),
        wanted_lots=int(event["qty_lots"]),
        arrived_ns=int(event["time_ns"]),
        mid_half_ticks=round(2 * float(event["input_0"])),
        unit_e8=names.document.instruments[index].unit_e8,
        fills=[],
    )


def _filled(event: Event) -> Execution:
    return Execution(
        time_ns=int(event["time_ns"]),
        price_ticks=int(event["last_price_ticks"]),
        qty_lots=int(event["last_qty_lots"]),
        is_maker=bool(event["liquidity"] == Liquidity.MAKER),
        fee_e8=int(event["fee_e8"]),
    )


def _spans(orders: Sequence[WorkedOrder]) -> dict[int, tuple[Integers, Integers]]:
    """Return for each instrument when its market matters: begins and ends, apart and rising."""
    found: dict[int, list[list[int]]] = {}
    for order in sorted(orders, key=lambda each: each.arrived_ns):
        spans = found.setdefault(order.instrument_index, [])
        if spans and order.arrived_ns <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], order.until_ns)
        else:
            spans.append([order.arrived_ns, order.until_ns])
    return {
        index: (np.array([a for a, _ in spans]), np.array([b for _, b in spans]))
        for index, spans in found.items()
    }


def _market_around(
    directory: Path, orders: Sequence[WorkedOrder]
) -> tuple[dict[int, MarketAround], int]:
    """Return the market near the orders by instrument, and until when it is known."""
    spans = _spans(orders)
    parts: dict[int, list[NDArray[np.void]]] = {index: [] for index in spans}
    known_until_ns = kept = 0
    paths = segment_paths(directory, SOURCE_MARKET) if orders else []
    header = segment_header(paths[0]) if paths else None
    batches = read_batches(directory, SOURCE_MARKET, header.first_sequence) if header else ()
    for batch in batches:
        if not len(batch.records):
            continue
        near = {index: _near(batch.records, index, span) for index, span in spans.items()}
        kept += sum(len(records) for records in near.values())
        if kept > KEPT_MAX:
            break
        for index, records in near.items():
            parts[index].append(records)
        known_until_ns = int(batch.records["receive_time_ns"].max())
    return {index: _around(found) for index, found in parts.items() if found}, known_until_ns


def _near(
    records: NDArray[np.void], index: int, span: tuple[Integers, Integers]
) -> NDArray[np.void]:
    begins, ends = span
    kinds = records["record_type"]
    wanted = (kinds == RecordType.QUOTE) | (kinds == RecordType.TRADE)
    own: NDArray[np.void] = records[wanted & (records["instrument_index"] == index)]
    place = np.searchsorted(begins, own["receive_time_ns"], side="right") - 1
    inside: NDArray[np.void] = own[(place >= 0) & (own["receive_time_ns"] <= ends[place])]
    return inside


def _around(parts: Sequence[NDArray[np.void]]) -> MarketAround:
    quotes = [two_sided(part) for part in parts]
    trades = [part[part["record_type"] == RecordType.TRADE] for part in parts]
    columns = ("receive_time_ns", "price_ticks", "qty_lots")
    return MarketAround(
        np.concatenate([part["receive_time_ns"] for part in quotes]),
        np.concatenate([part["bid_price_ticks"] + part["ask_price_ticks"] for part in quotes]),
        np.stack([np.concatenate([part[name] for part in trades]) for name in columns], axis=1),
    )


def _cost(order: WorkedOrder, market: dict[int, MarketAround], known_until_ns: int) -> Costs:
    """Return an order's costs; its own request is the quote at its arrival."""
    times, halves, trades = [], [], []
    if order.mid_half_ticks > 0:
        times, halves = [order.arrived_ns], [order.mid_half_ticks]
    around = market.get(order.instrument_index)
    if around is not None:
        first = np.searchsorted(around.quote_times_ns, order.arrived_ns, side="right")
        last = np.searchsorted(around.quote_times_ns, order.until_ns, side="right")
        times += around.quote_times_ns[first:last].tolist()
        halves += around.half_ticks[first:last].tolist()
        ends = (order.arrived_ns, order.fills[-1].time_ns + 1)
        first, last = np.searchsorted(around.trades[:, 0], ends)
        trades = [(when, price, lots) for when, price, lots in around.trades[first:last].tolist()]
    mids = Mids(times, halves, max(known_until_ns, order.arrived_ns))
    return costs_of(order.side, order.wanted_lots, order.arrived_ns, order.fills, trades, mids)
