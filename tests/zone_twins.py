"""Order blocks, pools, spans, legs and live levels by brute force, as their definitions read.

Each answers every event that all bars together make known, in any order; none shares code with the
kernels. Swings come from `structure_twins`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import groupby, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from engine.domain.structure import StructureKind as Kind
from engine.domain.structure_state import SWING_BARS, Part
from tests.feature_bars import Bar
from tests.feature_twins import wilder_mean
from tests.structure_twins import Event, candidates

SCAN_BARS = 120
SESSIONS = {
    Part.ASIA: ("Asia/Tokyo", 9, 18),
    Part.LONDON: ("Europe/London", 8, 17),
    Part.NEW_YORK: ("America/New_York", 8, 17),
}


class Swing(NamedTuple):
    """A swing as it was confirmed: by a bar, perhaps in the place of the one before it."""

    known_at: int
    bar: int
    side: int
    level: float
    is_replacing: bool


def confirmed(bars: Sequence[Bar]) -> list[Swing]:
    """Return every swing that was ever the newest one, replaced ones among them."""
    found: list[Swing] = []
    for bar, side, level in candidates(bars):
        same = bool(found) and found[-1].side == side
        if not same or (level - found[-1].level) * side > 0:
            found.append(Swing(bar + SWING_BARS, bar, side, level, same))
    return found


def locked(bars: Sequence[Bar]) -> list[tuple[int, Swing]]:
    """Return (known at, swing) of every locked swing: the next one is of the other side."""
    return [
        (after.known_at, swing)
        for swing, after in pairwise(confirmed(bars))
        if not after.is_replacing
    ]


def first_close_beyond(bars: Sequence[Bar], swing: Swing) -> int:
    """Return the first bar that closed beyond a swing; past the end: none."""
    for t in range(swing.known_at + 1, len(bars)):
        if (bars[t].close - swing.level) * swing.side > 0:
            return t
    return len(bars)


def live_breaks(bars: Sequence[Bar]) -> set[Event]:
    """Return the first close beyond each locked swing, while it is the last locked of its side."""
    found = set()
    locks = locked(bars)
    for known_at, swing in locks:
        later = [at for at, other in locks if other.side == swing.side and at > known_at]
        t = first_close_beyond(bars, swing)
        # A swing that locks at the close that breaks the one before it comes too late for it.
        if known_at < t < len(bars) and t <= min([*later, len(bars)]):
            found.add(Event(Kind.BOS_LIVE, swing.side, t, t, swing.level, 0, t))
    return found


def block_life(bars: Sequence[Bar], born: int, event: Event) -> list[Event]:
    """Return a block's birth and what became of it."""
    side, near, far = event.side, event.level, event.far
    life = [event]
    is_touched, is_breaker = False, False
    for t in range(born + 1, len(bars)):
        reach, close = bars[t].low if side > 0 else bars[t].high, bars[t].close
        kinds: list[Kind] = []
        if is_breaker:
            kinds = [Kind.BLOCK_INVALID] if (close - near) * side > 0 else []
        else:
            is_breaker = (close - far) * side < 0
            if not is_touched and (is_breaker or (reach - near) * side <= 0):
                is_touched = True
                kinds.append(Kind.BLOCK_MITIGATED)
            if is_breaker:
                kinds.append(Kind.BLOCK_BREAKER)
        life += [event._replace(kind=kind, known_at=t) for kind in kinds]
        if Kind.BLOCK_INVALID in kinds:
            break
    return life


def blocks(bars: Sequence[Bar]) -> set[Event]:
    """Return every event of every order block."""
    found: set[Event] = set()
    swings = confirmed(bars)
    for swing in swings:
        t = first_close_beyond(bars, swing)
        after = [s for s in swings if s.side == swing.side and swing.known_at < s.known_at < t]
        if t == len(bars) or after:
            continue
        span = range(max(swing.bar + 1, t - SCAN_BARS), t)
        if swing.side > 0:
            source = min(span, key=lambda k: (bars[k].low, -k))
            near, far = bars[source].high, bars[source].low
        else:
            source = max(span, key=lambda k: (bars[k].high, k))
            near, far = bars[source].low, bars[source].high
        found |= set(block_life(bars, t, Event(Kind.BLOCK, swing.side, source, t, near, far)))
    return found


def widths(bars: Sequence[Bar]) -> list[float]:
    """Return a quarter of the average true range after each bar; 0 before it is known."""
    ranges = np.array(
        [max(bar.high, before.close) - min(bar.low, before.close) for before, bar in pairwise(bars)]
    )
    return [0.25 * wilder_mean(ranges[:k], 14) if k >= 14 else 0.0 for k in range(len(bars))]


def pools(bars: Sequence[Bar]) -> set[Event]:
    """Return every pool and every sweep of one."""
    found: set[Event] = set()
    width, swings = widths(bars), confirmed(bars)
    for side in (1, -1):
        levels: list[list[float]] = []  # level, width, touches
        for t, bar in enumerate(bars):
            reach = bar.high if side > 0 else bar.low
            for level, _, touches in [it for it in levels if (reach - it[0]) * side > it[1]]:
                if touches > 1:
                    broken_at = t if (bar.close - level) * side > 0 else -1
                    found.add(Event(Kind.POOL_SWEPT, side, t, t, level, 0, broken_at))
            levels = [it for it in levels if (reach - it[0]) * side <= it[1]]
            for swing in [s for s in swings if s.known_at == t and s.side == side]:
                near = [it for it in levels if abs(it[0] - swing.level) <= it[1]]
                if not near:
                    levels.append([swing.level, width[t], 1])
                    continue
                met = min(near[::-1], key=lambda it: abs(it[0] - swing.level))
                met[0] = max(met[0] * side, swing.level * side) * side
                met[2] += 1
                if met[2] == 2:
                    found.add(Event(Kind.POOL, side, swing.bar, t, met[0], 0))
    return found


@cache
def span_key(part: Part, start_s: float) -> object:
    """Return which day, week, month or session a time lies in; None: in no session."""
    at = datetime.fromtimestamp(start_s, UTC)
    if part is Part.DAY:
        return at.date()
    if part is Part.WEEK:
        return at.isocalendar()[:2]
    if part is Part.MONTH:
        return at.year, at.month
    zone, opens, closes = SESSIONS[part]
    local = at.astimezone(ZoneInfo(zone))
    return local.date() if local.weekday() < 5 and opens <= local.hour < closes else None


def spans(bars: Sequence[Bar], part: Part) -> set[Event]:
    """Return the ends of a span's whole stretches and the first trades beyond them."""
    found: set[Event] = set()
    stretches = [
        (key, [k for k, _ in members])
        for key, members in groupby(enumerate(bars), lambda kb: span_key(part, kb[1].start_s))
    ]
    whole = [(at[0], at[-1] + 1) for key, at in stretches[1:] if key is not None]
    ended = [(begin, end) for begin, end in whole if end < len(bars)]
    for n, (begin, end) in enumerate(ended):
        above = max(bar.high for bar in bars[begin:end])
        below = min(bar.low for bar in bars[begin:end])
        found.add(Event(Kind.SPAN_ENDED, 0, end, end, above, below, part=part))
        until = ended[n + 1][1] if n + 1 < len(ended) else len(bars)
        for side, level in ((1, above), (-1, below)):
            for t in range(end, until):
                if ((bars[t].high if side > 0 else bars[t].low) - level) * side > 0:
                    broken_at = t if (bars[t].close - level) * side > 0 else -1
                    found.add(Event(Kind.SPAN_TAKEN, side, t, t, level, 0, broken_at, part))
                    break
    return found


def legs(bars: Sequence[Bar]) -> set[Event]:
    """Return the first bar inside each locked leg's zone from 62 to 79 percent of the way back."""
    found: set[Event] = set()
    locks = locked(bars)
    for n, ((_, start), (known_at, end)) in enumerate(pairwise(locks)):
        until = locks[n + 2][0] if n + 2 < len(locks) else len(bars)
        length = end.level - start.level
        if length * end.side <= 0:
            continue
        near, far = end.level - 0.62 * length, end.level - 0.79 * length
        for t in range(known_at, until):
            if bars[t].low <= max(near, far) and bars[t].high >= min(near, far):
                found.add(Event(Kind.OTE, end.side, t, t, near, far))
                break
    return found
