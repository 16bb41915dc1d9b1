"""Slow twins of features of volume, statistics, time, carry and regime; see `feature_twins`."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from tests.feature_twins import DAY_S, NAN, Outputs, Seen, ema, newest, over
from tests.feature_twins import TWINS as PRICE_TWINS
from tests.feature_twins_crowd import CROWD_TWINS
from tests.feature_twins_cycle import hilbert
from tests.feature_twins_depth import DEPTH_TWINS
from tests.feature_twins_patterns import PATTERN_TWINS
from tests.feature_twins_structure import STRUCTURE_TWINS

# ---- volume and impact ----


def relative(seen: Seen, bars: int) -> float:
    """Volume over the mean of the bars before."""
    return over(seen.volume[-1], seen.volume[-bars - 1 : -1].mean()) if seen.count > bars else NAN


def taker_balance(seen: Seen, bars: int) -> float:
    """Bought minus sold over volume."""
    volume, bought = seen.volume[-bars:].sum(), seen.bought[-bars:].sum()
    return over(bought - (volume - bought), volume) if seen.count >= bars else NAN


def deviation_of_volume(seen: Seen, bars: int) -> float:
    """Volume in standard deviations."""
    window = seen.volume[-bars:]
    return over(window[-1] - window.mean(), window.std()) if seen.count >= bars else NAN


def weighted_return(seen: Seen, bars: int) -> float:
    """Returns weighted with volume."""
    if seen.count <= bars:
        return NAN
    weights = seen.volume[-bars:]
    return over((seen.returns[-bars:] * weights).sum() * 1e4, weights.sum())


def force(seen: Seen, span: int) -> float:
    """Averaged push over averaged volume."""
    pushed = newest(ema(seen.moves * seen.volume[1:], span))
    return seen.atrs(over(pushed, newest(ema(seen.volume[1:], span))))


def weighted_deviation(prices: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of prices, weighted."""
    if not weights.sum():
        return NAN, NAN
    mean = float(np.average(prices, weights=weights))
    return mean, math.sqrt(np.average((prices - mean) ** 2, weights=weights))


def vwap_distance(seen: Seen, bars: int) -> Outputs:
    """Close minus the weighted mean, in two units."""
    if seen.count < bars:
        return NAN, NAN
    mean, spread = weighted_deviation(seen.typical[-bars:], seen.volume[-bars:])
    return seen.atrs(seen.close[-1] - mean), over(seen.close[-1] - mean, spread)


def day_vwap_distance(seen: Seen) -> float:
    """Close minus the weighted mean of the day, if it was seen whole."""
    if seen.days[-1] == seen.days[0]:
        return NAN
    today = seen.days == seen.days[-1]
    mean, _ = weighted_deviation(seen.typical[today], seen.volume[today])
    return seen.atrs(seen.close[-1] - mean)


def day_delta(seen: Seen) -> float:
    """Bought minus sold of the day, if it was seen whole."""
    if seen.days[-1] == seen.days[0]:
        return NAN
    today = seen.days == seen.days[-1]
    bought, volume = seen.bought[today].sum(), seen.volume[today].sum()
    return over(bought - (volume - bought), volume)


def value_area(seen: Seen, bars: int) -> Outputs:
    """Point of control, edges of the value area, and place between them."""
    if seen.count < bars:
        return (NAN,) * 4
    low, high = seen.low[-bars:].min(), seen.high[-bars:].max()
    if high == low or not seen.volume[-bars:].any():
        return (NAN,) * 4
    width = (high - low) / 24
    places = np.minimum(((seen.typical[-bars:] - low) / width).astype(int), 23)
    held = [float(seen.volume[-bars:][places == b].sum()) for b in range(24)]
    control = held.index(max(held))
    inside = {control}
    while sum(held[b] for b in inside) < 0.7 * sum(held):
        edges = [b for b in (max(inside) + 1, min(inside) - 1) if 0 <= b < 24]
        inside.add(max(edges, key=lambda b: held[b]))
    lower, upper = low + min(inside) * width, low + (max(inside) + 1) * width
    close = seen.close[-1]
    place = (close - lower) / (upper - lower) * 2 - 1
    middle = low + (control + 0.5) * width
    return seen.atrs(close - middle), seen.atrs(upper - close), seen.atrs(close - lower), place


def amihud(seen: Seen, bars: int) -> float:
    """Mean absolute return per lot, times the mean of lots, of bars that traded."""
    if seen.count <= bars:
        return NAN
    traded = seen.volume[-bars:] > 0
    if not traded.any():
        return NAN
    volume = seen.volume[-bars:][traded]
    return float((np.abs(seen.returns[-bars:][traded]) / volume).mean() * volume.mean() * 1e4)


def kyle(seen: Seen, bars: int) -> float:
    """Slope through the origin, times the mean volume."""
    if seen.count <= bars:
        return NAN
    volume = seen.volume[-bars:]
    signed = 2 * seen.bought[-bars:] - volume
    if not signed.any():
        return NAN
    slope = np.linalg.lstsq(signed[:, None], seen.returns[-bars:], rcond=None)[0][0]
    return float(slope * volume.mean() * 1e4)


def vpin(seen: Seen, bars: int) -> float:
    """One-sided volume."""
    one_sided = np.abs(2 * seen.bought - seen.volume)[-bars:].sum()
    return over(one_sided, seen.volume[-bars:].sum()) if seen.count >= bars else NAN


def roll(seen: Seen, bars: int) -> float:
    """From the covariance of moves with the moves before."""
    if seen.count < bars + 2:
        return NAN
    covariance = float(np.cov(seen.moves[-bars:], seen.moves[-bars - 1 : -1], bias=True)[0, 1])
    root = 2 * math.sqrt(abs(covariance)) / seen.close[-1] * 1e4
    return -root if covariance > 0 else root


def arrivals(seen: Seen, bars: int) -> float:
    """Trades over their mean."""
    return over(seen.trades[-1], seen.trades[-bars - 1 : -1].mean()) if seen.count > bars else NAN


def trade_size(seen: Seen, bars: int) -> float:
    """Lots per trade over those of the window."""
    whole = over(seen.volume[-bars:].sum(), seen.trades[-bars:].sum())
    return over(over(seen.volume[-1], seen.trades[-1]), whole) if seen.count >= bars else NAN


# ---- statistics ----


def moments(seen: Seen, bars: int) -> Outputs:
    """Third and fourth standardised moment."""
    window = seen.returns[-bars:]
    if len(window) < bars or not np.ptp(window):
        return NAN, NAN
    standard = (window - window.mean()) / window.std()
    return float((standard**3).mean()), float((standard**4).mean() - 3)


def autocorrelation(seen: Seen, bars: int, lag: int) -> float:
    """Of returns within the window."""
    window = seen.returns[-bars:]
    if len(window) < bars:
        return NAN
    centred = window - window.mean()
    return over((centred[lag:] * centred[:-lag]).sum(), (centred**2).sum())


def variance_ratio(seen: Seen, bars: int, step: int) -> float:
    """Long moves against short ones."""
    if seen.count <= bars:
        return NAN
    closes = seen.close[-bars - 1 :]
    long_moves = closes[step:] - closes[:-step]
    return over((long_moves**2).mean(), (np.diff(closes) ** 2).mean() * step)


def rank(seen: Seen, bars: int) -> float:
    """Share of earlier closes below."""
    if seen.count <= bars:
        return NAN
    before = seen.close[-bars - 1 : -1]
    below, equal = (before < seen.close[-1]).mean(), (before == seen.close[-1]).mean()
    return float(below + equal / 2)


def reversion(seen: Seen, bars: int) -> float:
    """Slope of moves on the closes before, sign turned."""
    if seen.count <= bars or not np.ptp(seen.close[-bars - 1 : -1]):
        return NAN
    slope, _ = np.polyfit(seen.close[-bars - 1 : -1] - seen.close[-1], seen.moves[-bars:], 1)
    return -float(slope)


# ---- time, carry, regime ----


def angle(moment: datetime) -> float:
    """Of the time of day."""
    seconds = moment.hour * 3_600 + moment.minute * 60 + moment.second
    return 2 * math.pi * seconds / DAY_S


def day_circle(seen: Seen) -> Outputs:
    """Time of day."""
    at = angle(datetime.fromtimestamp(seen.start_s[-1], UTC))
    return math.sin(at), math.cos(at)


def week_circle(seen: Seen) -> Outputs:
    """Time of week."""
    moment = datetime.fromtimestamp(seen.start_s[-1], UTC)
    at = (angle(moment) + 2 * math.pi * moment.weekday()) / 7
    return math.sin(at), math.cos(at)


def liquidations(seen: Seen, span: int) -> Outputs:
    """Decayed differences of the totals."""
    if seen.count <= span:
        return NAN, NAN
    weights = [2 / (span + 1) * (1 - 2 / (span + 1)) ** back for back in range(seen.count - 1)]
    decay = np.array(weights[::-1])
    bought, sold = (np.diff(seen.context[:, 3:5], axis=0) * decay[:, None]).sum(axis=0)
    volume = (seen.volume[1:] * decay).sum()
    return over(bought - sold, bought + sold), over(bought + sold, volume)


def labelled(strengths: list[float], enter: float, leave: float) -> Outputs:
    """Label and confidence after all strengths."""
    label = 0
    for strength in strengths:
        if math.isnan(strength):
            continue
        side = int(math.copysign(1, strength))
        kept = label == side and abs(strength) >= leave
        label = side if abs(strength) >= enter or kept else 0
    if not strengths or math.isnan(strengths[-1]):
        return NAN, NAN
    size = abs(strengths[-1])
    sure = (size - leave) / (enter - leave) if label else 1 - size / enter
    return float(label), min(max(sure, 0.0), 1.0)


def trend_regime(seen: Seen, bars: int, enter: float, leave: float) -> Outputs:
    """From efficiency, bar by bar."""
    moves = seen.moves
    ends = range(int(bars), len(moves) + 1)
    windows = [moves[end - int(bars) : end] for end in ends]
    return labelled([over(w.sum(), np.abs(w).sum()) for w in windows], enter, leave)


def volatility_regime(seen: Seen, short: int, long: int, enter: float, leave: float) -> Outputs:
    """From two windows, bar by bar."""
    strengths = []
    for end in range(int(long), len(seen.returns) + 1):
        squares = seen.returns[:end] ** 2
        found = over(squares[-int(short) :].mean(), squares[-int(long) :].mean())
        strengths.append(math.log(found) / 2 if found > 0 else NAN)
    return labelled(strengths, enter, leave)


TWINS: dict[str, Callable[..., float | Outputs]] = (
    PRICE_TWINS
    | STRUCTURE_TWINS
    | PATTERN_TWINS
    | CROWD_TWINS
    | DEPTH_TWINS
    | {
        "volume.relative": relative,
        "volume.taker_balance": taker_balance,
        "volume.deviation_of_volume": deviation_of_volume,
        "volume.weighted_return_bps": weighted_return,
        "volume.force": force,
        "volume.vwap_distance": vwap_distance,
        "volume.day_vwap_distance": day_vwap_distance,
        "volume.day_delta": day_delta,
        "profile.value_area": value_area,
        "cycle.hilbert": hilbert,
        "impact.amihud_bps": amihud,
        "impact.kyle_bps": kyle,
        "impact.vpin": vpin,
        "impact.roll_bps": roll,
        "impact.arrivals": arrivals,
        "impact.trade_size": trade_size,
        "statistics.moments": moments,
        "statistics.autocorrelation": autocorrelation,
        "statistics.variance_ratio": variance_ratio,
        "statistics.rank": rank,
        "statistics.reversion": reversion,
        "calendar.day_circle": day_circle,
        "calendar.week_circle": week_circle,
        "carry.funding_bps": lambda s: float(s.context[-1, 0]),
        "carry.basis_bps": lambda s: float(s.context[-1, 1]),
        "carry.funding_wait": lambda s: float((s.context[-1, 2] - s.start_s[-1]) / 28_800),
        "carry.liquidations": liquidations,
        "regime.trend": trend_regime,
        "regime.volatility": volatility_regime,
    }
)
