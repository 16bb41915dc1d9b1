"""Slow twins of features, written from their definitions.

A twin is told what was seen until now and answers the newest value of each output; it keeps no
state and shares no code with the kernels.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from tests.feature_bars import Bar

NAN = float("nan")
ATR_BARS = 14
DAY_S = 86_400
Outputs = tuple[float, ...]
Floats = np.ndarray


class Seen:
    """The bars until now as columns, and what many definitions ask for."""

    def __init__(self, bars: Sequence[Bar], context: Floats) -> None:
        """Take the bars until now, oldest first."""
        self.bars = bars
        columns = np.array(bars, dtype=np.float64).T
        self.open, self.high, self.low, self.close = columns[:4]
        self.volume, self.bought, self.trades, self.start_s = columns[4:]
        self.context = context
        self.count = len(bars)
        self.moves = np.diff(self.close)
        self.returns = self.close[1:] / self.close[:-1] - 1
        self.typical = (self.high + self.low + self.close) / 3
        before = self.close[:-1]
        self.ranges = np.maximum(self.high[1:], before) - np.minimum(self.low[1:], before)

    @property
    def atr(self) -> float:
        """Wilder's average true range of the newest bar."""
        return wilder_mean(self.ranges, ATR_BARS)

    def atrs(self, distance: float) -> float:
        """A distance in average true ranges."""
        return distance / self.atr if self.atr > 0 else NAN

    @property
    def days(self) -> Floats:
        """The UTC day of each bar."""
        return self.start_s // DAY_S


def over(part: float, whole: float) -> float:
    """Part over whole; NaN over nothing."""
    return float(part / whole) if whole else NAN


def wilder_mean(values: Floats, span: int) -> float:
    """Mean of the first `span` values, then each newer one weighing 1 / span."""
    if len(values) < span:
        return NAN
    average = float(values[:span].mean())
    for value in values[span:]:
        average = (average * (span - 1) + value) / span
    return average


def ema(values: Floats, span: int) -> Floats:
    """Exponential averages from the `span`-th value on, seeded with the mean of the first."""
    if len(values) < span:
        return np.empty(0)
    averages = [float(values[:span].mean())]
    for value in values[span:]:
        averages.append(averages[-1] + (value - averages[-1]) * 2 / (span + 1))
    return np.array(averages)


def newest(values: Floats) -> float:
    """The last one, or NaN."""
    return float(values[-1]) if len(values) else NAN


# ---- returns and averages ----


def change(seen: Seen, bars: int) -> float:
    """Close minus an earlier close."""
    return seen.atrs(seen.close[-1] - seen.close[-1 - bars]) if seen.count > bars else NAN


def wicks(seen: Seen) -> Outputs:
    """Wicks over range."""
    span = seen.high[-1] - seen.low[-1]
    top, bottom = max(seen.open[-1], seen.close[-1]), min(seen.open[-1], seen.close[-1])
    return over(seen.high[-1] - top, span), over(bottom - seen.low[-1], span)


def deviation_of(values: Floats, bars: int) -> float:
    """The newest minus the mean of the last, in their standard deviations."""
    if len(values) < bars:
        return NAN
    last = values[-bars:]
    return over(last[-1] - last.mean(), last.std())


def run(seen: Seen) -> float:
    """Closes in a row on one side."""
    if seen.count < 2:
        return NAN
    signs = np.sign(seen.moves)[::-1]
    length = next((k for k, sign in enumerate(signs) if sign != signs[0]), len(signs))
    return float(signs[0] * length)


def ema_distance(seen: Seen, span: int) -> float:
    """Close minus its exponential average."""
    return seen.atrs(seen.close[-1] - newest(ema(seen.close, span)))


def vwma_distance(seen: Seen, bars: int) -> float:
    """Close minus the mean weighted with volume."""
    if seen.count < bars:
        return NAN
    weights = seen.volume[-bars:]
    return seen.atrs(seen.close[-1] - over((seen.close[-bars:] * weights).sum(), weights.sum()))


# ---- trend and momentum ----


def supertrend(seen: Seen, width: float) -> Outputs:
    """The trailing band, bar by bar from the first average true range."""
    side, upper, lower = 0.0, NAN, NAN
    for k in range(ATR_BARS, seen.count):
        middle = (seen.high[k] + seen.low[k]) / 2
        reach = width * wilder_mean(seen.ranges[:k], ATR_BARS)
        if not reach:
            continue
        tight_upper, tight_lower = middle + reach, middle - reach
        if side:
            if seen.close[k - 1] <= upper:
                tight_upper = min(tight_upper, upper)
            if seen.close[k - 1] >= lower:
                tight_lower = max(tight_lower, lower)
            turned = 1.0 if seen.close[k] > tight_upper else -1.0
            side = turned if not tight_lower <= seen.close[k] <= tight_upper else side
        else:
            side = 1.0 if seen.close[k] >= middle else -1.0
        upper, lower = tight_upper, tight_lower
    if not side or not seen.atr > 0:
        return NAN, NAN
    return side, seen.atrs(seen.close[-1] - (lower if side > 0 else upper))


def fractals(seen: Seen, bars: int) -> Outputs:
    """Newest high, and low, strictly beyond their neighbours."""
    above, below = [], []
    for k in range(bars, seen.count - bars):
        near = [n for n in range(k - bars, k + bars + 1) if n != k]
        if all(seen.high[k] > seen.high[n] for n in near):
            above.append(seen.high[k])
        if all(seen.low[k] < seen.low[n] for n in near):
            below.append(seen.low[k])
    high, low = above[-1] if above else NAN, below[-1] if below else NAN
    return seen.atrs(high - seen.close[-1]), seen.atrs(seen.close[-1] - low)


def vortex(seen: Seen, bars: int) -> Outputs:
    """Movement between bars over the true range."""
    if seen.count <= bars:
        return NAN, NAN
    plus = np.abs(seen.high[1:] - seen.low[:-1])[-bars:].sum()
    minus = np.abs(seen.low[1:] - seen.high[:-1])[-bars:].sum()
    whole = seen.ranges[-bars:].sum()
    return over(plus, whole), over(minus, whole)


def tsi(seen: Seen, first: int, second: int) -> float:
    """Twice averaged moves over twice averaged sizes."""
    signed = newest(ema(ema(seen.moves, first), second))
    size = newest(ema(ema(np.abs(seen.moves), first), second))
    return over(signed, size)


def fisher(seen: Seen, bars: int) -> float:
    """Ehlers' transform from the first full window on."""
    middles = (seen.high + seen.low) / 2
    smoothed, value = 0.0, 0.0
    for k in range(bars - 1, seen.count):
        window = middles[k - bars + 1 : k + 1]
        span = window.max() - window.min()
        place = (middles[k] - window.min()) / span - 0.5 if span else 0.0
        smoothed = float(np.clip(0.66 * place + 0.67 * smoothed, -0.999, 0.999))
        value = math.atanh(smoothed) + 0.5 * value
    return value if seen.count >= bars else NAN


def body_mean(seen: Seen, bars: int) -> float:
    """Mean body."""
    return seen.atrs((seen.close - seen.open)[-bars:].mean()) if seen.count >= bars else NAN


def efficiency(seen: Seen, bars: int) -> float:
    """Net move over the way."""
    return (
        over(seen.moves[-bars:].sum(), np.abs(seen.moves[-bars:]).sum())
        if (seen.count > bars)
        else NAN
    )


def vhf(seen: Seen, bars: int) -> float:
    """Range of closes over the way."""
    if seen.count <= bars:
        return NAN
    return over(np.ptp(seen.close[-bars:]), np.abs(seen.moves[-bars:]).sum())


def awesome(seen: Seen, short: int, long: int) -> float:
    """Short minus long mean of middles."""
    middles = (seen.high + seen.low) / 2
    return (
        seen.atrs(middles[-short:].mean() - middles[-long:].mean()) if (seen.count >= long) else NAN
    )


# ---- cycles ----


def high_pass(curves: Floats, weight: float) -> list[float]:
    """Second-order high-pass of second differences."""
    passed = [0.0, 0.0]
    for curve in curves:
        value = (1 - weight / 2) ** 2 * curve
        passed.append(value + 2 * (1 - weight) * passed[-1] - (1 - weight) ** 2 * passed[-2])
    return passed


def cyber(seen: Seen, weight: float) -> float:
    """Ehlers' cyber cycle from the seventh bar on."""
    if seen.count < 7:
        return NAN
    middles = (seen.high + seen.low) / 2
    smoothed = np.convolve(middles, [1 / 6, 2 / 6, 2 / 6, 1 / 6], "valid")
    return seen.atrs(high_pass(np.diff(smoothed, 2)[1:], weight)[-1])


def roofing(seen: Seen, short: int, long: int) -> float:
    """High-pass, then super smoother."""
    if seen.count <= long:
        return NAN
    angle = math.sqrt(2) * math.pi / long
    weight = (math.cos(angle) + math.sin(angle) - 1) / math.cos(angle)
    passed = high_pass(np.diff(seen.close, 2), weight)[1:]
    decay = math.exp(-math.sqrt(2) * math.pi / short)
    first = 2 * decay * math.cos(math.sqrt(2) * math.pi / short)
    smoothed = [0.0, 0.0]
    for before, now in pairwise(passed):
        value = (1 - first + decay**2) * (before + now) / 2
        smoothed.append(value + first * smoothed[-1] - decay**2 * smoothed[-2])
    return seen.atrs(smoothed[-1])


# ---- volatility ----


def root_mean_square(seen: Seen, bars: int) -> float:
    """Of the last returns."""
    if seen.count <= bars:
        return NAN
    return math.sqrt((seen.returns[-bars:] ** 2).mean())


def parkinson(seen: Seen, bars: int) -> float:
    """From ranges."""
    squares = np.log(seen.high / seen.low)[-bars:] ** 2
    return math.sqrt(squares.mean() / (4 * math.log(2))) * 1e4 if seen.count >= bars else NAN


def garman_klass(seen: Seen, bars: int) -> float:
    """From ranges and bodies."""
    ranges = np.log(seen.high / seen.low)[-bars:] ** 2
    bodies = np.log(seen.close / seen.open)[-bars:] ** 2
    variance = (0.5 * ranges - (2 * math.log(2) - 1) * bodies).mean()
    return math.sqrt(max(variance, 0)) * 1e4 if seen.count >= bars else NAN


def rogers_satchell(seen: Seen, bars: int) -> float:
    """Free of drift."""
    up = np.log(seen.high / seen.close) * np.log(seen.high / seen.open)
    down = np.log(seen.low / seen.close) * np.log(seen.low / seen.open)
    return math.sqrt((up + down)[-bars:].mean()) * 1e4 if seen.count >= bars else NAN


def decayed(seen: Seen, span: int) -> float:
    """Averaged squares, the first one as the seed."""
    if seen.count <= span:
        return NAN
    average = seen.returns[0] ** 2
    for value in seen.returns[1:]:
        average += (value**2 - average) * 2 / (span + 1)
    return math.sqrt(average) * 1e4


def ulcer(seen: Seen, bars: int) -> float:
    """Falls from the peak so far."""
    window = seen.close[-bars:]
    falls = window / np.maximum.accumulate(window) - 1
    return math.sqrt((falls**2).mean()) * 1e4 if seen.count >= bars else NAN


def choppiness(seen: Seen, bars: int) -> float:
    """Way over range, logarithmic."""
    if seen.count <= bars:
        return NAN
    span = seen.high[-bars:].max() - seen.low[-bars:].min()
    return math.log(seen.ranges[-bars:].sum() / span) / math.log(bars) if span else NAN


def deviation_ratio(seen: Seen, short: int, long: int) -> float:
    """Short over long."""
    return over(root_mean_square(seen, short), root_mean_square(seen, long))


TWINS: dict[str, Callable[..., float | Outputs]] = {
    "returns.change": change,
    "returns.body": lambda s: over(s.close[-1] - s.open[-1], s.high[-1] - s.low[-1]),
    "returns.close_place": lambda s: over(
        (s.close[-1] - s.low[-1]) - (s.high[-1] - s.close[-1]), s.high[-1] - s.low[-1]
    ),
    "returns.wicks": wicks,
    "returns.gap": lambda s: s.atrs(s.open[-1] - s.close[-2]) if s.count > 1 else NAN,
    "returns.deviation_of_return": lambda s, bars: deviation_of(s.returns, bars),
    "returns.run": run,
    "averages.ema_distance": ema_distance,
    "averages.vwma_distance": vwma_distance,
    "trend.supertrend": supertrend,
    "trend.vortex": vortex,
    "momentum.tsi": tsi,
    "momentum.fisher": fisher,
    "momentum.body_mean": body_mean,
    "momentum.efficiency": efficiency,
    "momentum.vhf": vhf,
    "momentum.awesome": awesome,
    "cycle.cyber": cyber,
    "cycle.roofing": roofing,
    "trend.fractals": fractals,
    "volatility.atr_bps": lambda s: s.atr / s.close[-1] * 1e4,
    "volatility.range_atr": lambda s: s.atrs(s.high[-1] - s.low[-1]),
    "volatility.deviation_bps": lambda s, bars: root_mean_square(s, bars) * 1e4,
    "volatility.parkinson_bps": parkinson,
    "volatility.garman_klass_bps": garman_klass,
    "volatility.rogers_satchell_bps": rogers_satchell,
    "volatility.decayed_bps": decayed,
    "volatility.deviation_ratio": deviation_ratio,
    "volatility.ulcer_bps": ulcer,
    "volatility.choppiness": choppiness,
    "statistics.deviation": lambda s, bars: deviation_of(s.close, bars),
}
