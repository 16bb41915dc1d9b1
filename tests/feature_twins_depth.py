"""Slow twins of features of the book's levels, written on lists of (price, lots)."""

import math
from collections.abc import Callable

import numpy as np

from tests.feature_twins import NAN, Outputs, Seen, over
from tests.feature_twins_crowd import decayed_mean

FLOW, RUN, FIRST, LEVELS = 10, 11, 12, 20
Levels = list[tuple[float, float]]


def sides(context: np.ndarray) -> tuple[Levels, Levels]:
    """Bids and asks as one bar's context holds them, best first."""
    words = context[FIRST:].reshape(2, 2, LEVELS)
    bids, asks = (
        [(price, lots) for price, lots in zip(*side, strict=True) if not math.isnan(price)]
        for side in words
    )
    return bids, asks


def middle_of(bids: Levels, asks: Levels) -> float:
    """Halfway between the best prices."""
    return (bids[0][0] + asks[0][0]) / 2


def total(levels: Levels) -> float:
    """Quantity of levels; NaN of none."""
    return sum(lots for _, lots in levels) if levels else NAN


def imbalance(seen: Seen, levels: int) -> float:
    """Of the best levels."""
    bid, ask = (total(side[:levels]) for side in sides(seen.context[-1]))
    return over(bid - ask, bid + ask)


def slope_of(side: Levels, middle: float, spread: float) -> float:
    """Least squares through the origin of shares on distances."""
    away = np.array([abs(price - middle) / spread for price, _ in side])
    shares = np.cumsum([lots for _, lots in side]) / total(side)
    return float(np.linalg.lstsq(away[:, None], shares, rcond=None)[0][0])


def slope(seen: Seen, levels: int) -> Outputs:
    """Of both sides."""
    bids, asks = sides(seen.context[-1])
    if not bids or not asks:
        return NAN, NAN
    middle, spread = middle_of(bids, asks), asks[0][0] - bids[0][0]
    return slope_of(bids[:levels], middle, spread), slope_of(asks[:levels], middle, spread)


def near(context: np.ndarray, reach: float) -> tuple[float, float]:
    """Quantity of each side at most so many bps off the middle; NaN where levels end before."""
    bids, asks = sides(context)
    if not bids or not asks:
        return NAN, NAN
    middle = middle_of(bids, asks)

    def within(side: Levels) -> float:
        away = [abs(price - middle) / middle * 1e4 for price, _ in side]
        if max(away) <= reach:
            return NAN
        return sum(lots for far, (_, lots) in zip(away, side, strict=True) if far <= reach)

    return within(bids), within(asks)


def within(seen: Seen, reach: float) -> float:
    """Balance of what is near."""
    bid, ask = near(seen.context[-1], reach)
    return over(bid - ask, bid + ask)


def cover(seen: Seen, reach: float, bars: int) -> float:
    """What is near over mean volume."""
    if seen.count < bars:
        return NAN
    return over(sum(near(seen.context[-1], reach)), seen.volume[-bars:].mean())


def flow(seen: Seen, span: int) -> Outputs:
    """Steps of the total within one run, over what stands there, and their decayed mean."""
    found = [NAN]
    for before, context in zip(seen.context[:-1], seen.context[1:], strict=True):
        standing = sum(total(side[:10]) for side in sides(context))
        is_one_run = before[RUN] == context[RUN]
        found.append((context[FLOW] - before[FLOW]) / standing if is_one_run else NAN)
    known = np.array([value for value in found if not math.isnan(value)])
    if math.isnan(found[-1]):
        return NAN, NAN
    return found[-1], decayed_mean(known, span) if len(known) >= span else NAN


DEPTH_TWINS: dict[str, Callable[..., float | Outputs]] = {
    "depth.imbalance": imbalance,
    "depth.slope": slope,
    "depth.within": within,
    "depth.cover": cover,
    "depth.flow": flow,
}
