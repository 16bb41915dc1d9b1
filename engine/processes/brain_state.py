"""A brain's state from its configuration: one place, so that replay starts where the brain did."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.config import Config
from engine.config_bounds import BoundConfig
from engine.domain import typed
from engine.domain.instrument import instrument_rows
from engine.domain.instrument_row import Instrument, unit_instrument
from engine.domain.limits import Bounds, InstrumentBounds, RiskLimits, pack_instrument_limits
from engine.domain.market_state import (
    INSTRUMENTS_KNOWN,
    LEADER,
    MAKER_FEE_PPM,
    TAKER_FEE_PPM,
    pack_thresholds,
    timeframes_of,
)
from engine.domain.state import State, create_state
from engine.domain.strategy_table import StrategyRow, bars_of
from engine.processes.brain_words import STEP_RECORDS_MAX
from engine.processes.instrument_room import row_capacity
from engine.processes.strategy_rows import strategy_rows
from engine.store.session import SessionDocument

PPM_PER_BPS = 100


def risk_limits(config: Config) -> RiskLimits:
    """Return the bounds of a run in the units risk uses."""
    limits, arming = config.limits, config.arming
    return RiskLimits(
        third_party=config.orders_leave,
        allow_orders=arming.allow_orders,
        dry_run=arming.dry_run,
        enable_order_exec=arming.enable_order_exec,
        order_qty_max=limits.max_order_size,
        position_qty_max=limits.max_position_exposure,
        order_notional_max=limits.max_order_notional,
        position_notional_max=limits.max_position_notional,
        total_notional_max=limits.max_total_notional,
        entries_per_day_max=limits.max_entries_per_day,
        daily_loss_ratio_max=limits.max_daily_loss_ratio,
        drawdown_ratio_max=limits.max_drawdown_ratio,
        consecutive_failures_max=limits.max_consecutive_failures,
        price_collar_bps=limits.price_collar_bps,
        price_age_ms=limits.price_age_ms,
        decision_latency_ms=limits.decision_latency_ms,
        orders_per_10s=limits.orders_per_10s,
        orders_per_minute=6 * limits.orders_per_10s,
        orders_per_10s_instrument=limits.orders_per_10s_instrument,
        order_timeout_ms=config.order_timeout_ms,
        reconcile_interval_s=config.reconcile_interval_s,
        profit_lock_ratio=limits.daily_profit_lock_ratio,
        strategy_bounds={name: _bounds(row) for name, row in config.bounds.strategy.items()},
        instrument_bounds={
            symbol: InstrumentBounds(*msgspec.structs.astuple(row))
            for symbol, row in config.bounds.instrument.items()
        },
        venue_bounds=_bounds(config.bounds.venue.get(config.venue.name, BoundConfig())),
        approval_notional_min=config.approval.notional or None,
        approval_ratio=config.approval.usual_ratio,
        approval_s=config.approval.wait_s,
        positions_max=config.portfolio.positions_max,
        rotates=config.portfolio.rotate,
        rotate_bps=config.portfolio.rotate_bps,
        rotate_hold_s=config.portfolio.rotate_hold_s,
    )


def _bounds(row: BoundConfig) -> Bounds:
    return Bounds(
        row.max_order_notional,
        row.max_position_notional,
        row.max_orders_per_day,
        row.max_daily_loss,
    )


def create_session_state(
    config: Config, instruments: Sequence[Instrument], strategies: Sequence[StrategyRow], epoch: int
) -> State:
    """Return the state a brain starts a session with, before its first record."""
    known = len(instruments)
    # A waiting row stands for no instrument: nothing of it is taken, nothing entered.
    waiting = [
        unit_instrument("-", instrument_index=k, flags=0)
        for k in range(known, row_capacity(config, known))
    ]
    state = create_state(
        instrument_rows([*instruments, *waiting]),
        strategies,
        risk_limits(config),
        epoch=epoch,
        vector_rows=vector_rows(config, strategies),
    )
    state.market.progress[INSTRUMENTS_KNOWN] = known
    for instrument in instruments:
        _note_leader(state, config, instrument)
    state.market.progress[TAKER_FEE_PPM] = round(config.paper.taker_fee_bps * PPM_PER_BPS)
    state.market.progress[MAKER_FEE_PPM] = round(config.paper.maker_fee_bps * PPM_PER_BPS)
    return state


def vector_rows(config: Config, strategies: Sequence[StrategyRow]) -> int:
    """Return how many feature vectors one step may leave: each record may end a bar of each kind.

    0: they are not kept.
    """
    if config.journal.features == "off":
        return 0
    return STEP_RECORDS_MAX * (len(timeframes_of(strategies)) + len(bars_of(strategies)))


def learn_instrument(state: State, config: Config, instrument: Instrument) -> None:
    """Give the next waiting row to an instrument, in place; the feed has sent nothing of it yet."""
    index = instrument.instrument_index
    assert index == state.market.progress[INSTRUMENTS_KNOWN], f"row {index} comes next"
    row = instrument_rows([instrument])
    state.market.instruments[index] = row[0]
    state.desk.instrument_limits[index] = pack_instrument_limits(risk_limits(config), row)[0]
    clocks = len(state.market.timeframes_ns)
    if state.market.bar_kinds[clocks:].any():
        kinds = bars_of(strategy_rows(config))
        state.market.thresholds[index] = pack_thresholds(row, kinds, clocks)[0]
    state.market.progress[INSTRUMENTS_KNOWN] = index + 1
    _note_leader(state, config, instrument)


def _note_leader(state: State, config: Config, instrument: Instrument) -> None:
    if instrument.symbol == config.leader:
        state.market.progress[LEADER] = instrument.instrument_index


def session_state(document: SessionDocument) -> State:
    """Return the same state from a session's document."""
    config = typed.convert(document.config, Config)
    return create_session_state(config, document.instruments, document.strategies, document.epoch)
