"""The gates before every send, in one order; all are evaluated and every failing one is recorded.

Each gate reads `desk.draft` and returns its bit of the refusal mask or 0. Exits skip the gates that
guard entries (marked below): a position must be closable when the market looks bad. Nothing is
closable while HALTED. Cancels pass no gate at all.

        permission -> switches -> lease -> market* -> size* -> limits over time*
                   -> bounds and modes* -> our own* -> rate -> filters
"""

from __future__ import annotations

from engine.domain.bounds import gate_bounds
from engine.domain.codes import (
    EVENT_REDUCE_ONLY,
    Channel,
    Liveness,
    OrderType,
    TradingState,
)
from engine.domain.desk import Desk, net_column
from engine.domain.equity import LOSS_MASK, PROFIT_MASK
from engine.domain.kernel import kernel
from engine.domain.limits import RATE_FIRST, RATE_GLOBAL, RATE_SLOW, rate_allows
from engine.domain.order_store import has_room, is_guarded, takes_place
from engine.domain.own_orders import draft_rests, meets_own
from engine.domain.position import notional
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import Word

CHANNEL_COUNT = len(Channel)
INSTRUMENT_TRADING = 1  # InstrumentFlag.TRADING
E8_RATIO = 100_000_000.0
ARMED_ALLOW_ORDERS = 1
ARMED_DRY_RUN_OFF = 2
ARMED_ENABLE_ORDER_EXEC = 4
TRIPPED_GATES = LOSS_MASK | PROFIT_MASK | 1 << RiskReason.CONSECUTIVE_FAILURES


@kernel
def bit_if(failed: bool, reason: int) -> int:
    """Return the reason's bit when its gate failed, else 0."""
    return 1 << reason if failed else 0


@kernel
def gate_permission(desk: Desk) -> int:
    """Trading state, connection, knowledge, switches and lease."""
    words = desk.words
    state = words[Word.EFFECTIVE_STATE]
    is_entry = desk.draft["is_entry"][0] != 0
    i = desk.draft["instrument_index"][0]
    forbidden = state == TradingState.HALTED or (is_entry and state != TradingState.ENABLED)
    mask = bit_if(forbidden, RiskReason.TRADING_STATE)
    mask |= bit_if(words[Word.STOPPING] != 0, RiskReason.STOPPING)
    mask |= bit_if(words[Word.CONNECTED] == 0, RiskReason.VENUE_DISCONNECTED)
    mask |= bit_if(words[Word.SYNCED] == 0, RiskReason.NOT_SYNCED)
    unknown = is_entry and desk.ledger["unknown_count"][i] > 0
    mask |= bit_if(unknown, RiskReason.ORDER_UNKNOWN)
    if desk.limits["third_party"][0] != 0:
        armed = desk.limits["armed_mask"][0]
        mask |= bit_if(armed & ARMED_ALLOW_ORDERS == 0, RiskReason.ALLOW_ORDERS)
        mask |= bit_if(armed & ARMED_DRY_RUN_OFF == 0, RiskReason.DRY_RUN)
        mask |= bit_if(armed & ARMED_ENABLE_ORDER_EXEC == 0, RiskReason.ENABLE_ORDER_EXEC)
    lease = words[Word.LEASE_EPOCH]
    return mask | bit_if(lease == 0 or lease != words[Word.EPOCH], RiskReason.LEASE)


@kernel
def channels_live(desk: Desk, i: int) -> bool:
    """Return whether every channel an entry needs is live; unsupported ones block nothing."""
    needed = desk.limits["channels_needed"][0]
    for channel in range(CHANNEL_COUNT):
        if needed >> channel == 0:
            break
        state = desk.liveness[i, channel]
        if needed >> channel & 1 and state != Liveness.LIVE and state != Liveness.UNSUPPORTED:
            return False
    return True


@kernel
def gate_collar(desk: Desk) -> int:
    """Distance of a limit price from mid; without a mid there is no price to trust."""
    draft = desk.draft
    if draft["order_type"][0] != OrderType.LIMIT:
        return 0
    half = draft["mid_half_ticks"][0]
    price = draft["price_ticks"][0]
    if half <= 0 or price <= 0:
        return 1 << RiskReason.PRICE_COLLAR
    distance_e3bps = float(abs(2 * price - half)) * 10_000_000.0 / float(half)
    far = distance_e3bps > float(desk.limits["price_collar_e3bps"][0])
    return bit_if(far, RiskReason.PRICE_COLLAR)


@kernel
def gate_market(desk: Desk) -> int:
    """Instrument, liveness, price age and decision age (entries); closed and collar (both)."""
    draft = desk.draft
    i = draft["instrument_index"][0]
    now_ns = desk.words[Word.NOW_NS]
    mask = gate_collar(desk)
    closed = now_ns < desk.ledger["closed_until_ns"][i]
    mask |= bit_if(closed, RiskReason.INSTRUMENT_STATUS)
    if draft["is_entry"][0] == 0:
        return mask
    trading = desk.instruments["flags"][i] & INSTRUMENT_TRADING
    mask |= bit_if(trading == 0, RiskReason.INSTRUMENT_STATUS)
    mask |= bit_if(not channels_live(desk, i), RiskReason.LIVENESS)
    quote_age_ns = now_ns - desk.hot["quote_receive_time_ns"][i]
    stale = draft["mid_half_ticks"][0] <= 0 or quote_age_ns > desk.limits["price_age_ns_max"][0]
    mask |= bit_if(stale, RiskReason.PRICE_AGE)
    decision_age_ns = now_ns - draft["cause_receive_time_ns"][0]
    late = decision_age_ns > desk.limits["decision_age_ns_max"][0]
    return mask | bit_if(late, RiskReason.DECISION_AGE)


@kernel
def gate_exit(desk: Desk) -> int:
    """An exit may only take back what its strategy holds and no other exit is taking back."""
    draft = desk.draft
    i = draft["instrument_index"][0]
    column = draft["column"][0]
    side = draft["side"][0]
    lots = desk.positions["lots"][i, column]
    closing = desk.pending[i, column, 0] if side > 0 else desk.pending[i, column, 1]
    backed = lots * side < 0 and draft["qty_lots"][0] <= abs(lots) - closing
    return bit_if(not backed, RiskReason.REDUCE_ONLY)


@kernel
def worst_lots(desk: Desk, i: int, side: int, qty_lots: int) -> int:
    """Return the largest |net position| if this order and every open one on its side fill."""
    lots = desk.positions["lots"][i, net_column(desk)]
    ledger = desk.ledger
    if side > 0:
        return abs(lots + ledger["buy_lots"][i] + ledger["foreign_buy_lots"][i] + qty_lots)
    return abs(lots - ledger["sell_lots"][i] - ledger["foreign_sell_lots"][i] - qty_lots)


@kernel
def gate_size(desk: Desk) -> int:
    """Order quantity and notional; position and exposure with every open order filled."""
    draft = desk.draft
    i = draft["instrument_index"][0]
    qty = draft["qty_lots"][0]
    lot_e8 = draft["lot_notional_e8"][0]
    rows = desk.instrument_limits
    order_e8 = notional(lot_e8, qty, 1)
    mask = bit_if(qty > rows["order_lots_max"][i], RiskReason.ORDER_QTY)
    mask |= bit_if(order_e8 > rows["order_notional_e8_max"][i], RiskReason.ORDER_NOTIONAL)
    lots = worst_lots(desk, i, draft["side"][0], qty)
    position_e8 = notional(lot_e8, lots, 1)
    mask |= bit_if(lots > rows["position_lots_max"][i], RiskReason.POSITION_QTY)
    over = position_e8 > rows["position_notional_e8_max"][i]
    mask |= bit_if(over, RiskReason.POSITION_NOTIONAL)
    # What the account may reach in all: every instrument at its worst, this one with the order.
    others_e8 = desk.words[Word.NOTIONAL_E8] - desk.ledger["notional_e8"][i]
    total_e8 = others_e8 + max(position_e8, desk.ledger["notional_e8"][i])
    over = total_e8 > desk.limits["total_notional_e8_max"][0]
    mask |= bit_if(over, RiskReason.TOTAL_NOTIONAL)
    over = total_e8 > desk.bounds["position_e8_max"][net_column(desk)]
    return mask | bit_if(over, RiskReason.VENUE_TOTAL_NOTIONAL)


@kernel
def gate_history(desk: Desk) -> int:
    """Entries of the day, the limits that tripped, the venue's guards (entries)."""
    words = desk.words
    limits = desk.limits
    tripped = words[Word.TRIPPED]
    entries = words[Word.DAY_ENTRY_COUNT] >= limits["entries_per_day_max"][0]
    mask = bit_if(entries, RiskReason.ENTRIES_PER_DAY) | tripped & TRIPPED_GATES
    guarded = is_guarded(desk, desk.draft["instrument_index"][0])
    return mask | bit_if(guarded, RiskReason.GUARDED)


@kernel
def gate_rate(desk: Desk) -> int:
    """Orders in the account's windows and in the instrument's."""
    now_ns = desk.words[Word.NOW_NS]
    i = desk.draft["instrument_index"][0]
    rates = desk.rates
    entry = desk.draft["is_entry"][0] != 0
    fits = rate_allows(rates, RATE_GLOBAL, entry, now_ns)
    fits = fits and rate_allows(rates, RATE_SLOW, entry, now_ns)
    mask = bit_if(not fits, RiskReason.RATE_GLOBAL)
    fits = rate_allows(rates, RATE_FIRST + i, entry, now_ns)
    return mask | bit_if(not fits, RiskReason.RATE_INSTRUMENT)


@kernel
def price_passes(desk: Desk, i: int, price_ticks: int) -> bool:
    """Return whether a limit price passes the venue's price filters; mid stands in for mark."""
    rows = desk.instruments
    if price_ticks < rows["min_price_ticks"][i] or price_ticks > rows["max_price_ticks"][i]:
        return False
    mid = float(desk.draft["mid_half_ticks"][0]) / 2.0
    up = float(rows["multiplier_up_e8"][i]) / E8_RATIO
    down = float(rows["multiplier_down_e8"][i]) / E8_RATIO
    if up > 0.0 and float(price_ticks) > mid * up:
        return False
    return down <= 0.0 or float(price_ticks) >= mid * down


@kernel
def gate_filters(desk: Desk) -> int:
    """The venue's own filters, so that it never has to reject for them, and room for the order."""
    draft = desk.draft
    rows = desk.instruments
    i = draft["instrument_index"][0]
    qty = draft["qty_lots"][0]
    if draft["order_type"][0] == OrderType.LIMIT:
        fits = rows["min_qty_lots"][i] <= qty <= rows["max_qty_lots"][i]
        priced = price_passes(desk, i, draft["price_ticks"][0])
    else:
        step = max(rows["market_step_lots"][i], 1)
        least, most = rows["market_min_qty_lots"][i], rows["market_max_qty_lots"][i]
        fits = least <= qty <= most and (step == 1 or qty % step == 0)
        priced = True
    mask = bit_if(not fits or qty <= 0, RiskReason.FILTER_QTY)
    small = notional(draft["lot_notional_e8"][0], qty, 1) < rows["min_notional_e8"][i]
    exempt = draft["flags"][0] & EVENT_REDUCE_ONLY != 0
    mask |= bit_if(small and not exempt, RiskReason.FILTER_NOTIONAL)
    mask |= bit_if(not priced, RiskReason.FILTER_PRICE)
    most_open = desk.limits["open_orders_max"][0]
    if rows["max_open_orders"][i] > 0:
        most_open = min(most_open, rows["max_open_orders"][i])
    crowded = desk.ledger["open_count"][i] >= most_open
    mask |= bit_if(crowded, RiskReason.FILTER_OPEN_ORDERS)
    full = not has_room(desk) or (draft["is_entry"][0] != 0 and desk.words[Word.MEMORY_STATE] != 0)
    return mask | bit_if(full, RiskReason.MEMORY_STATE)


@kernel
def gate_own(desk: Desk) -> int:
    """An order of ours it could trade with (what rests, too); a place of the portfolio (entries).

    A strategy that holds, or has an order in flight, has its place in that instrument.
    """
    draft = desk.draft
    is_entry = draft["is_entry"][0] != 0
    is_met = (is_entry or draft_rests(desk)) and meets_own(desk)
    mask = bit_if(is_met, RiskReason.SELF_TRADE)
    most = desk.limits["positions_max"][0]
    column = draft["column"][0]
    if not is_entry or most == 0 or column >= desk.exposure.shape[1]:
        return mask
    has_place = takes_place(desk, draft["instrument_index"][0], column)
    full = not has_place and desk.words[Word.PLACES_TAKEN] >= most
    return mask | bit_if(full, RiskReason.POSITION_COUNT)


@kernel
def grows_net(desk: Desk) -> bool:
    """Return whether an order would leave the venue's position larger than it is."""
    draft = desk.draft
    lots = desk.positions["lots"][draft["instrument_index"][0], net_column(desk)]
    return abs(lots + draft["side"][0] * draft["qty_lots"][0]) > abs(lots)


@kernel
def evaluate(desk: Desk) -> int:
    """Return the refusal mask of the order in `desk.draft`; 0: approved."""
    is_entry = desk.draft["is_entry"][0] != 0
    mask = gate_permission(desk) | gate_market(desk)
    if is_entry:
        mask |= gate_size(desk) | gate_history(desk) | gate_bounds(desk)
    else:
        mask |= gate_exit(desk)
        # WHY: strategies net at the venue; closing one of two opposed positions grows the net.
        if grows_net(desk):
            mask |= gate_size(desk)
    return mask | gate_own(desk) | gate_rate(desk) | gate_filters(desk)


@kernel
def first_reason(mask: int) -> int:
    """Return the first failing gate of a mask, or 0."""
    for reason in range(63):
        if mask >> reason & 1:
            return reason
    return 0
