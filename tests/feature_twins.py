"""Bars for tests of bar features, and slow twins of every feature written from its definition.

A twin sees all bars so far and answers the newest value; it keeps no state and shares no code with
the kernels.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from engine.domain.bar_close import update_features
from engine.domain.bars import BAR_MASK
from engine.domain.features.plan import Catalogue, catalogue_text, compile_plan
from engine.domain.market_state import MarketState, create_market_state
from engine.domain.strategy_table import select_rows
from tests.builders import make_instruments

NAN = float("nan")
ATR_BARS = 14


class Bar(NamedTuple):
    """One closed bar."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    bought: int


def random_bars(count: int, seed: int = 1, price: int = 600_000, step: int = 40) -> list[Bar]:
    """Return a random walk of bars with varying volume."""
    random = np.random.default_rng(seed)
    bars = []
    last = price
    for _ in range(count):
        path = last + np.cumsum(random.integers(-step, step + 1, 6))
        path = np.maximum(path, 1)
        volume = int(random.integers(1, 500))
        bars.append(
            Bar(
                open=int(path[0]),
                high=int(path.max()),
                low=int(path.min()),
                close=int(path[-1]),
                volume=volume,
                bought=int(random.integers(0, volume + 1)),
            )
        )
        last = int(path[-1])
    return bars


def scaled_bars(bars: Sequence[Bar], factor: int) -> list[Bar]:
    """Return the same bars with prices `factor` times as high."""
    return [
        bar._replace(
            open=bar.open * factor,
            high=bar.high * factor,
            low=bar.low * factor,
            close=bar.close * factor,
        )
        for bar in bars
    ]


def shipped_catalogue() -> Catalogue:
    """Return the catalogue of the package."""
    return compile_plan(catalogue_text())


def fresh_market() -> MarketState:
    """Return a state of one instrument and one timeframe."""
    return create_market_state(make_instruments(1), select_rows(["quote_imbalance"]), (1,))


def push_bar(market: MarketState, bar: Bar) -> int:
    """Put one closed bar into the ring, in place; return its number."""
    number = int(market.closed_count[0, 0])
    row = market.closed[0, 0]
    place = number & BAR_MASK
    row["open_ticks"][place] = bar.open
    row["high_ticks"][place] = bar.high
    row["low_ticks"][place] = bar.low
    row["close_ticks"][place] = bar.close
    row["volume_lots"][place] = bar.volume
    row["buy_lots"][place] = bar.bought
    row["is_final"][place] = 1
    market.closed_count[0, 0] = number + 1
    return number


def streamed(bars: Sequence[Bar], market: MarketState | None = None) -> np.ndarray:
    """Return float64[bars, columns]: every feature after every bar, as the brain computes it."""
    state = fresh_market() if market is None else market
    rows = []
    for bar in bars:
        number = push_bar(state, bar)
        update_features(state, 0, 0, number)
        rows.append(state.bar_features[0, 0].copy())
    return np.array(rows)


def atr(bars: Sequence[Bar]) -> float:
    """Return Wilder's average true range of the newest bar."""
    ranges = [
        max(bar.high, before.close) - min(bar.low, before.close)
        for before, bar in itertools.pairwise(bars)
    ]
    if len(ranges) < ATR_BARS:
        return NAN
    average = sum(ranges[:ATR_BARS]) / ATR_BARS
    for true_range in ranges[ATR_BARS:]:
        average = (average * (ATR_BARS - 1) + true_range) / ATR_BARS
    return average


def change(bars: Sequence[Bar], lookback: int) -> float:
    """Close minus the close `lookback` bars before, in ATRs."""
    if len(bars) <= lookback or not atr(bars) > 0:
        return NAN
    return (bars[-1].close - bars[-1 - lookback].close) / atr(bars)


def body(bars: Sequence[Bar]) -> float:
    """Body over range."""
    bar = bars[-1]
    return (bar.close - bar.open) / (bar.high - bar.low) if bar.high > bar.low else NAN


def close_place(bars: Sequence[Bar]) -> float:
    """Where the close lies in the range."""
    bar = bars[-1]
    if bar.high == bar.low:
        return NAN
    return ((bar.close - bar.low) - (bar.high - bar.close)) / (bar.high - bar.low)


def ema_distance(bars: Sequence[Bar], span: int) -> float:
    """Close minus its exponential average, in ATRs."""
    closes = [bar.close for bar in bars]
    if len(closes) < span or not atr(bars) > 0:
        return NAN
    average = sum(closes[:span]) / span
    for close in closes[span:]:
        average += (close - average) * 2 / (span + 1)
    return (closes[-1] - average) / atr(bars)


def rsi(bars: Sequence[Bar], span: int) -> float:
    """Wilder's relative strength, moved to -1..1."""
    moves = [bar.close - before.close for before, bar in itertools.pairwise(bars)]
    if len(moves) < span:
        return NAN
    gain = sum(max(move, 0) for move in moves[:span]) / span
    loss = sum(max(-move, 0) for move in moves[:span]) / span
    for move in moves[span:]:
        gain = (gain * (span - 1) + max(move, 0)) / span
        loss = (loss * (span - 1) + max(-move, 0)) / span
    if gain + loss == 0:
        return NAN
    return 2 * gain / (gain + loss) - 1


def atr_bps(bars: Sequence[Bar]) -> float:
    """ATR over close."""
    return atr(bars) / bars[-1].close * 10_000


def range_atr(bars: Sequence[Bar]) -> float:
    """Range in ATRs."""
    return (bars[-1].high - bars[-1].low) / atr(bars) if atr(bars) > 0 else NAN


def deviation_bps(bars: Sequence[Bar], span: int) -> float:
    """Root mean square of the last returns."""
    if len(bars) <= span:
        return NAN
    closes = [bar.close for bar in bars[-span - 1 :]]
    returns = [after / before - 1 for before, after in itertools.pairwise(closes)]
    return math.sqrt(sum(change * change for change in returns) / span) * 10_000


def relative(bars: Sequence[Bar], span: int) -> float:
    """Volume over the mean volume of the bars before."""
    if len(bars) <= span:
        return NAN
    total = sum(bar.volume for bar in bars[-span - 1 : -1])
    return bars[-1].volume / (total / span) if total else NAN


def taker_balance(bars: Sequence[Bar], span: int) -> float:
    """Bought minus sold over volume."""
    if len(bars) < span:
        return NAN
    volume = sum(bar.volume for bar in bars[-span:])
    bought = sum(bar.bought for bar in bars[-span:])
    return (bought - (volume - bought)) / volume if volume else NAN


def deviation(bars: Sequence[Bar], span: int) -> float:
    """Close minus mean in standard deviations."""
    if len(bars) < span:
        return NAN
    closes = np.array([bar.close for bar in bars[-span:]], dtype=np.float64)
    spread = float(closes.std())
    return float((closes[-1] - closes.mean()) / spread) if spread > 0 else NAN


TWINS: dict[str, Callable[..., float]] = {
    "returns.change": change,
    "returns.body": body,
    "returns.close_place": close_place,
    "averages.ema_distance": ema_distance,
    "momentum.rsi": rsi,
    "volatility.atr_bps": atr_bps,
    "volatility.range_atr": range_atr,
    "volatility.deviation_bps": deviation_bps,
    "volume.relative": relative,
    "volume.taker_balance": taker_balance,
    "statistics.deviation": deviation,
}
