"""Every gate: what passes it, what it refuses, and that a refusal names every failing one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.domain.codes import (
    Channel,
    EventType,
    Liveness,
    Mode,
    ModeScope,
    OrderStatus,
    TradingState,
)
from engine.domain.limits import Bounds, RiskLimits
from engine.domain.risk_reasons import GATES, RISK_REASON_TEXT, RiskReason, reasons_of
from engine.domain.strategy_table import EVERY_STRATEGY
from engine.domain.words import Word
from tests.bracket_rig import bracket_rows
from tests.builders import make_instruments
from tests.desk_rig import ASK, BID, E8, GENEROUS, MS, DeskRig, S, of_type, types

R = RiskReason
T = EventType
ARMED = {"third_party": True, "allow_orders": True, "dry_run": False, "enable_order_exec": True}


def connected(limits: RiskLimits = GENEROUS, rows: np.ndarray | None = None) -> DeskRig:
    rig = DeskRig(limits, rows=rows)
    rig.connect()
    return rig


def limited(**changes: float) -> RiskLimits:
    return RiskLimits(**(GENEROUS._asdict() | changes))


def with_filters(**fields: int) -> DeskRig:
    rows = make_instruments(2)
    for name, number in fields.items():
        rows[name] = number
    return connected(rows=rows)


def stop(rig: DeskRig) -> DeskRig:
    rig.control(T.CONTROL_STOP_INTENTS)
    return rig


def halted() -> DeskRig:
    rig = connected()
    rig.outer = TradingState.HALTED
    rig.step()
    return rig


def disconnected() -> DeskRig:
    rig = connected()
    rig.report(T.VENUE_DISCONNECTED)
    return rig


def unsynced() -> DeskRig:
    rig = DeskRig()
    rig.report(T.RESTORE_END)
    rig.report(T.VENUE_CONNECTED)
    return rig


def with_unknown_order() -> DeskRig:
    rig = connected()
    order = rig.order(1, 1)
    rig.report(T.ORDER_UNKNOWN, order_sequence=order, epoch_low=1)
    return rig


def leaseless() -> DeskRig:
    rig = connected()
    rig.report(T.EXECUTOR_FAULT, reason=R.LEASE_LOST)
    return rig


def not_trading() -> DeskRig:
    return with_filters(flags=0)


def silent_book() -> DeskRig:
    rig = connected()
    rig.desk.liveness[0, Channel.BOOK] = Liveness.STALE
    return rig


def stale_quote() -> DeskRig:
    rig = connected(limited(price_age_ms=5000))
    rig.wait(6)
    return rig


def used_up_entries() -> DeskRig:
    rig = connected(limited(entries_per_day_max=3))
    for _ in range(3):
        rig.order(1, 1)
    return rig


def lost_on_the_day() -> DeskRig:
    rig = connected(limited(daily_loss_ratio_max=0.01))
    lose(rig, 101 * E8)
    return rig


def fallen_from_the_peak() -> DeskRig:
    rig = connected(limited(drawdown_ratio_max=0.01))
    lose(rig, 101 * E8)
    return rig


def failed_in_a_row() -> DeskRig:
    rig = connected(limited(consecutive_failures_max=3))
    for _ in range(3):
        rig.update(rig.order(1, 1), OrderStatus.REJECTED)
    return rig


def lose(rig: DeskRig, amount_e8: int) -> None:
    rig.report(T.FUNDING, instrument_index=0, trade_id=1, funding_e8=-amount_e8)


def rated(**changes: int) -> DeskRig:
    rig = connected(limited(**changes))
    for _ in range(4):
        rig.update(rig.order(1, 1), OrderStatus.NEW)
    return rig


def crowded() -> DeskRig:
    rig = connected(limited(open_orders_max=2))
    rig.order(1, 1)
    rig.order(1, 1)
    return rig


def short_of_memory() -> DeskRig:
    rig = connected()
    rig.control(T.CONTROL_MEMORY, reason=R.MEMORY_STATE)
    return rig


def guarded_at_the_venue() -> DeskRig:
    rig = DeskRig(table=bracket_rows())
    rig.connect()
    rig.state.market.strategy_memory["stop_ticks"] = 50.0
    entry = rig.order(1, 5)
    rig.fill(entry, 1, 5, side=1, order_status=OrderStatus.FILLED, cum_qty_lots=5)
    assert of_type(rig.all_commands(), T.COMMAND_NEW)["order_type"].tolist() == [1, 3]
    rig.update(entry + 1, OrderStatus.NEW, venue_order_id=0)
    return rig


def shadowed() -> DeskRig:
    rig = connected()
    rig.control(T.CONTROL_MODE, order_type=ModeScope.ALL, time_in_force=Mode.SHADOW)
    return rig


def bounded(**bounds: Any) -> DeskRig:  # noqa: ANN401  of any kind
    return connected(GENEROUS._replace(strategy_bounds={EVERY_STRATEGY: Bounds(**bounds)}))


def of_venue(**bounds: Any) -> DeskRig:  # noqa: ANN401  of any kind
    return connected(GENEROUS._replace(venue_bounds=Bounds(**bounds)))


def won_on_the_day() -> DeskRig:
    rig = connected(limited(profit_lock_ratio=0.01))
    lose(rig, -100 * E8)
    return rig


def lost_the_venues_share() -> DeskRig:
    rig = of_venue(daily_loss_max=100.0)
    lose(rig, 100 * E8)
    return rig


def with_one_held() -> DeskRig:
    rig = connected(limited(approval_notional_min=600.0))
    assert types(rig.propose(1, 10)) == [T.SIGNAL_GENERATED, T.INTENT_HELD]
    return rig


def with_an_order(limits: RiskLimits, side: int = 1, **order: int) -> DeskRig:
    rig = connected(limits)
    rig.order(side, 1, **order)
    return rig


# Each gate: how to make it fail, and the entry that meets it.
CASES: dict[RiskReason, tuple[Callable[[], DeskRig], dict[str, int]]] = {
    R.TRADING_STATE: (halted, {}),
    R.STOPPING: (lambda: stop(connected()), {}),
    R.VENUE_DISCONNECTED: (disconnected, {}),
    R.NOT_SYNCED: (unsynced, {}),
    R.ORDER_UNKNOWN: (with_unknown_order, {}),
    R.ALLOW_ORDERS: (lambda: connected(limited(**ARMED | {"allow_orders": False})), {}),
    R.DRY_RUN: (lambda: connected(limited(**ARMED | {"dry_run": True})), {}),
    R.ENABLE_ORDER_EXEC: (lambda: connected(limited(**ARMED | {"enable_order_exec": False})), {}),
    R.LEASE: (leaseless, {}),
    R.INSTRUMENT_STATUS: (not_trading, {}),
    R.LIVENESS: (silent_book, {}),
    R.PRICE_AGE: (stale_quote, {}),
    R.DECISION_AGE: (
        lambda: connected(limited(decision_latency_ms=100)),
        {"cause_age_ns": 101 * MS},
    ),
    R.PRICE_COLLAR: (lambda: connected(limited(price_collar_bps=10.0)), {"price": ASK + 650}),
    R.ORDER_QTY: (lambda: connected(limited(order_qty_max=0.009)), {}),
    R.ORDER_NOTIONAL: (lambda: connected(limited(order_notional_max=600.0)), {}),
    R.POSITION_QTY: (lambda: connected(limited(position_qty_max=0.009)), {}),
    R.POSITION_NOTIONAL: (lambda: connected(limited(position_notional_max=600.0)), {}),
    R.TOTAL_NOTIONAL: (lambda: connected(limited(total_notional_max=600.0)), {}),
    R.ENTRIES_PER_DAY: (used_up_entries, {}),
    R.DAILY_LOSS: (lost_on_the_day, {}),
    R.DRAWDOWN: (fallen_from_the_peak, {}),
    R.CONSECUTIVE_FAILURES: (failed_in_a_row, {}),
    R.RATE_GLOBAL: (lambda: rated(orders_per_10s=5), {}),
    R.RATE_INSTRUMENT: (lambda: rated(orders_per_10s_instrument=5), {}),
    R.FILTER_QTY: (lambda: with_filters(market_max_qty_lots=9), {}),
    R.FILTER_NOTIONAL: (lambda: with_filters(min_notional_e8=700 * E8), {}),
    R.FILTER_PRICE: (lambda: with_filters(max_price_ticks=ASK), {"price": ASK + 1}),
    R.FILTER_OPEN_ORDERS: (crowded, {}),
    R.MEMORY_STATE: (short_of_memory, {}),
    R.MODE: (shadowed, {}),
    R.STRATEGY_ORDER_NOTIONAL: (lambda: bounded(order_notional_max=600.0), {}),
    R.STRATEGY_POSITION_NOTIONAL: (lambda: bounded(position_notional_max=600.0), {}),
    R.STRATEGY_ORDERS_PER_DAY: (lambda: bounded(orders_per_day_max=0), {}),
    R.STRATEGY_DAILY_LOSS: (lambda: bounded(daily_loss_max=0.0), {}),
    R.PROFIT_LOCK: (won_on_the_day, {}),
    R.APPROVAL: (with_one_held, {}),
    R.VENUE_ORDER_NOTIONAL: (lambda: of_venue(order_notional_max=600.0), {}),
    R.VENUE_TOTAL_NOTIONAL: (lambda: of_venue(position_notional_max=600.0), {}),
    R.VENUE_ORDERS_PER_DAY: (lambda: of_venue(orders_per_day_max=0), {}),
    R.VENUE_DAILY_LOSS: (lost_the_venues_share, {}),
    R.GUARDED: (guarded_at_the_venue, {"s": 1}),
    R.SELF_TRADE: (lambda: with_an_order(GENEROUS, -1, price=ASK), {}),
    R.POSITION_COUNT: (lambda: with_an_order(limited(positions_max=1), i=1), {}),
}


@pytest.mark.parametrize("reason", [g for g in GATES if g != R.REDUCE_ONLY])
def test_each_gate_refuses_and_says_so(reason: RiskReason) -> None:
    make_rig, entry = CASES[reason]
    rig = make_rig()
    events = rig.propose(1, 10, **entry)
    assert types(events) == [T.SIGNAL_GENERATED, T.RISK_REFUSAL]
    refusal = events[1]
    assert reason in reasons_of(int(refusal["refusal_mask"]))
    assert refusal["reason"] == min(reasons_of(int(refusal["refusal_mask"])))
    assert events[0]["refusal_mask"] == refusal["refusal_mask"]
    assert rig.refusals(reason) >= 1
    assert rig.commands[-1].size == 0


def test_every_gate_has_a_case() -> None:
    assert set(CASES) | {R.REDUCE_ONLY} == set(GATES)


ALONE = [
    R.ALLOW_ORDERS, R.DRY_RUN, R.ENABLE_ORDER_EXEC, R.INSTRUMENT_STATUS, R.LIVENESS, R.PRICE_AGE,
    R.DECISION_AGE, R.PRICE_COLLAR, R.ORDER_QTY, R.ORDER_NOTIONAL, R.POSITION_QTY,
    R.POSITION_NOTIONAL, R.TOTAL_NOTIONAL, R.ENTRIES_PER_DAY, R.RATE_GLOBAL, R.RATE_INSTRUMENT,
    R.FILTER_QTY, R.FILTER_PRICE, R.FILTER_OPEN_ORDERS, R.MEMORY_STATE, R.STOPPING,
    R.ORDER_UNKNOWN, R.MODE, R.STRATEGY_ORDER_NOTIONAL, R.STRATEGY_POSITION_NOTIONAL,
    R.STRATEGY_ORDERS_PER_DAY, R.STRATEGY_DAILY_LOSS, R.APPROVAL, R.VENUE_ORDER_NOTIONAL,
    R.VENUE_TOTAL_NOTIONAL, R.VENUE_ORDERS_PER_DAY, R.GUARDED, R.SELF_TRADE, R.POSITION_COUNT,
]  # fmt: skip


@pytest.mark.parametrize("reason", ALONE)
def test_a_gate_refuses_on_its_own_account_only(reason: RiskReason) -> None:
    make_rig, entry = CASES[reason]
    events = make_rig().propose(1, 10, **entry)
    assert reasons_of(int(events[1]["refusal_mask"])) == (reason,)


def test_a_refusal_names_every_failing_gate_in_order() -> None:
    rig = connected(
        limited(**ARMED | {"allow_orders": False, "dry_run": True}, order_qty_max=0.001)
    )
    rig.desk.liveness[0, :] = Liveness.STALE
    mask = int(rig.propose(1, 10)[1]["refusal_mask"])
    assert reasons_of(mask) == (R.ALLOW_ORDERS, R.DRY_RUN, R.LIVENESS, R.ORDER_QTY)


def test_what_passes_every_gate_leaves_as_an_order() -> None:
    connected(limited(**ARMED)).order(1, 10)


def test_the_switches_do_not_bind_the_practice_venue() -> None:
    connected(limited(allow_orders=False, dry_run=True, enable_order_exec=False)).order(1, 10)


def test_too_small_an_order_is_refused_but_not_when_it_reduces() -> None:
    rig = with_filters(min_notional_e8=700 * E8)
    assert reasons_of(int(rig.propose(1, 10)[1]["refusal_mask"])) == (R.FILTER_NOTIONAL,)
    order = rig.order(1, 20)
    rig.fill(order, 1, 20, order_status=4, cum_qty_lots=20)
    rig.order(-1, 10, entry=False)


@pytest.mark.parametrize("price", [BID - 650, ASK + 650])
def test_the_collar_holds_on_both_sides_of_mid(price: int) -> None:
    rig = connected(limited(price_collar_bps=10.0))
    rig.order(1, 10, price=BID - 600)
    assert R.PRICE_COLLAR in reasons_of(int(rig.propose(1, 10, price=price)[1]["refusal_mask"]))


def test_the_venues_price_band_is_relative_to_mid() -> None:
    rig = with_filters(multiplier_up_e8=105_000_000, multiplier_down_e8=95_000_000)
    rig.desk.limits["price_collar_e3bps"] = 10**9
    rig.order(1, 10, price=BID * 104 // 100)
    for price in (BID * 106 // 100, BID * 94 // 100):
        rig.now_ns += S
        mask = int(rig.propose(1, 10, price=price)[1]["refusal_mask"])
        assert reasons_of(mask) == (R.FILTER_PRICE,)


def test_market_orders_keep_the_venues_market_step() -> None:
    rig = with_filters(market_step_lots=5)
    assert reasons_of(int(rig.propose(1, 12)[1]["refusal_mask"])) == (R.FILTER_QTY,)
    rig.order(1, 15)


def test_unsupported_channels_block_nothing() -> None:
    rig = connected()
    rig.desk.liveness[0, :] = Liveness.UNSUPPORTED
    rig.order(1, 10)


@pytest.mark.parametrize("state", [s for s in Liveness if s not in (0, Liveness.LIVE)])
def test_any_other_liveness_blocks_entries(state: Liveness) -> None:
    rig = connected()
    rig.desk.liveness[0, Channel.QUOTE] = state
    assert reasons_of(int(rig.propose(1, 10)[1]["refusal_mask"])) == (R.LIVENESS,)


def test_rate_limits_recover_with_time() -> None:
    rig = rated(orders_per_10s_instrument=5)
    assert R.RATE_INSTRUMENT in reasons_of(int(rig.propose(1, 1)[1]["refusal_mask"]))
    rig.wait(2.1)
    rig.quote()
    rig.order(1, 1)


def test_a_share_of_the_rate_is_kept_for_exits() -> None:
    rig = connected(limited(orders_per_10s=10))
    bought = rig.order(1, 10)
    rig.fill(bought, 1, 10, order_status=4, cum_qty_lots=10)
    for _ in range(7):
        rig.order(1, 1)
    assert reasons_of(int(rig.propose(1, 1)[1]["refusal_mask"])) == (R.RATE_GLOBAL,)
    rig.order(-1, 5, entry=False)
    rig.order(-1, 5, entry=False)
    assert R.RATE_GLOBAL in reasons_of(int(rig.propose(-1, 5, entry=False)[1]["refusal_mask"]))


def holding(rig: DeskRig, side: int = 1, qty: int = 10, s: int = 0) -> DeskRig:
    order = rig.order(side, qty, s=s)
    trade = int(rig.word(Word.TRADE_COUNT)) + 1
    rig.fill(order, trade, qty, order_status=4, cum_qty_lots=qty, side=side)
    return rig


EXIT_PASSES = {
    "stale prices": lambda rig: rig.wait(4000) is None,
    "silent channels": lambda rig: rig.desk.liveness.fill(Liveness.STALE),
    "no entries left": lambda rig: rig.desk.limits["entries_per_day_max"].fill(0),
    "no size left": lambda rig: rig.desk.instrument_limits["position_lots_max"].fill(0),
    "instrument not trading": lambda rig: rig.desk.instruments["flags"].fill(0),
    "memory": lambda rig: rig.control(T.CONTROL_MEMORY, reason=R.MEMORY_STATE) is None,
    "paused": lambda rig: rig.control(T.CONTROL_PAUSE) is None,
    "reducing": lambda rig: rig.control(T.CONTROL_REDUCE) is None,
    "an unknown order": lambda rig: (
        rig.report(T.ORDER_UNKNOWN, order_sequence=rig.order(1, 1, s=1), epoch_low=1) is None
    ),
}


@pytest.mark.parametrize("name", EXIT_PASSES)
def test_an_exit_passes_what_guards_entries(name: str) -> None:
    rig = holding(connected())
    EXIT_PASSES[name](rig)
    rig.order(-1, 10, entry=False)


def test_nothing_leaves_while_halted_but_cancels() -> None:
    rig = connected()
    entry = rig.order(1, 10, price=BID)
    rig.update(entry, OrderStatus.NEW)
    holding(rig, s=1)
    rig.control(T.CONTROL_HALT)
    events = rig.propose(-1, 10, entry=False, s=1)
    assert reasons_of(int(events[1]["refusal_mask"])) == (R.TRADING_STATE,)
    cancels = of_type(rig.all_commands(), T.COMMAND_CANCEL)
    assert cancels["order_sequence"].tolist() == [entry]


def test_an_exit_is_never_larger_than_what_is_held() -> None:
    rig = holding(connected())
    events = rig.propose(-1, 25, entry=False)
    assert events["qty_lots"].tolist() == [10, 10]
    events = rig.propose(-1, 25, entry=False)
    assert R.REDUCE_ONLY not in reasons_of(int(events[1]["refusal_mask"]))
    assert R.FILTER_QTY in reasons_of(int(events[1]["refusal_mask"])), "all of it is closing"


def test_an_exit_takes_what_the_venue_takes_at_once() -> None:
    rig = holding(with_filters(market_step_lots=5, market_max_qty_lots=20), qty=20)
    rig.fill(rig.order(1, 5), 99, 3, order_status=3)
    assert rig.lots() == 23
    assert rig.propose(-1, 23, entry=False)["qty_lots"].tolist() == [20, 20]
    rig.fill(int(rig.row(3)["order_sequence"]), 100, 8, order_status=7, side=-1)
    assert rig.propose(-1, 15, entry=False)["qty_lots"].tolist() == [15, 15]


def test_an_exit_without_a_position_is_refused() -> None:
    events = connected().propose(-1, 5, entry=False)
    assert R.REDUCE_ONLY in reasons_of(int(events[1]["refusal_mask"]))


def test_an_exit_on_the_side_of_the_position_is_refused() -> None:
    events = holding(connected()).propose(1, 5, entry=False)
    assert R.REDUCE_ONLY in reasons_of(int(events[1]["refusal_mask"]))


def test_the_venues_reduce_only_flag_is_set_when_the_net_shrinks() -> None:
    rig = holding(connected())
    assert rig.propose(-1, 10, entry=False)["flags"][1] & 1


def test_opposed_strategies_exit_without_the_flag_when_the_net_would_grow() -> None:
    rig = holding(holding(connected()), side=-1, s=1)
    assert rig.lots() == 0
    request = rig.propose(-1, 10, entry=False)[1]
    assert request["event_type"] == T.ORDER_REQUEST
    assert request["flags"] & 1 == 0


def test_limits_of_zero_refuse_everything() -> None:
    for name in ("order_qty_max", "position_qty_max", "order_notional_max", "entries_per_day_max"):
        rig = connected(limited(**{name: 0}))
        assert types(rig.propose(1, 10))[-1] == T.RISK_REFUSAL


def test_every_reason_says_what_it_means() -> None:
    assert all(RISK_REASON_TEXT[reason].strip() for reason in RiskReason)
