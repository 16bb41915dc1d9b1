"""Bounds of single strategies and of the venue, and modes that parts of the engine are given.

One row per column of `positions`: each strategy, what is nobody's, and, for the venue's net
position, the venue. What changes rarely is worked out when it changes: `blocked` holds the bits of
every gate that refuses a column's entries now, so a gate reads one word.

        mode of an entry = most severe of: all, its module, its strategy, its instrument, its regime

A regime that is not known takes the most severe mode of its kind. A strategy's day counts orders of
any kind and their amendments, each an order to the venue, and what it realised after fees; both
begin again at midnight, UTC. A loss that reached its bound holds until an operator resumes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.domain.codes import EventType, Mode, ModeScope, Regime
from engine.domain.desk import STRATEGY_NET, Desk, Out, column_of, net_column, strategy_of
from engine.domain.emit import begin_event, event_room
from engine.domain.kernel import Records, kernel
from engine.domain.limits import UNBOUNDED, Bounds, RiskLimits, bound_e8
from engine.domain.position import notional
from engine.domain.risk_reasons import RiskReason
from engine.domain.strategy_table import EVERY_STRATEGY, StrategyRow
from engine.domain.words import Word

BOUNDS_DTYPE = np.dtype(
    [
        ("blocked", "<i8"),  # refusal mask of every entry of the column
        ("is_bounded", "<i8"),  # 1: it, or the venue, has a bound in notional
        ("order_e8_max", "<i8"),
        ("position_e8_max", "<i8"),
        ("orders_per_day_max", "<i8"),
        ("daily_loss_e8_max", "<i8"),
        ("is_counted", "<i8"),  # 1: a bound of the day is set, so the day is journaled
        ("is_dirty", "<i8"),  # 1: the day changed and is not yet written
        ("day_orders", "<i8"),
        ("day_result_e8", "<i8"),
        ("tripped", "<i8"),  # 1: the day's loss reached its bound
        ("module", "<i8"),  # StrategyKind; 0: no strategy
        ("mode", "<i8"),  # Mode that an operator gave the strategy
        ("mode_total", "<i8"),  # with those of its module and of all
        ("usual_e8", "<i8"),  # mean notional of its entries
        ("usual_count", "<i8"),  # of how many, USUAL_COUNT_MAX at most
    ]
)
USUAL_COUNT_MIN = 5  # entries before any is called unusual
USUAL_COUNT_MAX = 100

# Places of `modes`.
MODES_ALL = 0
MODES_TREND = 1  # + a trend's place, then the most severe of the three
MODES_VOLATILITY = 5
MODES_MODULE = 16  # + StrategyKind
MODES_SIZE = 112
LABEL_UNKNOWN = 3  # place of a label that is not known
VOLATILITY_SHIFT = 2  # of its place in an entry's regime
REGIME_MASK = 3
REGIMES = len(Regime)

_LIVE = int(Mode.LIVE)
_OFF = int(Mode.OFF)
_SCOPE_ALL = int(ModeScope.ALL)
_SCOPE_MODULE = int(ModeScope.MODULE)
_SCOPE_STRATEGY = int(ModeScope.STRATEGY)
_SCOPE_INSTRUMENT = int(ModeScope.INSTRUMENT)
_SCOPE_REGIME = int(ModeScope.REGIME)
_BOUNDS_CHANGED = int(EventType.BOUNDS_CHANGED)


def pack_bounds(limits: RiskLimits, strategies: Sequence[StrategyRow]) -> NDArray[np.void]:
    """Return BOUNDS_DTYPE[strategies + 2]; the last row is the venue's."""
    rows = np.zeros(len(strategies) + 2, dtype=BOUNDS_DTYPE)
    every = limits.strategy_bounds.get(EVERY_STRATEGY, Bounds())
    given = [limits.strategy_bounds.get(row.name, every) for row in strategies]
    for column, bounds in enumerate([*given, Bounds(), limits.venue_bounds]):
        rows["order_e8_max"][column] = bound_e8(bounds.order_notional_max)
        rows["position_e8_max"][column] = bound_e8(bounds.position_notional_max)
        per_day = bounds.orders_per_day_max
        rows["orders_per_day_max"][column] = UNBOUNDED if per_day is None else per_day
        rows["daily_loss_e8_max"][column] = bound_e8(bounds.daily_loss_max)
    rows["module"][: len(strategies)] = [int(row.kind) for row in strategies]
    bounded = (rows["order_e8_max"] < UNBOUNDED) | (rows["position_e8_max"] < UNBOUNDED)
    rows["is_bounded"] = bounded | bounded[-1]
    counted = rows["orders_per_day_max"] < UNBOUNDED
    counted[:-1] |= rows["daily_loss_e8_max"][:-1] < UNBOUNDED  # the venue's is of the equity
    rows["is_counted"] = counted
    # A bound of nothing refuses from the start, as `refresh_blocked` will say.
    no_orders, no_loss = rows["orders_per_day_max"] == 0, rows["daily_loss_e8_max"] == 0
    rows["blocked"] = no_orders * (1 << RiskReason.STRATEGY_ORDERS_PER_DAY)
    rows["blocked"] |= no_loss * (1 << RiskReason.STRATEGY_DAILY_LOSS)
    rows["blocked"][-1] = int(no_orders[-1]) << RiskReason.VENUE_ORDERS_PER_DAY
    return rows


@kernel
def refresh_blocked(desk: Desk, column: int) -> None:
    """Work out which gates refuse every entry of a column now, in place."""
    rows = desk.bounds
    is_venue = column == net_column(desk)
    mask = 0
    if rows["day_orders"][column] >= rows["orders_per_day_max"][column]:
        spent = RiskReason.VENUE_ORDERS_PER_DAY if is_venue else RiskReason.STRATEGY_ORDERS_PER_DAY
        mask |= 1 << spent
    if not is_venue:
        if rows["tripped"][column] != 0 or rows["daily_loss_e8_max"][column] == 0:
            mask |= 1 << RiskReason.STRATEGY_DAILY_LOSS
        total = max(desk.modes[MODES_ALL], desk.modes[MODES_MODULE + rows["module"][column]])
        rows["mode_total"][column] = max(total, rows["mode"][column])
        if rows["mode_total"][column] > desk.limits["mode_most"][0]:
            mask |= 1 << RiskReason.MODE
    rows["blocked"][column] = mask


@kernel
def touch(desk: Desk, column: int) -> None:
    """Note that a column's day changed, so that it is written where a bound of the day is set."""
    if desk.bounds["is_counted"][column] != 0:
        desk.bounds["is_dirty"][column] = 1
        desk.words[Word.BOUNDS_DIRTY] = 1


@kernel
def count_order(desk: Desk, column: int) -> None:
    """Count an order, or the amendment of one, of a column's day and the venue's, in place."""
    rows = desk.bounds
    for day in (column, net_column(desk)):
        rows["day_orders"][day] += 1
        if rows["day_orders"][day] >= rows["orders_per_day_max"][day]:
            refresh_blocked(desk, day)
        touch(desk, day)


@kernel
def note_order(desk: Desk) -> None:
    """Count the draft, which was sent, for its day; an entry also as a usual one, in place."""
    column = desk.draft["column"][0]
    count_order(desk, column)
    if desk.draft["is_entry"][0] == 0:
        return
    rows = desk.bounds
    rows["usual_count"][column] = min(rows["usual_count"][column] + 1, USUAL_COUNT_MAX)
    order_e8 = notional(desk.draft["lot_notional_e8"][0], desk.draft["qty_lots"][0], 1)
    change_e8 = (order_e8 - rows["usual_e8"][column]) // rows["usual_count"][column]
    rows["usual_e8"][column] += change_e8


@kernel
def note_result(desk: Desk, column: int, result_e8: int) -> None:
    """Book what a column realised, after fees, to its day, in place."""
    if result_e8 == 0:
        return
    rows = desk.bounds
    rows["day_result_e8"][column] += result_e8
    touch(desk, column)
    is_lost = -rows["day_result_e8"][column] >= rows["daily_loss_e8_max"][column]
    if is_lost and column != net_column(desk):
        rows["tripped"][column] = 1
        refresh_blocked(desk, column)


@kernel
def begin_bounds_day(desk: Desk) -> None:
    """Start every column's day, in place; what tripped stays so."""
    rows = desk.bounds
    for column in range(rows.shape[0]):
        rows["day_orders"][column] = 0
        rows["day_result_e8"][column] = 0
        refresh_blocked(desk, column)
        touch(desk, column)


@kernel
def rearm_bounds(desk: Desk) -> None:
    """An operator's resume: every column's loss counts from here, in place."""
    rows = desk.bounds
    for column in range(rows.shape[0]):
        rows["day_result_e8"][column] = 0
        rows["tripped"][column] = 0
        refresh_blocked(desk, column)
        touch(desk, column)


@kernel
def touch_all(desk: Desk) -> None:
    """Have every counted column written: a journal begins with them."""
    for column in range(desk.bounds.shape[0]):
        touch(desk, column)


@kernel
def flush_bounds(desk: Desk, out: Out) -> None:
    """Write BOUNDS_CHANGED for every column that changed, as far as there is room."""
    rows = desk.bounds
    for column in range(rows.shape[0]):
        if rows["is_dirty"][column] == 0:
            continue
        if event_room(out) == 0:
            return
        n = begin_event(desk, out, _BOUNDS_CHANGED)
        out.events["strategy_index"][n] = strategy_of(desk, column)
        out.events["day_number"][n] = desk.words[Word.DAY_NUMBER]
        out.events["day_entry_count"][n] = rows["day_orders"][column]
        out.events["day_realised_pnl_e8"][n] = rows["day_result_e8"][column]
        out.events["reason"][n] = RiskReason.STRATEGY_DAILY_LOSS if rows["tripped"][column] else 0
        rows["is_dirty"][column] = 0
    desk.words[Word.BOUNDS_DIRTY] = 0


@kernel
def restore_bounds(desk: Desk, events: Records, n: int) -> bool:
    """RESTORE_BOUNDS: put a column's day back, if it is still that day, and what tripped."""
    strategy = events["strategy_index"][n]
    column = net_column(desk) if strategy == STRATEGY_NET else column_of(desk, strategy)
    rows = desk.bounds
    if events["day_number"][n] == desk.words[Word.DAY_NUMBER]:
        rows["day_orders"][column] = events["day_entry_count"][n]
        rows["day_result_e8"][column] = events["day_realised_pnl_e8"][n]
    rows["tripped"][column] = 1 if events["reason"][n] == RiskReason.STRATEGY_DAILY_LOSS else 0
    refresh_blocked(desk, column)
    return True


@kernel
def refresh_modes(desk: Desk) -> None:
    """Work out what the modes amount to, in place."""
    modes = desk.modes
    worst = 0
    for first in (MODES_TREND, MODES_VOLATILITY):
        severest = max(modes[first], modes[first + 1], modes[first + 2])
        modes[first + LABEL_UNKNOWN] = severest
        worst = max(worst, severest)
    for i in range(desk.instrument_limits.shape[0]):
        worst = max(worst, desk.instrument_limits["mode"][i])
    desk.words[Word.MODES_SET] = 1 if worst != _LIVE else 0
    for column in range(desk.bounds.shape[0]):
        refresh_blocked(desk, column)


@kernel
def set_mode(desk: Desk, events: Records, n: int) -> bool:
    """CONTROL_MODE or RESTORE_MODE: give a part a mode; False: there is no such part or mode."""
    scope, place = events["order_type"][n], events["cause_sequence"][n]
    mode = events["time_in_force"][n]
    modes = desk.modes
    if mode > _OFF or place < 0:
        return False
    if scope == _SCOPE_ALL and place == 0:
        modes[MODES_ALL] = mode
    elif scope == _SCOPE_MODULE and place < MODES_SIZE - MODES_MODULE:
        modes[MODES_MODULE + place] = mode
    elif scope == _SCOPE_STRATEGY and place < desk.bounds.shape[0] - 2:
        desk.bounds["mode"][place] = mode
    elif scope == _SCOPE_INSTRUMENT and place < desk.instrument_limits.shape[0]:
        desk.instrument_limits["mode"][place] = mode
    elif scope == _SCOPE_REGIME and place < REGIMES:
        # Three trends, then three volatilities, each behind a place for what is not known.
        modes[MODES_TREND + place + place // LABEL_UNKNOWN] = mode
    else:
        return False
    refresh_modes(desk)
    return True


@kernel
def draft_mode(desk: Desk) -> int:
    """Return the Mode of the draft, an entry."""
    draft = desk.draft
    regime = draft["regime"][0]
    trend = desk.modes[MODES_TREND + (regime & REGIME_MASK)]
    volatility = desk.modes[MODES_VOLATILITY + (regime >> VOLATILITY_SHIFT & REGIME_MASK)]
    i = draft["instrument_index"][0]
    own = max(desk.bounds["mode_total"][draft["column"][0]], desk.instrument_limits["mode"][i])
    return max(own, trend, volatility)


@kernel
def gate_notionals(desk: Desk) -> int:
    """Order and position against the bounds of strategy and venue; a column that has any."""
    draft = desk.draft
    rows = desk.bounds
    i, column, venue = draft["instrument_index"][0], draft["column"][0], net_column(desk)
    lot_e8 = draft["lot_notional_e8"][0]
    qty, side = draft["qty_lots"][0], draft["side"][0]
    order_e8 = notional(lot_e8, qty, 1)
    mask = 0
    if order_e8 > rows["order_e8_max"][column]:
        mask |= 1 << RiskReason.STRATEGY_ORDER_NOTIONAL
    if order_e8 > rows["order_e8_max"][venue]:
        mask |= 1 << RiskReason.VENUE_ORDER_NOTIONAL
    # Every open order of the strategy on this side filled.
    coming = desk.pending[i, column, 0] if side > 0 else desk.pending[i, column, 1]
    reached = abs(desk.positions["lots"][i, column] + side * (coming + qty))
    if notional(lot_e8, reached, 1) > rows["position_e8_max"][column]:
        mask |= 1 << RiskReason.STRATEGY_POSITION_NOTIONAL
    return mask


@kernel
def gate_bounds(desk: Desk) -> int:
    """What an operator allows, the days of strategy and venue, and their notionals (entries)."""
    rows = desk.bounds
    column = desk.draft["column"][0]
    mask = rows["blocked"][column] | rows["blocked"][net_column(desk)]
    if desk.words[Word.MODES_SET] != 0 and draft_mode(desk) > desk.limits["mode_most"][0]:
        mask |= 1 << RiskReason.MODE
    if rows["is_bounded"][column] != 0:
        mask |= gate_notionals(desk)
    return mask
