"""Slow twins of features of structure, calendar spans and sessions; see `feature_twins`.

Spans come from their brute-force twin. Readings of the smart-money row are written again here from
their definitions; that the row itself is right is what tests of the structure say.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from engine.domain.structure import StructureKind
from engine.domain.structure_state import BlockState, Part
from tests.feature_bars import Bar
from tests.feature_twins import NAN, Outputs, Seen, over
from tests.structure_twins import Stream
from tests.zone_twins import SESSIONS, span_key, spans


def before(seen: Seen, part: int) -> Outputs:
    """High and low of the last whole span."""
    ended = [e for e in spans(seen.bars, Part(part)) if e.kind is StructureKind.SPAN_ENDED]
    if not ended:
        return NAN, NAN
    last = max(ended, key=lambda e: e.known_at)
    return seen.atrs(last.level - seen.close[-1]), seen.atrs(seen.close[-1] - last.far)


def running(seen: Seen, part: int) -> Outputs:
    """High and low of the span the newest bar lies in, unless the first bar does."""
    keys = [span_key(Part(part), start_s) for start_s in seen.start_s]
    if keys[-1] == keys[0]:
        return NAN, NAN
    inside = np.array([key == keys[-1] for key in keys])
    high, low = seen.high[inside].max(), seen.low[inside].min()
    return seen.atrs(high - seen.close[-1]), seen.atrs(seen.close[-1] - low)


def passed(seen: Seen, part: int) -> float:
    """Share of the session behind the bar's start."""
    if span_key(Part(part), seen.start_s[-1]) is None:
        return NAN
    zone, opens, closes = SESSIONS[Part(part)]
    local = datetime.fromtimestamp(seen.start_s[-1], UTC).astimezone(ZoneInfo(zone))
    return (local.hour + local.minute / 60 + local.second / 3_600 - opens) / (closes - opens)


def open_count(seen: Seen) -> float:
    """Sessions that are open."""
    return float(sum(span_key(part, seen.start_s[-1]) is not None for part in SESSIONS))


class Cache:
    """The structure after the bars asked for last: most questions are about one bar more."""

    bars: tuple[Bar, ...] = ()
    stream = Stream()


def row_after(bars: Iterable[Bar]) -> np.void:
    """Return the structure's row after these bars."""
    asked = tuple(bars)
    if asked[: len(Cache.bars)] != Cache.bars:
        Cache.bars, Cache.stream = (), Stream()
    for bar in asked[len(Cache.bars) :]:
        Cache.stream.push(bar)
    Cache.bars = asked
    return Cache.stream.row


def side_and_age(seen: Seen, side: str, at: str) -> Outputs:
    """Side of what happened last, and bars since."""
    row = row_after(seen.bars)
    if row[side] == 0:
        return NAN, NAN
    return float(row[side]), float(seen.count - 1 - row[at])


def above_and_below(seen: Seen, above: list[float], below: list[float]) -> Outputs:
    """Distances up to the nearest of some levels, and down to the nearest of others."""
    close = seen.close[-1]
    up, down = (
        min(levels, key=lambda it: abs(it - close), default=NAN) for levels in (above, below)
    )
    return seen.atrs(up - close), seen.atrs(close - down)


def swings(seen: Seen) -> Outputs:
    """Distance to the newest confirmed swings."""
    row = row_after(seen.bars)
    newest: dict[int, list[float]] = {1: [], -1: []}
    for k in range(int(row["swing_count"]) - 1, -1, -1)[:2]:
        newest[int(row["swing_side"][k & 7])] = [float(row["swing_level_ticks"][k & 7])]
    return above_and_below(seen, newest[1], newest[-1])


def live_levels(seen: Seen) -> Outputs:
    """Distance to the last locked swings not broken."""
    row = row_after(seen.bars)
    levels = [[float(row[name])] if row[name] else [] for name in LIVE]
    return above_and_below(seen, *levels)


LIVE = ("high_level_ticks", "low_level_ticks")


def leg(seen: Seen) -> Outputs:
    """Where the close stands in the last locked leg."""
    row = row_after(seen.bars)
    if row["leg_side"] == 0:
        return (NAN,) * 4
    start, end, close = row["leg_start_ticks"], row["leg_end_ticks"], seen.close[-1]
    low, high = min(start, end), max(start, end)
    since = slice(int(row["leg_known_at"]), None)
    deepest = seen.low[since].min() if end > start else seen.high[since].max()
    place = (2 * close - low - high) / (high - low)
    depth = max((end - deepest) / (end - start), 0.0)
    ote = np.sign(end - start) if row["leg_ote_at"] >= 0 else 0.0
    return place, (end - close) / (end - start), depth, ote


def gaps(seen: Seen) -> Outputs:
    """Nearest open gaps, and their balance."""
    row = row_after(seen.bars)
    bullish, bearish = (row["gap_near_ticks"][r, : row["gap_count"][r]].tolist() for r in (0, 1))
    near = above_and_below(seen, bearish, bullish)
    balance = over(len(bullish) - len(bearish), len(bullish) + len(bearish))
    return near[1], near[0], balance


def edges(row: np.void, r: int, is_breaker: bool) -> list[float]:
    """Near edges of the blocks of a side."""
    return [
        float(row["block_near_ticks"][r, k])
        for k in range(row["block_count"][r])
        if (row["block_state"][r, k] == BlockState.BREAKER) == is_breaker
    ]


def blocks(seen: Seen) -> Outputs:
    """Nearest order blocks."""
    row = row_after(seen.bars)
    return above_and_below(seen, edges(row, 1, False), edges(row, 0, False))[::-1]


def breakers(seen: Seen) -> Outputs:
    """Nearest blocks that work the other way round."""
    row = row_after(seen.bars)
    return above_and_below(seen, edges(row, 0, True), edges(row, 1, True))


def pools(seen: Seen) -> Outputs:
    """Nearest pools."""
    row = row_after(seen.bars)
    levels = [
        [
            float(row["pool_level_ticks"][r, k])
            for k in range(count)
            if row["pool_touches"][r, k] > 1
        ]
        for r, count in enumerate(row["pool_count"])
    ]
    return above_and_below(seen, *levels)


def confluence(seen: Seen, bars: int) -> Outputs:
    """Votes of five readings."""
    row, now = row_after(seen.bars), seen.count - 1
    votes = [int(row["trend_side"])]
    votes += [
        int(row[f"{name}_side"]) for name in ("return", "touch") if now - row[f"{name}_at"] <= bars
    ]
    if row["sweep_is_reclaimed"] and now - row["sweep_at"] <= bars:
        votes.append(-int(row["sweep_side"]))
    if row["leg_side"]:
        middle = (row["leg_start_ticks"] + row["leg_end_ticks"]) / 2
        votes.append(int(np.sign(middle - seen.close[-1])))
    return float(votes.count(1)), float(votes.count(-1))


STRUCTURE_TWINS: dict[str, Callable[..., float | Outputs]] = {
    "calendar.before": before,
    "calendar.running": running,
    "sessions.before": before,
    "sessions.passed": passed,
    "sessions.open_count": open_count,
    "smart_money.trend": lambda s: side_and_age(s, "trend_side", "trend_known_at"),
    "smart_money.swings": swings,
    "smart_money.live_levels": live_levels,
    "smart_money.leg": leg,
    "smart_money.gaps": gaps,
    "smart_money.gap_return": lambda s: side_and_age(s, "return_side", "return_at"),
    "smart_money.blocks": blocks,
    "smart_money.breakers": breakers,
    "smart_money.pools": pools,
    "smart_money.sweep": lambda s: side_and_age(s, "sweep_side", "sweep_at"),
    "smart_money.confluence": confluence,
}
