"""Market-making against a plain twin of its law: the same orders, the same withdrawals, always.

Quotes wander, the ATR changes and vanishes, orders are filled in parts, cancels take their time.
After every quote what was asked for and what is to be cancelled is exactly what the twin says; and
the position is what the venue's fills add up to.
"""

import random

import numpy as np
import pytest

from engine.domain.codes import EVENT_ENTRY, EventType
from engine.domain.limits import Bounds
from engine.domain.market_state import LOSS_USED_PPM
from engine.domain.strategy_table import StrategyRow
from tests.desk_rig import GENEROUS, MS, S, of_type
from tests.making_rig import MakingRig, PlainMaker, amended, is_open, maker_row, requested

T = EventType
PATIENT = GENEROUS._replace(order_timeout_ms=3_600_000)  # no doubt: that is another model
ROWS = (
    maker_row(width_atr=1.0, skew_atr=1.5, inventory=3.0, max_hold_s=0.0),
    maker_row(width_atr=0.2, skew_atr=4.0, inventory=2.0, micro_lean=1.0, requote_share=0.05),
    maker_row(width_atr=3.0, width_bps_max=6.0, claim=0.9, atr_bps_max=12.0, requote_s=0.2),
    maker_row(width_atr=0.0, width_bps_min=0.0, edge_min_bps=-1.0, claim=1.0, skew_atr=0.0),
    maker_row(width_atr=0.2, inventory=3.0, safe_from=0.25, safe_least=0.05, safe_edge_bps=4.0),
)


def fill_some(rig: MakingRig, chance: random.Random) -> None:
    for number, _ in list(rig.resting().values()):
        order = rig.venue.orders.get(number)
        if order is not None and order.is_open and chance.random() < 0.15:
            rig.hit(number, chance.randint(1, order.qty - order.filled))


@pytest.mark.parametrize("row", ROWS, ids=["plain", "tight", "bounded", "bare", "safe"])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_quote_causes_what_the_twin_says(row: StrategyRow, seed: int) -> None:
    chance = random.Random(seed)
    rig = MakingRig((row,), PATIENT)
    twin = PlainMaker(row)
    mid, orders_seen, moves_seen, held = 620_000.0, 0, 0, set()
    for _ in range(600):
        mid += chance.gauss(0, 25)
        bid = int(mid) - chance.choice([0, 0, 1, 5, 40])
        ask = bid + chance.choice([1, 1, 2, 30])
        if chance.random() < 0.05:
            rig.market.atr_ticks[:] = chance.choice([np.nan, 20.0, 300.0, 900.0])
        if chance.random() < 0.05:
            rig.market.progress[LOSS_USED_PPM] = chance.choice([0, 200_000, 500_000, 1_000_000])
        before = rig.wanted_away()
        twin.look(rig)
        qty = {"bid_qty": chance.randint(1, 4_000), "ask_qty": chance.randint(1, 4_000)}
        events = rig.show(bid, ask, after_ns=chance.choice([MS, 200 * MS, S]), **qty)
        orders, moved, away = twin.react(rig, bid, ask)
        assert requested(events) == orders
        assert amended(events) == moved
        numbers = events["order_sequence"][events["event_type"] == 2].tolist()
        for order, number in zip(orders, numbers, strict=True):
            twin.sides[order.side].number = number
        assert rig.wanted_away() - before == {n for n in away - before if is_open(rig, n)}
        if chance.random() < 0.7:
            rig.serve()
        fill_some(rig, chance)
        orders_seen, moves_seen = orders_seen + len(orders), moves_seen + len(moved)
        counted = orders_seen + moves_seen
        assert rig.desk.bounds["day_orders"].tolist() == [counted, 0, counted]
        held.add(np.sign(rig.lots(0, 0)))
        assert abs(rig.lots(0, 0)) <= twin.number_of("inventory") * twin.lots(ask) + twin.lots(ask)
    position = rig.venue.positions.get(0)
    assert rig.lots(0, 0) == (position.lots if position else 0)
    assert orders_seen > 20, "it quoted"
    assert moves_seen > 5, "and moved its quotes"
    assert held - {0}, "it held something"


@pytest.mark.parametrize("seed", [1, 2])
def test_a_days_orders_bound_what_a_maker_that_runs_away_may_open(seed: int) -> None:
    chance = random.Random(seed)
    most = 25
    bounds = {ROWS[0].name: Bounds(orders_per_day_max=most)}
    rig = MakingRig((ROWS[0],), PATIENT._replace(strategy_bounds=bounds))
    mid, used = 620_000.0, {True: 0, False: 0}
    for _ in range(400):
        mid += chance.gauss(0, 60)
        events = rig.show(int(mid), int(mid) + 1, after_ns=S)
        opening = [order.is_entry for order in requested(events)]
        opening += [bool(rig.row(n)["flags"] & EVENT_ENTRY) for n in amended(events)]
        assert used[True] + used[False] < most or not any(opening)
        for is_entry in opening:
            used[is_entry] += 1
        assert int(rig.desk.bounds["day_orders"][0]) == used[True] + used[False]
        rig.serve()
        fill_some(rig, chance)
    assert used[True] + used[False] >= most, "it ran into its bound"
    assert not any(row["flags"] & EVENT_ENTRY for row in rig.open_orders())
    assert of_type(rig.all_events(), T.BOUNDS_CHANGED)["day_entry_count"].max() >= most


@pytest.mark.parametrize("seed", range(4))
def test_no_side_ever_has_two_orders_and_none_meets_the_other(seed: int) -> None:
    chance = random.Random(seed)
    table = (maker_row("a", width_atr=0.3), maker_row("b", width_atr=0.1, skew_atr=5.0))
    rig = MakingRig(table)
    mid = 620_000.0
    for _ in range(300):
        mid += chance.gauss(0, 40)
        rig.show(int(mid), int(mid) + 1, after_ns=chance.choice([MS, S]))
        if chance.random() < 0.6:
            rig.serve()
        fill_some(rig, chance)
        rows = rig.open_orders()
        places = [(int(r["column"]), int(r["side"])) for r in rows]
        assert len(set(places)) == len(places), "one order a side"
        buys = rows["price_ticks"][rows["side"] > 0]
        sells = rows["price_ticks"][rows["side"] < 0]
        assert not len(buys) or not len(sells) or buys.max() < sells.min()
