"""What TA-Lib says of the same bars, brought to the catalogue's units.

An oracle takes the whole history and returns one array per output. Imported only where TA-Lib is
installed.
"""

from collections.abc import Callable, Sequence

import numpy as np
import talib

from tests.feature_bars import Bar

ATR_BARS = 14
Floats = np.ndarray


class Tape:
    """Bars as columns."""

    def __init__(self, bars: Sequence[Bar]) -> None:
        """Take all bars, oldest first."""
        columns = np.ascontiguousarray(np.array(bars, dtype=np.float64).T)
        self.open, self.high, self.low, self.close, self.volume = columns[:5]
        self.bars = (self.high, self.low, self.close)
        self.candles = (self.open, self.high, self.low, self.close)

    def atrs(self, distance: Floats) -> Floats:
        """A distance in average true ranges."""
        return distance / talib.ATR(*self.bars, ATR_BARS)


def from_close(average: Callable[..., Floats]) -> Callable[..., Floats]:
    """Return the oracle of the close's distance from an average."""
    return lambda tape, span: tape.atrs(tape.close - average(tape.close, int(span)))


def macd(tape: Tape, short: float, long: float, signal: float) -> list[Floats]:
    """Line and histogram."""
    line, _, histogram = talib.MACD(tape.close, int(short), int(long), int(signal))
    return [tape.atrs(line), tape.atrs(histogram)]


def adx(tape: Tape, span: float) -> list[Floats]:
    """Directional indicators where all three are known."""
    strength = talib.ADX(*tape.bars, int(span)) / 100
    plus, minus = (f(*tape.bars, int(span)) / 100 for f in (talib.PLUS_DI, talib.MINUS_DI))
    return [np.where(np.isnan(strength), np.nan, it) for it in (plus, minus, strength)]


def aroon(tape: Tape, bars: float) -> list[Floats]:
    """Up, then down."""
    down, up = talib.AROON(tape.high, tape.low, int(bars))
    return [up / 100, down / 100]


def midpoint(tape: Tape, bars: float, shift: float) -> Floats:
    """The middle of a window that ended some bars ago."""
    middle = talib.MIDPRICE(tape.high, tape.low, int(bars))
    moved = np.concatenate([np.full(int(shift), np.nan), middle])[: len(middle)]
    return tape.atrs(tape.close - moved)


def stochastic(tape: Tape, bars: float, smooth: float, signal: float) -> list[Floats]:
    """Smoothed place in the range, and its mean."""
    k, d = talib.STOCH(
        *tape.bars,
        fastk_period=int(bars),
        slowk_period=int(smooth),
        slowd_period=int(signal),
    )
    return [k / 100, d / 100]


def band_width(tape: Tape, bars: float) -> list[Floats]:
    """Width, and squeeze."""
    upper, middle, lower = talib.BBANDS(tape.close, int(bars), 2.0, 2.0)
    return [(upper - lower) / middle * 1e4, tape.atrs((upper - middle) / 1.5)]


def hilbert(tape: Tape) -> list[Floats]:
    """Ehlers' cycle; functions that begin earlier than the others are given less."""
    skipped = 25  # of 37 bars before the others begin, these need 12
    missing = np.full(skipped, np.nan)
    period = talib.HT_DCPERIOD(tape.close[skipped:]) / 50
    in_phase, quadrature = talib.HT_PHASOR(tape.close[skipped:])
    angle = np.arctan2(quadrature, in_phase) / np.pi
    sine, lead = talib.HT_SINE(tape.close)
    return [
        np.concatenate([missing, period]),
        talib.HT_DCPHASE(tape.close) / 180,
        sine,
        lead,
        np.asarray(talib.HT_TRENDMODE(tape.close), dtype=np.float64),
        np.concatenate([missing, angle]),
    ]


def channel(tape: Tape, bars: float) -> list[Floats]:
    """Place in the range, and the range."""
    high, low = talib.MAX(tape.high, int(bars)), talib.MIN(tape.low, int(bars))
    return [(2 * tape.close - high - low) / (high - low), tape.atrs(high - low)]


def window_change(total: Floats, volume: Floats, bars: float) -> Floats:
    """What a running total gained in the window, over the window's volume."""
    before = np.concatenate([np.full(int(bars), np.nan), total[: -int(bars)]])
    before[int(bars) - 1] = 0.0  # the total starts with the first bar
    return (total - before) / (talib.SUM(volume, int(bars)))


def line(tape: Tape, bars: float) -> list[Floats]:
    """Slope, fit and newest residual."""
    size = int(bars)
    slope = talib.LINEARREG_SLOPE(tape.close, size)
    variance = talib.VAR(tape.close - tape.close[0], size)
    explained = slope**2 * (size**2 - 1) / 12
    residual = (tape.close - talib.LINEARREG(tape.close, size)) / np.sqrt(variance - explained)
    return [tape.atrs(slope), explained / variance, residual]


def candle(*names: str) -> Callable[[Tape], Floats]:
    """Return the oracle of one or more patterns: their side."""
    return lambda tape: np.sign(sum(getattr(talib, name)(*tape.candles) for name in names)).astype(
        np.float64
    )


ORACLES: dict[str, Callable[..., Floats | list[Floats]]] = {
    "returns.change": lambda t, n: t.atrs(talib.MOM(t.close, int(n))),
    "returns.body": lambda t: talib.BOP(*t.candles),
    "averages.ema_distance": from_close(talib.EMA),
    "averages.ema_slope": lambda t, n: t.atrs(np.diff(talib.EMA(t.close, int(n)), prepend=np.nan)),
    "averages.sma_distance": from_close(talib.SMA),
    "averages.wma_distance": from_close(talib.WMA),
    "averages.dema_distance": from_close(talib.DEMA),
    "averages.tema_distance": from_close(talib.TEMA),
    "averages.kama_distance": from_close(talib.KAMA),
    "trend.macd": macd,
    "trend.adx": adx,
    "trend.aroon": aroon,
    "trend.midpoint_distance": midpoint,
    "momentum.rsi": lambda t, n: talib.RSI(t.close, int(n)) / 50 - 1,
    "momentum.stochastic": stochastic,
    "momentum.cci": lambda t, n: talib.CCI(t.high, t.low, t.close, int(n)) / 100,
    "momentum.weighted_pressure": lambda t, *n: talib.ULTOSC(*t.bars, *map(int, n)) / 100,
    "momentum.trix": lambda t, n: talib.TRIX(t.close, int(n)) * 100,
    "volatility.atr_bps": lambda t: talib.NATR(t.high, t.low, t.close, ATR_BARS) * 100,
    "volatility.natr_bps": lambda t, n: talib.NATR(t.high, t.low, t.close, int(n)) * 100,
    "cycle.hilbert": hilbert,
    "volatility.band_width": band_width,
    "volatility.channel": channel,
    "volume.direction": lambda t, n: window_change(talib.OBV(t.close, t.volume), t.volume, n),
    "volume.money_flow": lambda t, n: window_change(
        talib.AD(t.high, t.low, t.close, t.volume), t.volume, n
    ),
    "volume.money_flow_index": lambda t, n: (
        talib.MFI(t.high, t.low, t.close, t.volume, int(n)) / 50 - 1
    ),
    "statistics.deviation": lambda t, n: (
        (t.close - talib.SMA(t.close, int(n))) / talib.STDDEV(t.close - t.close[0], int(n))
    ),
    "statistics.line": line,
    "candles.doji": candle("CDLDOJI"),
    "candles.marubozu": candle("CDLMARUBOZU"),
    "candles.hammer": candle("CDLHAMMER"),
    "candles.shooting_star": candle("CDLSHOOTINGSTAR"),
    "candles.engulfing": candle("CDLENGULFING"),
    "candles.harami": candle("CDLHARAMI"),
    "candles.piercing": candle("CDLPIERCING"),
    "candles.dark_cloud": candle("CDLDARKCLOUDCOVER"),
    "candles.star": candle("CDLMORNINGSTAR", "CDLEVENINGSTAR"),
    "candles.soldiers": candle("CDL3WHITESOLDIERS", "CDL3BLACKCROWS"),
}
