"""Chart patterns by brute force, from all locked swings at once; see `feature_twins`.

Every triple, quadruple and quintuple of swings that locked one after another is looked at; what a
pattern became is read off all closes behind it. Nothing is kept from bar to bar.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from engine.domain.structure_state import SWING_BARS
from tests.feature_bars import Bar
from tests.feature_twins import Outputs, Seen, wilder_mean
from tests.structure_twins import candidates

Levels = Sequence[float]


class Shape(NamedTuple):
    """A pattern upside up: its side, and the levels that decide."""

    side: int
    lower: float
    upper: float


class Lock(NamedTuple):
    """A swing that locked."""

    at: int
    side: int
    level: float


def double(levels: Levels, near: float, deep: float) -> Shape | None:
    """Two tops."""
    first, middle, second = levels[-3:]
    if abs(first - second) > near or any(top - middle < deep for top in (first, second)):
        return None
    return Shape(-1, middle, max(first, second))


def head_shoulders(levels: Levels, near: float, deep: float) -> Shape | None:
    """A head between shoulders."""
    left, one, head, other, right = levels[-5:]
    if abs(left - right) > near or any(head - it < deep for it in (left, right)):
        return None
    if any(shoulder <= neck for shoulder in (left, right) for neck in (one, other)):
        return None
    return Shape(-1, min(one, other), head)


def triangle(levels: Levels, near: float) -> Shape | None:
    """Highs and lows that meet."""
    low, high, low_after, high_after = levels[-4:]
    top = (high_after - high > near) - (high - high_after > near)
    bottom = (low_after - low > near) - (low - low_after > near)
    if (top, bottom) == (-1, 1) and high_after > low_after:
        return Shape(0, low_after, high_after)
    if (top, bottom) == (0, 1):
        return Shape(1, low_after, max(high, high_after))
    if (top, bottom) == (-1, 0):
        return Shape(-1, min(low, low_after), high_after)
    return None


def wedge(levels: Levels, near: float) -> Shape | None:
    """Highs and lows that go one way and meet."""
    low, high, low_after, high_after = levels[-4:]
    is_narrowing = low_after - low > high_after - high
    if not is_narrowing or high_after <= low_after:
        return None
    if high_after - high > near:
        return Shape(-1, low_after, high_after)
    if low - low_after > near:
        return Shape(1, low_after, high_after)
    return None


def flag(levels: Levels, pole: float) -> Shape | None:
    """A pole and a small way back."""
    start, end, back, again = levels[-4:]
    if end - start < pole or (end - back) * 2 >= end - start or again > end:
        return None
    return Shape(1, back, end)


SHAPES: dict[str, tuple[Callable[..., Shape | None], int]] = {
    "patterns.double": (double, 3),
    "patterns.head_shoulders": (head_shoulders, 5),
    "patterns.triangle": (triangle, 4),
    "patterns.wedge": (wedge, 4),
    "patterns.flag": (flag, 4),
}


def locks(bars: Sequence[Bar]) -> list[Lock]:
    """Every swing that locked, with the bar at which the next one locked it."""
    kept: list[Lock] = []
    found: list[Lock] = []
    for bar, side, level in candidates(bars):
        if kept and kept[-1].side == side:
            if (level - kept[-1].level) * side > 0:
                kept[-1] = Lock(0, side, level)
            continue
        if kept:
            found.append(kept[-1]._replace(at=bar + SWING_BARS))
        kept.append(Lock(0, side, level))
    return found


def turned(shape: Shape, side: int) -> Shape:
    """A shape seen upside down, back in prices."""
    low, high = sorted((shape.lower * side, shape.upper * side))
    return Shape(shape.side * side, low, high)


def formed(seen: Seen, kernel: str, numbers: Sequence[float]) -> list[tuple[int, Shape]]:
    """Every pattern that ever formed, with the bar of the lock that made it."""
    form, need = SHAPES[kernel]
    swings = locks(seen.bars)
    found = []
    for n, lock in enumerate(swings):
        atr = float(wilder_mean(seen.ranges[: lock.at], 14))
        if n + 1 < need or not atr > 0:
            continue
        levels = [it.level * lock.side for it in swings[n + 1 - need : n + 1]]
        shape = form(levels, *(number * atr for number in numbers))
        if shape:
            found.append((lock.at, turned(shape, lock.side)))
    return found


def side_and_age(kernel: str) -> Callable[..., Outputs]:
    """The twin of a pattern's row."""

    def twin(seen: Seen, *numbers: float) -> Outputs:
        side = known_at = math.nan
        patterns = formed(seen, kernel, numbers)
        ends = [*(at for at, _ in patterns[1:]), seen.count - 1]
        for (at, shape), end in zip(patterns, ends, strict=False):
            for k in range(at, end + 1):
                close = float(seen.close[k])
                broken = (close > shape.upper) - (close < shape.lower)
                if broken and shape.side != -broken:
                    side, known_at = float(broken), float(k)
                if broken:
                    break
        return side, seen.count - 1 - known_at

    return twin


PATTERN_TWINS = {kernel: side_and_age(kernel) for kernel in SHAPES}
