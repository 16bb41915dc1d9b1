"""The law of market-making: where a strategy would quote both sides of an instrument, and how much.

    fair        = mid, moved towards the microprice by `micro_lean`
    reservation = fair - skew_atr * ATR * inventory         inventory: position / its bound, -1..1
    half width  = width_atr * ATR, wider where bars vary much, within its bounds, and at least
                  what pays the maker's fee and the least edge: (fee + least edge) / claim
    bid, ask    = reservation -+ half width, outwards to a tick, never at or through the other side

After Avellaneda and Stoikov (2008): what is held moves both quotes to where it is shed, risk widens
them. Average true ranges stand for their variance, a bound of inventory for their horizon. A buy
that would leave more than the bound is not wanted, nor is a sell; no quote is where the ATR is not
known or above `atr_bps_max`, the newest quote is older than `expiry_s`, or the position is due to
end (stop, target, time). Near a loss limit quotes and bound shrink and the least edge grows, for
rows that ask (`engine.domain.sizing`). Nothing here knows orders: see `engine.domain.quoting`.
"""

from __future__ import annotations

import math

import numpy as np

from engine.domain.edge import PPM_PER_BPS
from engine.domain.features.micro import MICROPRICE_BPS
from engine.domain.kernel import Records, kernel
from engine.domain.market_state import MAKER_FEE_PPM, VOLATILITY_COLUMN, MarketState
from engine.domain.opportunity import TO_BPS, entry_notional_e8, entry_qty_lots, regime_label
from engine.domain.sizing import edge_asked_bps, lots_under_stress, stress_of
from engine.domain.strategy_kinds import protective_exit

# Positions in MarketState.parameters, in the order of KIND_PARAMETERS.
WIDTH_ATR, WIDTH_BPS_MIN, WIDTH_BPS_MAX, SKEW_ATR, INVENTORY = 0, 1, 2, 3, 4
REQUOTE_SHARE, REQUOTE_S, MICRO_LEAN, ATR_BPS_MAX = 5, 6, 7, 8
BUY, SELL = 0, 1  # sides as places
HALF_TICKS_MIN = 0.5  # the two sides never meet

# Of an instrument and a strategy that makes its market: what it wants, and what it has asked for.
QUOTE_DTYPE = np.dtype(
    [
        ("key", "<i8", (2,)),  # of the order that quotes a side; 0: none
        ("resting_ticks", "<i8", (2,)),  # its price
        ("asked_ns", "<i8", (2,)),  # when a side was last asked for
        ("wanted_ticks", "<i8", (2,)),  # 0: no quote is wanted
        ("lots", "<i8"),  # of a whole quote
        ("calm_lots", "<i8"),  # and away from any loss limit
        ("inventory", "<f8"),  # -1 to 1
        ("fair_ticks", "<f8"),
        ("reservation_ticks", "<f8"),
        ("half_ticks", "<f8"),
    ]
)


@kernel
def fair_ticks(market: MarketState, i: int, lean: float) -> float:
    """Return what an instrument is thought to be worth, ticks."""
    hot = market.hot
    mid = (hot["bid_price_ticks"][i] + hot["ask_price_ticks"][i]) * 0.5
    lean_bps = lean * hot["micro"][i, MICROPRICE_BPS]
    return mid * (1.0 + lean_bps / TO_BPS) if lean_bps == lean_bps else mid  # noqa: PLR0124  NaN


@kernel
def least_half_bps(market: MarketState, s: int) -> float:
    """Return the distance from fair, bps, at which a fill pays its fee and the row's least edge.

    Infinite where the row claims nothing.
    """
    rows = market.strategies
    fee_bps = market.progress[MAKER_FEE_PPM] / PPM_PER_BPS
    claim = rows["claim"][s]
    return (fee_bps + max(edge_asked_bps(market, s), 0.0)) / claim if claim > 0.0 else np.inf


@kernel
def half_width_ticks(market: MarketState, i: int, s: int, fair: float) -> float:
    """Return the half width of a row's quotes: by volatility and its regime, within bounds."""
    own, rows = market.parameters[s], market.strategies
    t = rows["timeframe_index"][s]
    label = regime_label(market, i, t, market.progress[VOLATILITY_COLUMN])
    wide = own[WIDTH_ATR] * market.atr_ticks[i, t] * (1.0 + 0.5 * rows["regime_adapt"][s] * label)
    least = max(own[WIDTH_BPS_MIN], least_half_bps(market, s)) / TO_BPS * fair
    return max(min(max(wide, least), own[WIDTH_BPS_MAX] / TO_BPS * fair), HALF_TICKS_MIN)


@kernel
def quote_lots(market: MarketState, i: int, s: int, calm: int) -> int:
    """Return how much a row quotes now, of `calm` away from any loss limit; 0: too little."""
    rows = market.instruments
    step = max(rows["market_step_lots"][i], 1)
    lots = lots_under_stress(market, s, calm, stress_of(market, s)) // step * step
    worth_e8 = lots * market.hot["bid_price_ticks"][i] * rows["unit_e8"][i]
    enough = lots >= rows["min_qty_lots"][i] and worth_e8 >= rows["min_notional_e8"][i]
    return lots if enough or lots == calm else 0


@kernel
def may_quote(market: MarketState, exposure: Records, i: int, s: int, now_ns: int) -> bool:
    """Return whether an instrument is fit to be quoted by a row at this moment."""
    hot, rows = market.hot, market.strategies
    bid, ask = hot["bid_price_ticks"][i], hot["ask_price_ticks"][i]
    atr_ticks = market.atr_ticks[i, rows["timeframe_index"][s]]
    if bid <= 0 or ask <= bid or not atr_ticks > 0.0:
        return False
    most_bps = market.parameters[s, ATR_BPS_MAX]
    if most_bps > 0.0 and atr_ticks / bid * TO_BPS > most_bps:
        return False
    expiry_ns = rows["expiry_ns"][s]
    if expiry_ns > 0 and now_ns - hot["quote_receive_time_ns"][i] > expiry_ns:
        return False
    if exposure["position_lots"][i, s] == 0:
        return True
    return protective_exit(market, exposure, i, s, now_ns) == 0


@kernel
def plan_quotes(
    market: MarketState, exposure: Records, quotes: Records, i: int, m: int, s: int, now_ns: int
) -> None:
    """Write what strategy `s` wants to quote into `quotes[i, m]`, in place.

    Args:
        market: with the quote that is the occasion applied.
        exposure: EXPOSURE_DTYPE[n, strategies], read only.
        quotes: QUOTE_DTYPE[n, makers]; what was asked for stays.
        i: the instrument.
        m: place of the strategy among those that make markets.
        s: the strategy.
        now_ns: monotonic time of the step.
    """
    quotes["wanted_ticks"][i, m, BUY] = 0
    quotes["wanted_ticks"][i, m, SELL] = 0
    if not may_quote(market, exposure, i, s, now_ns):
        return
    own, hot = market.parameters[s], market.hot
    bid, ask = hot["bid_price_ticks"][i], hot["ask_price_ticks"][i]
    calm = entry_qty_lots(market.instruments, i, ask, entry_notional_e8(market, i, s, ask))
    lots = quote_lots(market, i, s, calm)
    most = int(own[INVENTORY] * lots)
    held = exposure["position_lots"][i, s]
    if calm <= 0 or (most <= 0 and held == 0):
        return
    fair = fair_ticks(market, i, own[MICRO_LEAN])
    inventory = min(max(held / max(most, 1), -1.0), 1.0)
    atr_ticks = market.atr_ticks[i, market.strategies["timeframe_index"][s]]
    reservation = fair - own[SKEW_ATR] * atr_ticks * inventory
    half = half_width_ticks(market, i, s, fair)
    quotes["lots"][i, m] = lots if most > 0 else calm  # of the side that sheds
    quotes["calm_lots"][i, m] = calm
    quotes["inventory"][i, m] = inventory
    quotes["fair_ticks"][i, m] = fair
    quotes["reservation_ticks"][i, m] = reservation
    quotes["half_ticks"][i, m] = half
    if held < 0 or (most > 0 and held + lots <= most):
        quotes["wanted_ticks"][i, m, BUY] = max(min(math.floor(reservation - half), ask - 1), 0)
    if held > 0 or (most > 0 and held - lots >= -most):
        quotes["wanted_ticks"][i, m, SELL] = max(math.ceil(reservation + half), bid + 1)
