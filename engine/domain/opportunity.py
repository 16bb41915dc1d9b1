"""Opportunities: what strategies want, before risk. Also what strategies are told about orders.

`EXPOSURE_DTYPE[n, s]` is written by the order side and read here; `OPPORTUNITY_DTYPE` rows are
written here and read by the order side, which turns each into a decision, a refusal or an order.
"""

from __future__ import annotations

import numpy as np

from engine.domain.codes import EVENT_REDUCE_ONLY, OrderType, TimeInForce
from engine.domain.kernel import Records, fused, kernel
from engine.domain.market_state import TREND_COLUMN, VOLATILITY_COLUMN, MarketState
from engine.domain.trailing import whole_ticks

# A strategy acts at most once per record, and so many of them do: others are asked again when
# their next quote or bar comes.
OPPORTUNITIES_PER_RECORD_MAX = 256
TO_BPS = 10_000.0

EXPOSURE_DTYPE = np.dtype(
    [
        ("position_lots", "<i8"),  # signed, of this strategy in this instrument
        ("entry_price_ticks", "<i8"),  # average, nearest tick; 0 when flat
        ("entry_time_ns", "<i8"),  # monotonic, first fill of the position
        ("last_exit_time_ns", "<i8"),  # monotonic, last fill that made it flat; 0: never
        ("in_flight", "<u1"),  # an order of this strategy works or is unresolved
    ],
    align=True,
)

OPPORTUNITY_DTYPE = np.dtype(
    [
        ("instrument_index", "<i4"),
        ("strategy_index", "<i4"),
        ("side", "<i1"),
        ("is_entry", "<u1"),
        ("order_type", "<u1"),
        ("time_in_force", "<u1"),
        ("reason", "<i4"),  # StrategyReason
        ("flags", "<u1"),  # EVENT_REDUCE_ONLY, EVENT_POST_ONLY
        (
            "size_reasons",
            "<u1",
        ),  # bits of engine.domain.size_reasons; 0: as the row's notional says
        ("regime", "<u1"),  # of an entry, as `regime_at` says
        ("price_ticks", "<i8"),  # 0 for MARKET
        ("qty_lots", "<i8"),
        ("wanted_lots", "<i8"),  # where there are size_reasons: before them
        ("score", "<f8"),
        ("input_1", "<f8"),  # this and the next three: INPUT_NAMES of the kind
        ("input_2", "<f8"),
        ("input_3", "<f8"),
        ("input_4", "<f8"),
        ("expected_move_bps", "<f8"),  # of an entry; engine.domain.edge says what each is
        ("confidence", "<f8"),
        ("cost_bps", "<f8"),
        ("edge_bps", "<f8"),
    ],
    align=True,
)
assert OPPORTUNITY_DTYPE.itemsize == 120, "opportunities are packed without holes"

_MARKET = int(OrderType.MARKET)
_LIMIT = int(OrderType.LIMIT)
_IOC = int(TimeInForce.IOC)
_GTC = int(TimeInForce.GTC)


@kernel
def entry_qty_lots(instruments: Records, i: int, price_ticks: int, notional_e8: int) -> int:
    """Return a notional in lots: rounded down to the step, at least what the venue accepts.

    0 when even the least the venue accepts is above its largest market order.
    """
    lot_e8 = price_ticks * instruments["unit_e8"][i]
    step = max(instruments["market_step_lots"][i], 1)
    least = max(instruments["min_qty_lots"][i], instruments["market_min_qty_lots"][i])
    most = min(instruments["max_qty_lots"][i], instruments["market_max_qty_lots"][i])
    least_e8 = instruments["min_notional_e8"][i]
    qty = notional_e8 // lot_e8
    # WHY: a division takes tens of cycles, and this usual case needs no other.
    if step == 1 and least <= qty <= most and qty * lot_e8 >= least_e8:
        return qty
    least = max(least, -(-least_e8 // lot_e8))
    least = -(-least // step) * step
    qty = min(max(qty // step * step, least), most // step * step)
    return qty if qty >= least else 0


@fused
def acted_already(opportunities: Records, count: int, s: int) -> bool:
    """Return whether strategy `s` wrote one of the first `count` opportunities."""
    for k in range(count):
        if opportunities["strategy_index"][k] == s:
            return True
    return False


@kernel
def write_order(
    market: MarketState,
    opportunities: Records,
    count: int,
    i: int,
    s: int,
    side: int,
    is_entry: bool,
) -> None:
    """Fill in what kind of order row `count` is: by the strategy's style, in place."""
    hot = market.hot
    slip_ticks = market.strategies["limit_slip_ticks"][s]
    opportunities["instrument_index"][count] = i
    opportunities["strategy_index"][count] = s
    opportunities["side"][count] = side
    opportunities["is_entry"][count] = 1 if is_entry else 0
    opportunities["size_reasons"][count] = 0
    opportunities["flags"][count] = 0 if is_entry else EVENT_REDUCE_ONLY
    opportunities["order_type"][count] = _MARKET
    opportunities["time_in_force"][count] = _GTC
    opportunities["price_ticks"][count] = 0
    if is_entry:
        timeframe = market.strategies["timeframe_index"][s]
        opportunities["regime"][count] = regime_at(market, i, timeframe)
    if is_entry and slip_ticks >= 0:
        opportunities["order_type"][count] = _LIMIT
        opportunities["time_in_force"][count] = _IOC
        touch = hot["ask_price_ticks"][i] if side > 0 else hot["bid_price_ticks"][i]
        opportunities["price_ticks"][count] = touch + side * slip_ticks


@kernel
def write_inputs(
    opportunities: Records,
    count: int,
    score: float,
    input_1: float,
    input_2: float,
    input_3: float,
    input_4: float,
) -> None:
    """Fill in what the decision record shows of row `count`, in place."""
    opportunities["score"][count] = score
    opportunities["input_1"][count] = input_1
    opportunities["input_2"][count] = input_2
    opportunities["input_3"][count] = input_3
    opportunities["input_4"][count] = input_4


@kernel
def entry_notional_e8(market: MarketState, i: int, s: int, touch: int) -> int:
    """Return what an entry is worth: the row's notional, less where bars range further."""
    notional_e8 = market.strategies["notional_e8"][s]
    bound_bps = market.strategies["size_atr_bps"][s]
    atr_ticks = market.atr_ticks[i, market.strategies["timeframe_index"][s]]
    atr_bps = atr_ticks / touch * TO_BPS
    if bound_bps > 0.0 and atr_bps > bound_bps:
        return int(notional_e8 * (bound_bps / atr_bps))
    return int(notional_e8)


@kernel
def regime_label(market: MarketState, i: int, t: int, column: int) -> float:
    """Return a label of the newest bar's regime, -1, 0 or 1; 0 where it is not known."""
    label = market.bar_features[i, t, column] if column >= 0 else 0.0
    return float(label) if label == label else 0.0  # noqa: PLR0124  NaN


@kernel
def label_place(market: MarketState, i: int, t: int, column: int) -> int:
    """Return the place of a label among those of its kind: 0, 1, 2; 3 where it is not known."""
    label = market.bar_features[i, t, column] if column >= 0 else np.nan
    return int(label) + 1 if label == label else 3  # noqa: PLR0124  NaN


@kernel
def regime_at(market: MarketState, i: int, t: int) -> int:
    """Return the regime of an instrument's bars: its trend's place + 4 * its volatility's."""
    trend = label_place(market, i, t, market.progress[TREND_COLUMN])
    return trend + 4 * label_place(market, i, t, market.progress[VOLATILITY_COLUMN])


@kernel
def set_distances(market: MarketState, i: int, s: int, side: int) -> None:
    """Set how far stop, target and trail of an entry lie: ATRs, moved by the regime; in place.

    With `regime_adapt` of 1, all lie half as far again where bars vary much and half as far where
    little, and the target half as far again with the trend and half as far against it.
    """
    rows, memory = market.strategies, market.strategy_memory
    t = rows["timeframe_index"][s]
    half = 0.5 * rows["regime_adapt"][s]
    calm, way = 1.0, 1.0
    if half != 0.0:  # else the labels, which nothing else reads here, stay where they are
        calm += half * regime_label(market, i, t, market.progress[VOLATILITY_COLUMN])
        way += half * side * regime_label(market, i, t, market.progress[TREND_COLUMN])
    atr_ticks = market.atr_ticks[i, t]
    memory["stop_ticks"][i, s] = rows["stop_atr"][s] * atr_ticks * calm
    memory["take_ticks"][i, s] = rows["take_atr"][s] * atr_ticks * calm * way
    trail_ticks = rows["trail_atr"][s] * atr_ticks * calm
    market.trails["distance_ticks"][i, s] = whole_ticks(trail_ticks)


@kernel
def propose_entry(
    market: MarketState, opportunities: Records, count: int, i: int, s: int, side: int, reason: int
) -> int:
    """Write an entry of the row's size as row `count`; return the count after it.

    Sets the distances of stop and target of this time, if the row has any.
    """
    hot = market.hot
    if count >= opportunities.shape[0]:
        return count
    touch = hot["ask_price_ticks"][i] if side > 0 else hot["bid_price_ticks"][i]
    if touch <= 0:
        return count
    qty = entry_qty_lots(market.instruments, i, touch, entry_notional_e8(market, i, s, touch))
    if qty <= 0:
        return count
    write_order(market, opportunities, count, i, s, side, True)
    opportunities["qty_lots"][count] = qty
    opportunities["reason"][count] = reason
    set_distances(market, i, s, side)
    return count + 1


@kernel
def propose_exit(
    market: MarketState,
    opportunities: Records,
    count: int,
    i: int,
    s: int,
    position_lots: int,
    reason: int,
) -> int:
    """Write the exit of the whole position as row `count`; return the count after it."""
    if count >= opportunities.shape[0]:
        return count
    side = -1 if position_lots > 0 else 1
    write_order(market, opportunities, count, i, s, side, False)
    opportunities["qty_lots"][count] = abs(position_lots)
    opportunities["reason"][count] = reason
    return count + 1


@kernel
def is_warm(market: MarketState, i: int, s: int) -> bool:
    """Return whether what the row says in average true ranges is known, or it says nothing so."""
    rows = market.strategies
    stays = rows["stop_atr"][s] == 0.0 and rows["take_atr"][s] == 0.0
    if stays and rows["trail_atr"][s] == 0.0 and rows["size_atr_bps"][s] == 0.0:
        return True
    atr_ticks = market.atr_ticks[i, market.strategies["timeframe_index"][s]]
    return bool(atr_ticks > 0.0)
