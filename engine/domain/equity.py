"""Money of the account: cash, marks to mid, equity, the day, and the limits that trip on them.

        equity = cash + sum over instruments of (net lots * mid * unit - net cost)

Cash is the wallet by our own books: the first wallet the venue reports, then realised PnL, fees and
funding; reconciliation compares it with the venue's. Marks are taken on fills and at most once per
MARK_INTERVAL_NS, never per record. Limits that trip stop trading until an operator resumes; they
are written to LIMITS_CHANGED, so a restart finds them.
"""

from __future__ import annotations

from engine.domain.bounds import begin_bounds_day
from engine.domain.desk import Desk, net_column
from engine.domain.kernel import kernel
from engine.domain.market_state import (
    CLOCK_ANCHOR_NS,
    CLOCK_OFFSET_NS,
    CLOCK_RATE_PPB,
    CLOCK_VALID,
    EQUITY_E8,
    LOSS_USED_PPM,
)
from engine.domain.position import marked_value, notional
from engine.domain.risk_reasons import RiskReason
from engine.domain.words import Word

MARK_INTERVAL_NS = 1_000_000_000
DAY_NS = 86_400_000_000_000
S_TO_NS = 1_000_000_000
DIRTY_SOON = 1  # LIMITS_CHANGED with the next mark
DIRTY_AT_ONCE = 2  # in this step

LOSS_MASK = (
    (1 << RiskReason.DAILY_LOSS) | (1 << RiskReason.DRAWDOWN) | (1 << RiskReason.VENUE_DAILY_LOSS)
)
PROFIT_MASK = 1 << RiskReason.PROFIT_LOCK
_DAILY_LOSS = int(RiskReason.DAILY_LOSS)
_DRAWDOWN = int(RiskReason.DRAWDOWN)
_VENUE_DAILY_LOSS = int(RiskReason.VENUE_DAILY_LOSS)
_PROFIT_LOCK = int(RiskReason.PROFIT_LOCK)


@kernel
def venue_time_at(desk: Desk, now_ns: int) -> int:
    """Return the venue's time at a monotonic time by its last clock report; 0: not known."""
    progress = desk.progress
    if progress[CLOCK_VALID] == 0:
        return 0
    elapsed_ns = now_ns - progress[CLOCK_ANCHOR_NS]
    # Whole seconds and the rest apart: rate may be large on a sped-up tape, and nothing may wrap.
    whole_s = elapsed_ns // S_TO_NS
    rest_us = (elapsed_ns - whole_s * S_TO_NS) // 1000
    rate = progress[CLOCK_RATE_PPB]
    drift_ns = whole_s * rate + rest_us * rate // 1_000_000
    return now_ns + progress[CLOCK_OFFSET_NS] + drift_ns


@kernel
def refresh_mark(desk: Desk, i: int) -> None:
    """Recompute what one instrument is worth and could be worth, and the sums, in place."""
    words = desk.words
    ledger = desk.ledger
    half = desk.hot["bid_price_ticks"][i] + desk.hot["ask_price_ticks"][i]
    unit = desk.instruments["unit_e8"][i]
    lots = desk.positions["lots"][i, net_column(desk)]
    buys = ledger["buy_lots"][i] + ledger["foreign_buy_lots"][i]
    sells = ledger["sell_lots"][i] + ledger["foreign_sell_lots"][i]
    worst = max(abs(lots + buys), abs(lots - sells))
    unrealised = 0
    worst_e8 = 0
    if desk.hot["bid_price_ticks"][i] > 0 and desk.hot["ask_price_ticks"][i] > 0:
        worst_e8 = notional((half + 1) // 2, worst, unit)
        if lots != 0:
            cost = desk.positions["cost_e8"][i, net_column(desk)]
            unrealised = marked_value(lots, half, unit) - cost
    elif lots != 0 or worst != 0:
        worst_e8 = max(
            abs(desk.positions["cost_e8"][i, net_column(desk)]), ledger["notional_e8"][i]
        )
        unrealised = ledger["unrealised_e8"][i]
    words[Word.UNREALISED_E8] += unrealised - ledger["unrealised_e8"][i]
    words[Word.NOTIONAL_E8] += worst_e8 - ledger["notional_e8"][i]
    ledger["unrealised_e8"][i] = unrealised
    ledger["notional_e8"][i] = worst_e8
    words[Word.EQUITY_E8] = words[Word.CASH_E8] + words[Word.UNREALISED_E8]


@kernel
def change_cash(desk: Desk, amount_e8: int, now_ns: int) -> None:
    """Add to cash, in place; equity follows."""
    desk.words[Word.CASH_E8] += amount_e8
    desk.words[Word.CASH_CHANGED_NS] = now_ns
    desk.words[Word.EQUITY_E8] = desk.words[Word.CASH_E8] + desk.words[Word.UNREALISED_E8]
    desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE


@kernel
def book_result(desk: Desk, realised_e8: int, fee_e8: int, now_ns: int) -> None:
    """Book what a fill realised and what it cost, in place."""
    desk.words[Word.REALISED_E8] += realised_e8
    desk.words[Word.FEE_E8] += fee_e8
    desk.words[Word.DAY_REALISED_E8] += realised_e8 - fee_e8
    change_cash(desk, realised_e8 - fee_e8, now_ns)


@kernel
def rebase_equity(desk: Desk) -> None:
    """Make now the start of day and peak: after the first wallet, a resume, money moved by hand."""
    desk.words[Word.PEAK_EQUITY_E8] = desk.words[Word.EQUITY_E8]
    desk.words[Word.DAY_START_EQUITY_E8] = desk.words[Word.EQUITY_E8]
    desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE


@kernel
def roll_day(desk: Desk, now_ns: int) -> None:
    """Start a day's counters when the venue's clock has passed midnight, UTC; never backwards."""
    words = desk.words
    day = venue_time_at(desk, now_ns) // DAY_NS
    if day <= words[Word.DAY_NUMBER]:
        return
    words[Word.DAY_NUMBER] = day
    words[Word.DAY_REALISED_E8] = 0
    words[Word.DAY_ENTRY_COUNT] = 0
    words[Word.DAY_START_EQUITY_E8] = words[Word.EQUITY_E8]
    words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
    begin_bounds_day(desk)


@kernel
def trip(desk: Desk, reason: int) -> None:
    """Note that a limit tripped; the trading state follows, and open orders are looked at."""
    bit = 1 << reason
    if desk.words[Word.TRIPPED] & bit == 0:
        desk.words[Word.TRIPPED] |= bit
        desk.words[Word.LIMITS_DIRTY] = DIRTY_AT_ONCE
        desk.words[Word.ORDERS_DUE] = 1


@kernel
def loss_exceeded(base_e8: int, equity_e8: int, ratio_max: float) -> bool:
    """Return whether equity lies at least ratio_max of its base below it."""
    return base_e8 > 0 and float(base_e8 - equity_e8) >= ratio_max * float(base_e8)


@kernel
def limit_used(base_e8: int, equity_e8: int, ratio_max: float) -> float:
    """Return how much of a loss limit is used up, 0 to 1; 1 where the limit is 0."""
    if base_e8 <= 0 or not ratio_max > 0.0:
        return 1.0
    return min(max(float(base_e8 - equity_e8) / (ratio_max * float(base_e8)), 0.0), 1.0)


@kernel
def show_losses(desk: Desk) -> None:
    """Show the strategies the account's equity and how near its loss limits are, in place."""
    words, limits = desk.words, desk.limits
    equity = words[Word.EQUITY_E8]
    day = limit_used(words[Word.DAY_START_EQUITY_E8], equity, limits["daily_loss_ratio_max"][0])
    fall = limit_used(words[Word.PEAK_EQUITY_E8], equity, limits["drawdown_ratio_max"][0])
    desk.progress[EQUITY_E8] = equity
    desk.progress[LOSS_USED_PPM] = int(max(day, fall) * 1_000_000.0)


@kernel
def check_losses(desk: Desk) -> None:
    """Raise the peak and trip what the day's loss or profit and the drawdown reach, in place."""
    words = desk.words
    if words[Word.CASH_KNOWN] == 0 or words[Word.OPENING] != 0:
        return
    equity = words[Word.EQUITY_E8]
    if equity > words[Word.PEAK_EQUITY_E8]:
        words[Word.PEAK_EQUITY_E8] = equity
        words[Word.LIMITS_DIRTY] = max(words[Word.LIMITS_DIRTY], DIRTY_SOON)
    limits = desk.limits
    show_losses(desk)
    if loss_exceeded(words[Word.DAY_START_EQUITY_E8], equity, limits["daily_loss_ratio_max"][0]):
        trip(desk, _DAILY_LOSS)
    if loss_exceeded(words[Word.PEAK_EQUITY_E8], equity, limits["drawdown_ratio_max"][0]):
        trip(desk, _DRAWDOWN)
    base_e8 = words[Word.DAY_START_EQUITY_E8]
    gain_e8 = equity - base_e8
    if -gain_e8 >= desk.bounds["daily_loss_e8_max"][net_column(desk)]:
        trip(desk, _VENUE_DAILY_LOSS)
    lock = limits["profit_lock_ratio"][0]
    if lock > 0.0 and base_e8 > 0 and float(gain_e8) >= lock * float(base_e8):
        trip(desk, _PROFIT_LOCK)


@kernel
def mark_all(desk: Desk, now_ns: int) -> None:
    """Mark every instrument that has something at stake, roll the day, check the losses.

    Not before the restore has ended: until then there is no equity, only the day's beginning.
    """
    if desk.words[Word.RESTORED] == 0:
        return
    net = net_column(desk)
    for i in range(desk.ledger.shape[0]):
        if desk.positions["lots"][i, net] != 0 or desk.ledger["notional_e8"][i] != 0:
            refresh_mark(desk, i)
    roll_day(desk, now_ns)
    check_losses(desk)
    desk.words[Word.NEXT_MARK_NS] = now_ns + MARK_INTERVAL_NS


@kernel
def is_flat(desk: Desk) -> bool:
    """Return whether no instrument has a net position."""
    net = net_column(desk)
    for i in range(desk.ledger.shape[0]):
        if desk.positions["lots"][i, net] != 0:
            return False
    return True
