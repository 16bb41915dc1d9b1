"""Fills into positions and money: ours to their strategy, others' to who holds against them.

What no strategy of ours did (an order by hand, a liquidation, an adjustment) first reduces the
columns that hold the other side, in order, because what they held is gone; the rest goes to the
external column. So the sum of the columns is always the net position, and a strategy never exits
what it no longer has.
"""

from __future__ import annotations

from engine.domain.bounds import note_result
from engine.domain.desk import Desk, Out, external_column, net_column
from engine.domain.emit import emit_net_position, emit_position
from engine.domain.equity import book_result, check_losses, refresh_mark, trip
from engine.domain.kernel import kernel
from engine.domain.order_store import refresh_exposure
from engine.domain.position import apply_fill, fill_fits, share
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import Tally, Word

_NUMBER_RANGE = int(RiskReason.NUMBER_RANGE)


@kernel
def fits_everywhere(desk: Desk, i: int, price_ticks: int, qty_lots: int) -> bool:
    """Return whether a fill fits every column it may reach; trips NUMBER_RANGE when not."""
    unit = desk.instruments["unit_e8"][i]
    for column in range(desk.positions.shape[1]):
        if not fill_fits(desk.positions, i, column, price_ticks, qty_lots, unit):
            trip(desk, _NUMBER_RANGE)
            desk.words[Word.RECONCILE_REQUIRED] = 1
            return False
    return True


@kernel
def fill_column(
    desk: Desk, i: int, column: int, side: int, qty_lots: int, price_ticks: int, now_ns: int
) -> int:
    """Apply a fill to one column and show it to the strategy; return what it realised."""
    before = desk.positions["lots"][i, column]
    unit = desk.instruments["unit_e8"][i]
    realised = apply_fill(desk.positions, i, column, side, qty_lots, price_ticks, unit, now_ns)
    refresh_exposure(desk, i, column)
    if before != 0 and desk.positions["lots"][i, column] == 0 and column < external_column(desk):
        desk.counts[Tally.ROUND_TRIPS] += 1
    return realised


@kernel
def settle_fill(desk: Desk, out: Out, i: int, realised_e8: int, fee_e8: int, now_ns: int) -> None:
    """Book the net result of a fill, mark the instrument and show its net position."""
    desk.positions["fee_e8"][i, net_column(desk)] += fee_e8
    book_result(desk, realised_e8, fee_e8, now_ns)
    desk.ledger["changed_ns"][i] = now_ns
    refresh_mark(desk, i)
    check_losses(desk)
    emit_net_position(desk, out, i, realised_e8, fee_e8)


@kernel
def tell_result(desk: Desk, out: Out, i: int, column: int, realised_e8: int, fee_e8: int) -> None:
    """Write a column's POSITION_CHANGED, and book what it realised to the column's day."""
    emit_position(desk, out, i, column, realised_e8, fee_e8)
    note_result(desk, column, realised_e8 - fee_e8)


@kernel
def fill_strategy(
    desk: Desk,
    out: Out,
    i: int,
    column: int,
    side: int,
    qty_lots: int,
    price_ticks: int,
    fee_e8: int,
    now_ns: int,
) -> int:
    """Apply a fill of our own order; return what it realised for its strategy.

    Invariants: `fits_everywhere` said yes.
    """
    realised = fill_column(desk, i, column, side, qty_lots, price_ticks, now_ns)
    desk.positions["fee_e8"][i, column] += fee_e8
    tell_result(desk, out, i, column, realised, fee_e8)
    net = net_column(desk)
    net_realised = fill_column(desk, i, net, side, qty_lots, price_ticks, now_ns)
    settle_fill(desk, out, i, net_realised, fee_e8, now_ns)
    return realised


@kernel
def spread_external(
    desk: Desk, out: Out, i: int, side: int, qty_lots: int, price_ticks: int, now_ns: int
) -> None:
    """Share a fill nobody of ours asked for between the columns, in place; money is not booked."""
    rest = qty_lots
    external = external_column(desk)
    for step in range(external + 1):
        column = external if step == 0 else step - 1
        lots = desk.positions["lots"][i, column]
        if rest > 0 and lots * side < 0:
            part = min(rest, abs(lots))
            realised = fill_column(desk, i, column, side, part, price_ticks, now_ns)
            tell_result(desk, out, i, column, realised, 0)
            rest -= part
    if rest > 0:
        realised = fill_column(desk, i, external, side, rest, price_ticks, now_ns)
        emit_position(desk, out, i, external, realised, 0)


@kernel
def fill_external(
    desk: Desk,
    out: Out,
    i: int,
    side: int,
    qty_lots: int,
    price_ticks: int,
    fee_e8: int,
    now_ns: int,
) -> None:
    """Apply a fill that is no order of ours. Invariants: `fits_everywhere` said yes."""
    spread_external(desk, out, i, side, qty_lots, price_ticks, now_ns)
    external = external_column(desk)
    desk.positions["fee_e8"][i, external] += fee_e8
    if fee_e8 != 0:
        emit_position(desk, out, i, external, 0, fee_e8)
    net = net_column(desk)
    realised = fill_column(desk, i, net, side, qty_lots, price_ticks, now_ns)
    settle_fill(desk, out, i, realised, fee_e8, now_ns)


@kernel
def move_column(desk: Desk, i: int, column: int, lots: int, cost_e8: int, now_ns: int) -> None:
    """Set one column's position without a fill, in place: nothing is realised."""
    rows = desk.positions
    before = rows["lots"][i, column]
    if lots != 0 and before * lots <= 0:
        rows["entry_time_ns"][i, column] = now_ns
    if lots == 0 and before != 0:
        rows["last_exit_time_ns"][i, column] = now_ns
    rows["lots"][i, column] = lots
    rows["cost_e8"][i, column] = cost_e8
    refresh_exposure(desk, i, column)


@kernel
def spread_adjustment(
    desk: Desk, out: Out, i: int, side: int, qty_lots: int, lots: int, cost_e8: int, now_ns: int
) -> None:
    """Share an adjustment of `qty_lots` between the columns, in place; nothing is realised.

    Args:
        lots, cost_e8: the venue's position after it; what is added comes at its average cost.
    """
    rows = desk.positions
    rest = qty_lots
    external = external_column(desk)
    for step in range(external + 1):
        column = external if step == 0 else step - 1
        held = rows["lots"][i, column]
        if rest > 0 and held * side < 0:
            part = min(rest, abs(held))
            cost = rows["cost_e8"][i, column]
            left = cost - share(cost, part, abs(held))
            move_column(desk, i, column, held + side * part, left, now_ns)
            emit_position(desk, out, i, column, 0, 0)
            rest -= part
    if rest > 0:
        worth = abs(cost_e8)
        if lots != 0 and rest <= abs(lots):
            worth = share(worth, rest, abs(lots))
        total = rows["cost_e8"][i, external] + side * worth
        move_column(desk, i, external, rows["lots"][i, external] + side * rest, total, now_ns)
        emit_position(desk, out, i, external, 0, 0)


@kernel
def fill_covered(
    desk: Desk,
    out: Out,
    i: int,
    column: int,
    side: int,
    qty_lots: int,
    price_ticks: int,
    now_ns: int,
) -> int:
    """Give a strategy the fill that an adjustment booked before it arrived.

    The net position and the money stay: the adjustment took both from the venue. What it put into
    the external column moves to the strategy; what it took from the strategy is already right.
    """
    external = external_column(desk)
    part = min(qty_lots, max(desk.positions["lots"][i, external] * side, 0))
    if part == 0:
        return 0
    realised = fill_column(desk, i, column, side, part, price_ticks, now_ns)
    tell_result(desk, out, i, column, realised, 0)
    undone = fill_column(desk, i, external, -side, part, price_ticks, now_ns)
    emit_position(desk, out, i, external, undone, 0)
    desk.ledger["changed_ns"][i] = now_ns
    return realised
