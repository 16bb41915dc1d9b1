"""Costs of a session's orders from its journal: by hand, framed anyhow, and with parts missing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.domain.codes import EVENT_DUPLICATE, EventType, Liquidity, OrderType, RecordType
from engine.domain.execution.asked import Method
from engine.domain.records import MARKET_DTYPE
from engine.domain.strategy_table import OUTSIDE_ROWS, StrategyKind, StrategyRow
from engine.store import order_costs
from engine.store.execution_costs import MARKOUTS_S, Costs, Execution, Mids, costs_of
from engine.store.order_costs import SessionCosts, session_costs
from tests.store_builders import Records, as_bytes, open_market, write_session
from tests.store_events import Row, event, fill, request

STATE = "binance-main-paper"
S = 1_000_000_000
ARRIVED = 100 * S


def quote(time_ns: int, bid: int, ask: int, index: int = 0) -> Row:
    return {
        "record_type": RecordType.QUOTE,
        "receive_time_ns": time_ns,
        "bid_price_ticks": bid,
        "ask_price_ticks": ask,
        "instrument_index": index,
    }


def trade(time_ns: int, price: int, lots: int, index: int = 0) -> Row:
    return {
        "record_type": RecordType.TRADE,
        "receive_time_ns": time_ns,
        "price_ticks": price,
        "qty_lots": lots,
        "instrument_index": index,
    }


def market_of(rows: list[Row], first: int) -> Records:
    records = np.zeros(len(rows), MARKET_DTYPE)
    for place, row in enumerate(rows):
        for name, entry in row.items():
            records[name][place] = entry
    records["sequence"] = np.arange(first, first + len(rows)) + 1
    return records


def written(
    root: Path,
    events: list[Row],
    market: list[Row],
    cuts: tuple[int, ...] = (),
    **how: Any,  # noqa: ANN401  of the market's writer
) -> Path:
    """Write a session; its market in frames that end at the cuts."""
    shutil.rmtree(root / STATE, ignore_errors=True)
    directory = write_session(root / STATE, *events)
    writer = open_market(directory, **how)
    ends = sorted({cut for cut in cuts if 0 < cut < len(market)} | {len(market)})
    first = 0
    for end in ends:
        if end > first:
            writer.append(first, as_bytes(market_of(market[first:end], first)))
        first = end
    writer.close(is_end=False)
    return directory


def asked(number: int = 1, lots: int = 5, **fields: Any) -> Row:  # noqa: ANN401
    known = {"decision_time_ns": ARRIVED, "mid_half_ticks": 2_000, "qty_lots": lots}
    return request(number, **(known | fields))


def filled(
    lots: int,
    price: int,
    at_ns: int,
    trade_id: int = 1,
    **fields: Any,  # noqa: ANN401  as `asked`
) -> Row:
    known = {"last_price_ticks": price, "time_ns": at_ns, "liquidity": Liquidity.TAKER}
    return fill(fields.pop("number", 1), trade_id, lots, **(known | fields))


def only(found: SessionCosts) -> Costs:
    ((_, costs),) = found.orders
    return costs


EVENTS = [
    asked(),
    filled(3, 1_001, ARRIVED + S, fee_e8=30),
    filled(2, 1_003, ARRIVED + 2 * S, 2, liquidity=Liquidity.MAKER, fee_e8=-5),
]
MARKET = [
    quote(ARRIVED - S, 500, 502),
    trade(ARRIVED - 1, 100, 1_000),
    quote(ARRIVED, 999, 1_001),
    trade(ARRIVED + S // 2, 1_001, 10),
    quote(ARRIVED + S // 2, 1_001, 1_003),
    quote(ARRIVED + S // 2, 1, 3, index=1),
    trade(ARRIVED + S, 1_001, 3),
    trade(ARRIVED + S, 9_999, 50, index=1),
    quote(ARRIVED + 2 * S, 1_003, 1_005),
    trade(ARRIVED + 2 * S, 1_003, 2),
    trade(ARRIVED + 2 * S + 1, 1_100, 500),
    quote(ARRIVED + 20 * S, 1_010, 1_012),
    quote(ARRIVED + 62 * S, 1_020, 1_022),
]


def test_every_figure_of_a_small_session_is_what_a_pencil_says(tmp_path: Path) -> None:
    costs = only(session_costs(written(tmp_path, EVENTS, MARKET)))
    assert (costs.wanted_lots, costs.filled_lots, costs.maker_lots, costs.fee_e8) == (5, 5, 2, 25)
    average = (3 * 1_001 + 2 * 1_003) / 5
    assert costs.average_ticks == pytest.approx(average)
    assert costs.arrival_bps == pytest.approx((average - 1_000) / 1_000 * 1e4)
    vwap = (10 * 1_001 + 3 * 1_001 + 2 * 1_003) / 15
    assert costs.vwap_bps == pytest.approx((average - vwap) / vwap * 1e4)
    spread = (3 * (1_001 - 1_002) / 1_002 + 2 * (1_003 - 1_004) / 1_004) / 5
    assert costs.spread_bps == pytest.approx(spread * 1e4)
    after_30_s = (3 * (1_011 - 1_001) / 1_001 + 2 * (1_011 - 1_003) / 1_003) / 5
    assert costs.markouts_bps[30] == pytest.approx(after_30_s * 1e4)
    after_60_s = (3 * (1_011 - 1_001) / 1_001 + 2 * (1_021 - 1_003) / 1_003) / 5
    assert costs.markouts_bps[60] == pytest.approx(after_60_s * 1e4)
    assert costs.missed_bps is None


def test_a_sale_of_half_at_a_better_price_earns_and_says_what_it_missed(tmp_path: Path) -> None:
    events = [asked(lots=10, side=-1), filled(5, 1_002, ARRIVED + 2 * S, side=-1)]
    costs = only(session_costs(written(tmp_path, events, MARKET)))
    assert costs.arrival_bps == pytest.approx(-20.0)
    assert costs.missed_bps == pytest.approx(-40.0), "a sale later would have been better"


def test_without_a_market_only_arrival_is_known(tmp_path: Path) -> None:
    costs = only(session_costs(written(tmp_path, EVENTS, [])))
    assert costs.arrival_bps is not None
    assert costs.vwap_bps is costs.spread_bps is None
    assert costs.markouts_bps == dict.fromkeys(MARKOUTS_S)


def test_a_recording_that_ends_says_nothing_of_what_came_after(tmp_path: Path) -> None:
    costs = only(session_costs(written(tmp_path, EVENTS, MARKET[:9])))
    assert costs.spread_bps is not None
    assert costs.markouts_bps == dict.fromkeys(MARKOUTS_S)


def test_a_market_whose_first_segments_were_removed_is_read_from_what_is_kept(
    tmp_path: Path,
) -> None:
    early = [quote(n, 10, 12) for n in range(2_000)]
    cuts = tuple(range(100, 2_001, 100))
    directory = written(tmp_path, EVENTS, [*early, *MARKET], cuts, segment_bytes=20_000)
    paths = sorted(directory.glob("market-*"))
    assert len(paths) > 2
    whole = session_costs(directory)
    paths[0].unlink()
    assert session_costs(directory) == whole


def test_one_side_of_a_book_is_no_mid(tmp_path: Path) -> None:
    events = [asked(mid_half_ticks=0), *EVENTS[1:]]
    market = [*MARKET[:2], quote(ARRIVED + 1, 0, 9_999), *MARKET[3:]]
    costs = only(session_costs(written(tmp_path, events, market)))
    assert costs.arrival_bps is None, "before the first quote"
    assert costs.spread_bps is not None


def test_a_fill_told_twice_counts_once_and_one_of_no_order_is_left_out(tmp_path: Path) -> None:
    again = EVENTS[1] | {"flags": EVENT_DUPLICATE}
    foreign = filled(9, 1_000, ARRIVED + S, 9, number=7)
    found = session_costs(written(tmp_path, [*EVENTS, again, foreign, asked(2)], MARKET))
    assert only(found).filled_lots == 5, "and an order without a fill has no costs"
    assert found.fills_left_out == 1


def test_an_order_that_waited_for_a_price_has_no_arrival_and_is_left_out(tmp_path: Path) -> None:
    guard = [asked(2, order_type=OrderType.STOP_MARKET), filled(5, 900, ARRIVED + S, 9, number=2)]
    found = session_costs(written(tmp_path, [*EVENTS, *guard], MARKET))
    assert only(found).filled_lots == 5
    assert found.fills_left_out == 1


def test_orders_beyond_the_bound_are_left_out_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_costs, "ORDERS_MAX", 2)
    events = []
    for number in range(1, 5):
        events += [asked(number), filled(5, 1_000, ARRIVED + S, number, number=number)]
    found = session_costs(written(tmp_path, events, MARKET))
    assert [order.client_order_id.split("-")[2] for order, _ in found.orders] == ["3", "4"]
    assert found.fills_left_out == 2


def test_a_market_beyond_the_bound_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = written(tmp_path, EVENTS, MARKET, tuple(range(len(MARKET))))
    monkeypatch.setattr(order_costs, "KEPT_MAX", 4)
    costs = only(session_costs(directory))
    assert costs.arrival_bps is not None
    assert costs.spread_bps is None


def test_what_is_far_from_every_order_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = [quote(ARRIVED + (200 + n) * S, 10, 12) for n in range(100)]
    directory = written(tmp_path, EVENTS, [*MARKET, *far])
    monkeypatch.setattr(order_costs, "KEPT_MAX", len(MARKET))
    assert only(session_costs(directory)).markouts_bps[60] is not None


def test_an_order_within_the_time_of_another_shortens_nothing(tmp_path: Path) -> None:
    events = [
        asked(1),
        asked(2, decision_time_ns=ARRIVED + S),
        filled(5, 1_000, ARRIVED + 2 * S, 1, number=2),
        filled(5, 1_000, ARRIVED + 30 * S, 2, number=1),
    ]
    late = [quote(ARRIVED + 85 * S, 1_099, 1_101), quote(ARRIVED + 99 * S, 1, 3)]
    (_, first), _ = session_costs(written(tmp_path, events, late)).orders
    assert first.markouts_bps[60] == pytest.approx(1_000.0)


# -- a twin that reads everything ------------------------------------------------------------------

TIMES = st.integers(0, 120)
QUOTES = st.builds(
    lambda at, bid, wide, index: quote(ARRIVED + at * S, bid, bid + wide, index),
    TIMES,
    st.integers(990, 1_010),
    st.integers(1, 4),
    st.integers(0, 1),
)
TRADES = st.builds(
    lambda at, price, lots, index: trade(ARRIVED + at * S, price, lots, index),
    TIMES,
    st.integers(990, 1_010),
    st.integers(1, 50),
    st.integers(0, 1),
)
ORDERS = st.lists(
    st.tuples(
        TIMES, st.sampled_from([-1, 1]), st.integers(0, 1),
        st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=3),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=40)
@given(
    market=st.lists(st.one_of(QUOTES, TRADES), max_size=40),
    orders=ORDERS,
    cuts=st.lists(st.integers(1, 40), max_size=4),
)
def test_reading_near_the_orders_says_what_reading_everything_says(
    tmp_path_factory: pytest.TempPathFactory,
    market: list[Row],
    orders: list[tuple[int, int, int, list[tuple[int, int]]]],
    cuts: list[int],
) -> None:
    market = sorted(market, key=lambda row: row["receive_time_ns"])
    events, wanted, trade_id = [], [], 0
    for number, (at, side, index, parts) in enumerate(orders, start=1):
        begun = ARRIVED + at * S
        fields = {"side": side, "instrument_index": index}
        events.append(asked(number, 30, decision_time_ns=begun, **fields))
        done = [Execution(begun + later * S, 1_000, lots) for later, lots in sorted(parts)]
        for one in done:
            trade_id += 1
            events.append(
                filled(one.qty_lots, 1_000, one.time_ns, trade_id, number=number, **fields)
            )
        own = [row for row in market if row["instrument_index"] == index]
        quotes = [r for r in own if "bid_price_ticks" in r and r["receive_time_ns"] > begun]
        mids = Mids(
            [begun, *(row["receive_time_ns"] for row in quotes)],
            [2_000, *(row["bid_price_ticks"] + row["ask_price_ticks"] for row in quotes)],
            max([begun, *(row["receive_time_ns"] for row in market)]),
        )
        traded = [
            (row["receive_time_ns"], row["price_ticks"], row["qty_lots"])
            for row in own
            if "price_ticks" in row
        ]
        wanted.append(costs_of(side, 30, begun, done, traded, mids))
    root = tmp_path_factory.mktemp("costs")
    found = session_costs(written(root, events, market, tuple(cuts)))
    assert [costs for _, costs in found.orders] == [
        each._replace(fee_e8=costs.fee_e8)
        for each, (_, costs) in zip(wanted, found.orders, strict=True)
    ]


# Parent orders.

NAMES = (
    StrategyRow(name="orderflow", kind=StrategyKind.ORDERFLOW),
    *OUTSIDE_ROWS,
)
HAND_INDEX, CHILD_INDEX = 1, 2


def begun(number: int, lots: int, **fields: Any) -> Row:  # noqa: ANN401  as `asked`
    row = {
        "instrument_index": 0, "strategy_index": CHILD_INDEX, "order_sequence": number,
        "epoch_low": 1, "side": 1, "order_type": Method.POV, "qty_lots": lots, "input_0": 1_000.0,
        "time_ns": ARRIVED, "order_status": 1,
    }  # fmt: skip
    return event(EventType.PARENT_STATE, **(row | fields))


def child(number: int, parent: int, lots: int, **fields: Any) -> Row:  # noqa: ANN401  as `asked`
    given = {"strategy_index": CHILD_INDEX, "cause_sequence": parent}
    return asked(number, lots, **(given | fields))


def test_a_parent_is_the_sum_of_its_childrens_fills_against_its_own_arrival(tmp_path: Path) -> None:
    events = [
        begun(10, 8),
        child(11, 10, 3, decision_time_ns=ARRIVED + S),
        filled(3, 1_001, ARRIVED + S, number=11),
        begun(10, 8, cum_qty_lots=3, input_0=2_000.0),  # how far it is; its arrival stays
        child(12, 10, 2, decision_time_ns=ARRIVED + 2 * S, mid_half_ticks=9),
        filled(2, 1_003, ARRIVED + 2 * S, 2, number=12),
        asked(13, 4, strategy_index=HAND_INDEX, cause_sequence=10),  # a person's: nobody's child
        filled(4, 1_010, ARRIVED + 2 * S, 3, number=13),
        begun(20, 5),  # never filled
    ]
    shutil.rmtree(tmp_path / STATE, ignore_errors=True)
    directory = write_session(tmp_path / STATE, *events, strategies=NAMES)
    writer = open_market(directory)
    writer.append(0, as_bytes(market_of(MARKET, 0)))
    writer.close(is_end=False)
    found = session_costs(directory)
    assert [order.client_order_id for order, _ in found.parents] == ["1-10"]
    ((parent, costs),) = found.parents
    assert (parent.strategy, parent.wanted_lots, costs.filled_lots) == ("pov", 8, 5)
    average = (3 * 1_001 + 2 * 1_003) / 5
    assert costs.average_ticks == pytest.approx(average)
    assert costs.arrival_bps == pytest.approx((average - 1_000) / 1_000 * 1e4)
    assert costs.missed_bps == pytest.approx((1_004 - 1_000) / 1_000 * 1e4)
    assert len(found.orders) == 3
    ((one, _),) = session_costs(directory, "1-10").parents
    assert one.client_order_id == "1-10"
    assert session_costs(directory, "1-10").orders == []


def test_a_parent_that_was_taken_up_says_so(tmp_path: Path) -> None:
    events = [begun(10, 8, time_in_force=2), child(11, 10, 3), filled(3, 1_001, ARRIVED, number=11)]
    directory = write_session(tmp_path / STATE, *events, strategies=NAMES)
    ((parent, _),) = session_costs(directory).parents
    assert parent.strategy == "pov, taken up"


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(990, 1_010)), max_size=9)
)
def test_parents_have_every_fill_of_their_children_once(
    tmp_path_factory: pytest.TempPathFactory, fills: list[tuple[int, int, int]]
) -> None:
    root = tmp_path_factory.mktemp("parents")
    events = [begun(number, 100) for number in (1, 2, 3)]
    for place, (parent, lots, price) in enumerate(fills):
        number = 10 + place
        events.append(child(number, parent, lots))
        events.append(filled(lots, price, ARRIVED + place * S, place + 1, number=number))
    directory = write_session(root / STATE, *events, strategies=NAMES)
    found = {order.client_order_id: costs for order, costs in session_costs(directory).parents}
    for parent in (1, 2, 3):
        own = [(lots, price) for of, lots, price in fills if of == parent]
        costs = found.get(f"1-{parent}")
        assert (costs.filled_lots if costs else 0) == sum(lots for lots, _ in own)
        if costs is not None:
            worth = sum(lots * price for lots, price in own)
            assert costs.average_ticks == pytest.approx(worth / costs.filled_lots)
