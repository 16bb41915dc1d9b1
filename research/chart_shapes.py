"""What a structure looks like: its events as zones, lines and points over bars.

Each begins at the bar at whose close it became known, so that a picture shows nothing earlier than
the brain knew it; lines to a swing reach back to that swing's own bar. A shape that still stands at
the end reaches to the last bar. Prices are in the events' own unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from engine.domain.structure_state import Part, StructureKind

Kind = StructureKind


class StructureEvent(NamedTuple):
    """What became known at a bar's close; `bar`, `known_at` and `broken_at` are bar numbers."""

    kind: StructureKind
    side: int
    bar: int
    known_at: int
    broken_at: int
    level: float
    far: float
    part: int  # of SPAN_*: which stretch of time, else 0


class Zone(NamedTuple):
    """Prices between two edges, over bars `first` to `last`."""

    name: str
    side: int  # +1 below price, from which it may rise; -1 above
    first: int
    last: int
    near: float
    far: float


class Line(NamedTuple):
    """A level, or a way from one price to another, over bars `first` to `last`."""

    name: str
    side: int
    first: int
    last: int
    begin: float
    end: float


class Point(NamedTuple):
    """Something at one bar and price."""

    name: str
    side: int
    bar: int
    price: float
    known_at: int


class Shapes(NamedTuple):
    """All there is to draw of a structure."""

    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()
    points: tuple[Point, ...] = ()


def shapes(events: Iterable[StructureEvent], bar_count: int) -> Shapes:
    """Return the shapes of events in order, over `bar_count` bars."""
    found = tuple(events)
    end = max(bar_count - 1, 0)
    zones = [*_gaps(found, end), *_blocks(found, end), *_entries(found, end)]
    lines = [*_breaks(found), *_pools(found, end), *_spans(found, end), *_legs(found)]
    return Shapes(tuple(zones), tuple(lines), tuple(_points(found)))


def clipped(drawn: Shapes, first: int, behind: int) -> Shapes:
    """Return what shows on bars `first` to `behind - 1`, numbered from the first of them."""
    last = behind - 1

    def shown(begin: int, end: int) -> bool:
        """Return whether any bar from `begin` to `end` is in view."""
        return begin <= last and end >= first

    def moved(bar: int) -> int:
        """Return a bar's number in view, at the edge where it lies outside."""
        return min(max(bar, first), last) - first

    return Shapes(
        tuple(
            zone._replace(first=moved(zone.first), last=moved(zone.last))
            for zone in drawn.zones
            if shown(zone.first, zone.last)
        ),
        tuple(_cut(line, first, last) for line in drawn.lines if shown(line.first, line.last)),
        tuple(
            point._replace(bar=point.bar - first, known_at=point.known_at - first)
            for point in drawn.points
            if first <= point.bar <= last and point.known_at <= last
        ),
    )


def _cut(line: Line, first: int, last: int) -> Line:
    """Return the part of a line in view; a slope keeps its prices."""

    def price(bar: int) -> float:
        """Return the line's price at a bar."""
        if line.last == line.first:
            return line.begin
        share = (bar - line.first) / (line.last - line.first)
        return line.begin + share * (line.end - line.begin)

    begin, end = max(line.first, first), min(line.last, last)
    return line._replace(first=begin - first, last=end - first, begin=price(begin), end=price(end))


def _lives(
    events: Iterable[StructureEvent],
    opens: Kind,
    closes: frozenset[Kind],
    key: Callable[[StructureEvent], object],
) -> Iterator[tuple[StructureEvent, StructureEvent | None]]:
    """Yield what was opened with what closed it, the oldest of a key first; None: it stands."""
    standing: dict[object, list[StructureEvent]] = {}
    for event in events:
        if event.kind is opens:
            standing.setdefault(key(event), []).append(event)
        elif event.kind in closes and standing.get(key(event)):
            yield standing[key(event)].pop(0), event
    for rest in standing.values():
        for event in rest:
            yield event, None


def _zone_key(event: StructureEvent) -> object:
    return event.side, event.bar, event.level, event.far


def _gaps(events: tuple[StructureEvent, ...], end: int) -> Iterator[Zone]:
    def key(event: StructureEvent) -> object:
        """Return which gap an event is about: what closes one names the bar that made it known."""
        known_at = event.known_at if event.kind is Kind.GAP else event.bar
        return event.side, known_at, event.level

    for gap, met in _lives(events, Kind.GAP, frozenset({Kind.GAP_MITIGATED}), key):
        last = met.known_at if met else end
        yield Zone("gap", gap.side, gap.known_at, last, gap.level, gap.far)


def _blocks(events: tuple[StructureEvent, ...], end: int) -> Iterator[Zone]:
    """Yield each block until it breaks, then the breaker, which works the other way round."""
    broken = frozenset({Kind.BLOCK_BREAKER})
    for block, over in _lives(events, Kind.BLOCK, broken, _zone_key):
        last = over.known_at if over else end
        yield Zone("order block", block.side, block.known_at, last, block.level, block.far)
    gone = frozenset({Kind.BLOCK_INVALID})
    for breaker, over in _lives(events, Kind.BLOCK_BREAKER, gone, _zone_key):
        last = over.known_at if over else end
        yield Zone("breaker", -breaker.side, breaker.known_at, last, breaker.far, breaker.level)


def _entries(events: tuple[StructureEvent, ...], end: int) -> Iterator[Zone]:
    """Yield the OTE of a leg from the bar that traded in it until the next leg is known."""
    entry: StructureEvent | None = None
    for event in events:
        if event.kind is Kind.OTE:
            entry = event
        elif event.kind is Kind.SWING_LOCKED and entry is not None:
            yield Zone("OTE", entry.side, entry.bar, event.known_at, entry.level, entry.far)
            entry = None
    if entry is not None:
        yield Zone("OTE", entry.side, entry.bar, end, entry.level, entry.far)


def _breaks(events: tuple[StructureEvent, ...]) -> Iterator[Line]:
    for event in events:
        if event.kind in {Kind.BOS, Kind.CHOCH, Kind.BOS_LIVE} and event.broken_at >= 0:
            level = event.level
            yield Line(event.kind.name, event.side, event.bar, event.broken_at, level, level)


def _pools(events: tuple[StructureEvent, ...], end: int) -> Iterator[Line]:
    """Yield pools until they were swept; a pool may have moved outwards since it was known."""
    standing: list[StructureEvent] = []
    for event in events:
        if event.kind is Kind.POOL:
            standing.append(event)
        elif event.kind is Kind.POOL_SWEPT:
            own = [pool for pool in standing if pool.side == event.side]
            if own:
                pool = min(own, key=lambda it: abs(it.level - event.level))
                standing.remove(pool)
                level = event.level
                yield Line("pool", pool.side, pool.known_at, event.known_at, level, level)
    for pool in standing:
        yield Line("pool", pool.side, pool.known_at, end, pool.level, pool.level)


def _spans(events: tuple[StructureEvent, ...], end: int) -> Iterator[Line]:
    """Yield high and low of the last whole day, week, month and session, until they were taken."""
    standing: dict[tuple[int, int], StructureEvent] = {}

    def over(part: int, side: int, at: int) -> Iterator[Line]:
        """Yield the line of a part's high or low, which ends at a bar."""
        ended = standing.pop((part, side), None)
        if ended is not None:
            level = ended.level if side > 0 else ended.far
            yield Line(f"{_part_name(part)} before", side, ended.known_at, at, level, level)

    for event in events:
        if event.kind is Kind.SPAN_TAKEN:
            yield from over(event.part, event.side, event.known_at)
        elif event.kind is Kind.SPAN_ENDED:
            for side in (1, -1):
                yield from over(event.part, side, event.known_at)
                standing[event.part, side] = event
    for part, side in list(standing):
        yield from over(part, side, end)


def _part_name(part: int) -> str:
    return Part(part).name.replace("_", " ").lower()


def _legs(events: tuple[StructureEvent, ...]) -> Iterator[Line]:
    """Yield the way from each locked swing to the next."""
    locked = [event for event in events if event.kind is Kind.SWING_LOCKED]
    for start, stop in pairwise(locked):
        yield Line("leg", stop.side, start.bar, stop.bar, start.level, stop.level)


def _points(events: tuple[StructureEvent, ...]) -> Iterator[Point]:
    names = {Kind.SWING: "swing", Kind.SWING_REPLACED: "swing", Kind.OTE: "OTE reached"}
    for event in events:
        if event.kind in names:
            yield Point(names[event.kind], event.side, event.bar, event.level, event.known_at)
        elif event.kind is Kind.POOL_SWEPT:
            name = "sweep, reclaimed" if event.broken_at < 0 else "sweep"
            yield Point(name, event.side, event.known_at, event.level, event.known_at)
        elif event.kind in {Kind.BOS, Kind.CHOCH, Kind.BOS_LIVE} and event.broken_at >= 0:
            yield Point(event.kind.name, event.side, event.broken_at, event.level, event.known_at)
