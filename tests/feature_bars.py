"""Bars for tests of bar features, and the ways features are computed of them."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec
import numpy as np

from engine.domain.bar_close import update_features
from engine.domain.bars import BAR_MASK
from engine.domain.book import BOOK_LEVELS
from engine.domain.features.batch import batch_features
from engine.domain.features.catalogue import Catalogue, catalogue_text, compile_plan
from engine.domain.features.series import CONTEXT_WORDS, DEPTH_FLOW
from engine.domain.market_state import MarketState, create_market_state
from engine.domain.strategy_table import select_rows
from tests.builders import make_instruments

DAY_S = 86_400
HOUR_S = 3_600
FIRST_S = 1_700_006_400  # a midnight UTC
WAIT_S = 5_400  # the first bar starts so long after it


class Bar(NamedTuple):
    """One closed bar."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    bought: float
    trades: float = 7
    start_s: float = 0


def random_bars(count: int, seed: int = 1, price: int = 600_000, step: int = 40) -> list[Bar]:
    """Return an hourly random walk of bars with varying volume."""
    random = np.random.default_rng(seed)
    bars = []
    last = price
    for number in range(count):
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
                trades=int(random.integers(1, 60)),
                start_s=FIRST_S + WAIT_S + HOUR_S * number,
            )
        )
        last = int(path[-1])
    return bars


def timed(bars: Sequence[Bar]) -> list[Bar]:
    """Return the bars one hour after another."""
    return [
        bar._replace(start_s=FIRST_S + WAIT_S + HOUR_S * number) for number, bar in enumerate(bars)
    ]


def scaled_bars(bars: Sequence[Bar], factor: float) -> list[Bar]:
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


class Made(NamedTuple):
    """A bar made of several, and the bar that made it known."""

    bar: Bar
    known_at: int


def made_of(bars: Sequence[Bar], every: int, timeframe_s: float = HOUR_S) -> list[Made]:
    """Return the bars that stretches of `every` timeframes make, by brute force."""
    span_s = every * timeframe_s
    found = []
    numbered = groupby(enumerate(bars), lambda it: it[1].start_s // span_s)
    for part, members in numbered:
        at, group = zip(*members, strict=True)
        whole = Bar(
            open=group[0].open,
            high=max(bar.high for bar in group),
            low=min(bar.low for bar in group),
            close=group[-1].close,
            volume=sum(bar.volume for bar in group),
            bought=sum(bar.bought for bar in group),
            trades=sum(bar.trades for bar in group),
            start_s=part * span_s,
        )
        is_ended = group[-1].start_s + timeframe_s >= (part + 1) * span_s
        known_at = at[-1] if is_ended else at[-1] + 1
        if known_at < len(bars):
            found.append(Made(whole, known_at))
    return found


def held(made: Sequence[Made], values: np.ndarray, count: int) -> np.ndarray:
    """Return values of bars made of several as they stand after each of `count` bars."""
    found = np.full((count, *values.shape[1:]), np.nan)
    for it, value in zip(made, values, strict=True):
        found[it.known_at :] = value
    return found


def random_context(count: int, seed: int = 2, timeframe_s: float = HOUR_S) -> np.ndarray:
    """Return float64[count, CONTEXT_WORDS] of a perpetual: totals of liquidations only grow."""
    random = np.random.default_rng(seed)
    hours = np.arange(count)
    context = np.empty((count, CONTEXT_WORDS))
    context[:, 0] = random.normal(1.0, 0.5, count)
    context[:, 1] = random.normal(0.0, 3.0, count)
    context[:, 2] = FIRST_S + 28_800 * (1 + (WAIT_S + HOUR_S * hours) // 28_800)
    context[:, 3:5] = np.cumsum(random.integers(0, 30, (count, 2)), axis=0)
    context[:, 5] = 90_000 + np.cumsum(random.integers(-50, 51, count))
    context[:, 6] = random.integers(0, 2, count)
    context[:, 7] = 600_000 + np.cumsum(random.integers(-90, 91, count))
    context[:, 8] = random.integers(-20, 21, count) / 20
    context[:, 9] = timeframe_s
    context[:, DEPTH_FLOW:] = random_depth(random, count)
    return context


def random_depth(random: np.random.Generator, count: int) -> np.ndarray:
    """Return the context's words about a book of 8 to 20 levels, now and then known anew."""
    middle = 600_000 + np.cumsum(random.integers(-90, 91, count))
    away = np.cumsum(random.integers(1, 90, (count, 2, BOOK_LEVELS)), axis=2)
    prices = middle[:, None, None] + away * np.array([-1, 1])[:, None]
    levels = np.stack([prices, random.integers(1, 900, away.shape)], axis=2).astype(np.float64)
    known = random.integers(8, BOOK_LEVELS + 1, (count, 2, 1, 1))
    levels[np.broadcast_to(np.arange(BOOK_LEVELS) >= known, levels.shape)] = np.nan
    flow = np.cumsum(random.integers(-200, 201, count))
    run = 1 + np.cumsum(random.random(count) < 0.02)
    return np.column_stack([flow, run, levels.reshape(count, -1)])


def shipped_catalogue() -> Catalogue:
    """Return the catalogue of the package."""
    return compile_plan(catalogue_text())


CATALOGUE = shipped_catalogue()


def batch(
    bars: Sequence[Bar], context: np.ndarray | None = None, timeframe_s: float = HOUR_S
) -> np.ndarray:
    """Return float64[bars, columns], of a perpetual whose context is known."""
    known = random_context(len(bars), timeframe_s=timeframe_s) if context is None else context
    return batch_features(CATALOGUE, np.array(bars, dtype=np.float64), known)


def fresh_market(instruments: int = 1) -> MarketState:
    """Return a state of some instruments and one timeframe, an hour."""
    rows = select_rows(["quote_imbalance"])
    hourly = [msgspec.structs.replace(row, timeframe_s=HOUR_S) for row in rows]
    return create_market_state(make_instruments(instruments), hourly, (HOUR_S,))


def push_bar(market: MarketState, bar: Bar, i: int = 0) -> int:
    """Put one closed bar of instrument `i` into its ring, in place; return its number."""
    number = int(market.closed_count[i, 0])
    row = market.closed[i, 0]
    place = number & BAR_MASK
    row["start_ns"][place] = int(bar.start_s) * 1_000_000_000
    row["open_ticks"][place] = bar.open
    row["high_ticks"][place] = bar.high
    row["low_ticks"][place] = bar.low
    row["close_ticks"][place] = bar.close
    row["volume_lots"][place] = bar.volume
    row["buy_lots"][place] = bar.bought
    row["trade_count"][place] = bar.trades
    row["is_final"][place] = 1
    market.closed_count[i, 0] = number + 1
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
