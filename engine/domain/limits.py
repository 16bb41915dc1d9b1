"""The bounds that risk checks: one row for the account, one per instrument, and the rate limits.

Money in 1e-8 of the quote currency, quantities in lots, times in ns. A bound of 0 refuses
everything; `UNBOUNDED` is the largest number, never a special case in a kernel.

Rate limits are kept as one time each (generic cell rate algorithm): `tat_ns` is when the bucket
would be full again, an order moves it by `interval_ns`, and is refused when it would lie more than
`burst_ns` ahead. Exact in integers, and nothing has to be refilled.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.arrays import aligned_zeros
from engine.domain.codes import Channel, Mode
from engine.domain.kernel import Records, fused, kernel

MS_TO_NS = 1_000_000
S_TO_NS = 1_000_000_000
E8 = 100_000_000
UNBOUNDED = 4_000_000_000_000_000_000  # e8: forty thousand million of the quote currency
LOTS_MAX = 2_000_000_000  # |lots| of any order or position; its square fits an int64
RATE_GLOBAL = 0  # row of the account's rate in `rates`
RATE_SLOW = 1  # row of the account's rate over a minute
RATE_FIRST = 2  # + instrument_index
EXIT_SHARE = 5  # one in five orders of a window is kept for exits
CHANNELS_NEEDED = (1 << Channel.QUOTE) | (1 << Channel.TRADE) | (1 << Channel.BOOK)

LIMITS_DTYPE = np.dtype(
    [
        ("third_party", "<i8"),  # 1: the arming switches apply
        ("armed_mask", "<i8"),  # bit 0 ALLOW_ORDERS=1, bit 1 DRY_RUN=0, bit 2 ENABLE_ORDER_EXEC=1
        ("total_notional_e8_max", "<i8"),
        ("entries_per_day_max", "<i8"),
        ("daily_loss_ratio_max", "<f8"),  # of the day's opening equity
        ("drawdown_ratio_max", "<f8"),  # of the equity peak
        ("consecutive_failures_max", "<i8"),
        ("price_age_ns_max", "<i8"),
        ("decision_age_ns_max", "<i8"),
        ("price_collar_e3bps", "<i8"),  # thousandths of a basis point from mid
        ("open_orders_max", "<i8"),  # of one instrument
        ("channels_needed", "<i8"),  # one bit per Channel that must be live for an entry
        ("order_timeout_ns", "<i8"),
        ("resting_time_ns_max", "<i8"),  # a working order older than this is cancelled
        ("reconcile_interval_ns", "<i8"),
        ("fetch_timeout_ns", "<i8"),
        ("absent_window_ns", "<i8"),  # an order younger than this is never called absent
        ("profit_lock_ratio", "<f8"),  # of the day's opening equity; 0: no lock
        ("mode_most", "<i8"),  # the most severe Mode whose entries leave
        ("approval_e8_min", "<i8"),  # an entry above it waits for an operator's word
        ("approval_ratio", "<f8"),  # as one so many times its strategy's usual one; 0: none does
        ("approval_ns", "<i8"),  # how long it waits
        ("positions_max", "<i8"),  # places of the portfolio; 0: no bound
        ("rotates", "<i8"),  # 1: a better entry may close the weakest position
        ("rotate_bps", "<f8"),  # how much better it must be beside its costs
        ("rotate_hold_ns", "<i8"),  # no position is closed for another before
    ]
)
INSTRUMENT_LIMITS_DTYPE = np.dtype(
    [
        ("order_lots_max", "<i8"),
        ("position_lots_max", "<i8"),
        ("order_notional_e8_max", "<i8"),
        ("position_notional_e8_max", "<i8"),
        ("mode", "<i8"),  # Mode that an operator gave the instrument
    ]
)
RATE_DTYPE = np.dtype([("tat_ns", "<i8"), ("interval_ns", "<i8"), ("burst_ns", "<i8")])


class Bounds(NamedTuple):
    """Bounds of one strategy, or of the venue; None: those of the account alone hold."""

    order_notional_max: float | None = None  # quote currency
    position_notional_max: float | None = None  # of one instrument; of the venue: of all together
    orders_per_day_max: int | None = None
    daily_loss_max: float | None = None  # quote currency; a strategy's: realised, after fees


class InstrumentBounds(NamedTuple):
    """Bounds of one instrument in the place of the account's; None: those of the account hold."""

    order_qty_max: float | None = None  # contracts
    position_qty_max: float | None = None
    order_notional_max: float | None = None  # quote currency
    position_notional_max: float | None = None


class RiskLimits(NamedTuple):
    """Every bound of a run, in the units the configuration uses; `pack` makes the rows."""

    third_party: bool = False
    allow_orders: bool = False
    dry_run: bool = True
    enable_order_exec: bool = False
    order_qty_max: float | None = None  # contracts; None: bounded by notional alone
    position_qty_max: float | None = None
    order_notional_max: float = 1_000.0
    position_notional_max: float = 3_000.0
    total_notional_max: float = 10_000.0
    entries_per_day_max: int = 20
    daily_loss_ratio_max: float = 0.02
    drawdown_ratio_max: float = 0.10
    consecutive_failures_max: int = 5
    price_collar_bps: float = 50.0
    price_age_ms: int = 5_000
    decision_latency_ms: int = 100
    orders_per_10s: int = 100
    orders_per_minute: int = 600
    orders_per_10s_instrument: int = 20
    open_orders_max: int = 16
    channels_needed: int = CHANNELS_NEEDED
    order_timeout_ms: int = 2_000
    resting_time_ms: int = 60_000
    reconcile_interval_s: int = 30
    fetch_timeout_ms: int = 10_000
    absent_window_ms: int = 5_000
    profit_lock_ratio: float = 0.0
    strategy_bounds: Mapping[str, Bounds] = MappingProxyType({})
    venue_bounds: Bounds = Bounds()
    instrument_bounds: Mapping[str, InstrumentBounds] = MappingProxyType({})  # by symbol
    approval_notional_min: float | None = None
    approval_ratio: float = 0.0
    approval_s: int = 300
    positions_max: int = 0
    rotates: bool = False
    rotate_bps: float = 5.0
    rotate_hold_s: int = 30


def money_e8(amount: float) -> int:
    """Return an amount of the quote currency in e8, at most UNBOUNDED."""
    assert amount >= 0.0, amount
    return min(round(amount * E8), UNBOUNDED)


def bound_e8(amount: float | None) -> int:
    """Return a bound in e8; None: UNBOUNDED."""
    return UNBOUNDED if amount is None else money_e8(amount)


def pack_limits(limits: RiskLimits) -> NDArray[np.void]:
    """Return LIMITS_DTYPE[1]."""
    row = np.zeros(1, dtype=LIMITS_DTYPE)
    armed = (limits.allow_orders, not limits.dry_run, limits.enable_order_exec)
    row["third_party"] = limits.third_party
    row["armed_mask"] = sum(1 << bit for bit, switch in enumerate(armed) if switch)
    row["total_notional_e8_max"] = money_e8(limits.total_notional_max)
    row["entries_per_day_max"] = limits.entries_per_day_max
    row["daily_loss_ratio_max"] = limits.daily_loss_ratio_max
    row["drawdown_ratio_max"] = limits.drawdown_ratio_max
    row["consecutive_failures_max"] = limits.consecutive_failures_max
    row["price_age_ns_max"] = limits.price_age_ms * MS_TO_NS
    row["decision_age_ns_max"] = limits.decision_latency_ms * MS_TO_NS
    row["price_collar_e3bps"] = round(limits.price_collar_bps * 1000)
    row["open_orders_max"] = limits.open_orders_max
    row["channels_needed"] = limits.channels_needed
    row["order_timeout_ns"] = limits.order_timeout_ms * MS_TO_NS
    row["resting_time_ns_max"] = limits.resting_time_ms * MS_TO_NS
    row["reconcile_interval_ns"] = limits.reconcile_interval_s * S_TO_NS
    row["fetch_timeout_ns"] = limits.fetch_timeout_ms * MS_TO_NS
    row["absent_window_ns"] = limits.absent_window_ms * MS_TO_NS
    row["profit_lock_ratio"] = limits.profit_lock_ratio
    row["mode_most"] = Mode.LIVE if limits.third_party else Mode.SIMULATE
    row["approval_e8_min"] = bound_e8(limits.approval_notional_min)
    row["approval_ratio"] = limits.approval_ratio
    row["approval_ns"] = limits.approval_s * S_TO_NS
    row["positions_max"] = limits.positions_max
    row["rotates"] = limits.rotates
    row["rotate_bps"] = limits.rotate_bps
    row["rotate_hold_ns"] = limits.rotate_hold_s * S_TO_NS
    return row


def lots_max(quantity: float | None, lot_size: float) -> int:
    """Return the most lots a quantity in contracts allows; None: LOTS_MAX."""
    if quantity is None:
        return LOTS_MAX
    return min(int(quantity / lot_size + 1e-9), LOTS_MAX)


def pack_instrument_limits(limits: RiskLimits, instruments: NDArray[np.void]) -> NDArray[np.void]:
    """Return INSTRUMENT_LIMITS_DTYPE[n], one row per row of INSTRUMENT_DTYPE."""
    rows = aligned_zeros((len(instruments),), INSTRUMENT_LIMITS_DTYPE)
    account = InstrumentBounds(
        limits.order_qty_max,
        limits.position_qty_max,
        limits.order_notional_max,
        limits.position_notional_max,
    )
    for i, lot_size in enumerate(instruments["lot_size"].tolist()):
        symbol = bytes(instruments["symbol"][i]).rstrip(b"\0").decode()
        own = limits.instrument_bounds.get(symbol, account)
        bounds = [a if b is None else b for a, b in zip(account, own, strict=True)]
        rows["order_lots_max"][i] = lots_max(bounds[0], lot_size)
        rows["position_lots_max"][i] = lots_max(bounds[1], lot_size)
        rows["order_notional_e8_max"][i] = bound_e8(bounds[2])
        rows["position_notional_e8_max"][i] = bound_e8(bounds[3])
    return rows


def pack_rates(limits: RiskLimits, instrument_count: int) -> NDArray[np.void]:
    """Return RATE_DTYPE[RATE_FIRST + n], every bucket full."""
    rates = aligned_zeros((RATE_FIRST + instrument_count,), RATE_DTYPE)
    windows_s = np.full(len(rates), 10, dtype=np.int64)
    windows_s[RATE_SLOW] = 60
    orders = np.full(len(rates), limits.orders_per_10s_instrument, dtype=np.int64)
    orders[RATE_GLOBAL] = limits.orders_per_10s
    orders[RATE_SLOW] = limits.orders_per_minute
    assert (orders > 0).all(), "a rate limit is positive"
    rates["burst_ns"] = windows_s * S_TO_NS
    # Rounded up: never more than the limit in a window.
    rates["interval_ns"] = -(-windows_s * S_TO_NS // orders)
    return rates


@fused
def rate_leaves(rates: Records, row: int, share: int, now_ns: int) -> bool:
    """Return whether the bucket takes one more order and keeps one in `share` of it; 0: none."""
    interval_ns = rates["interval_ns"][row]
    burst_ns = rates["burst_ns"][row]
    needed_ns = max(rates["tat_ns"][row], now_ns) + interval_ns - now_ns
    if share > 0 and burst_ns >= share * interval_ns:
        # Of burst - burst // share both sides times the share: exact, and nothing is divided.
        return needed_ns * share < burst_ns * (share - 1) + share
    return needed_ns <= burst_ns


@kernel
def rate_allows(rates: Records, row: int, is_entry: bool, now_ns: int) -> bool:
    """Return whether one more order fits the bucket; entries leave a share of it to exits."""
    return rate_leaves(rates, row, EXIT_SHARE if is_entry else 0, now_ns)


@kernel
def rate_take(rates: Records, row: int, now_ns: int) -> None:
    """Take one order from the bucket, in place."""
    rates["tat_ns"][row] = max(rates["tat_ns"][row], now_ns) + rates["interval_ns"][row]
