"""Order blocks, pools, spans, legs: equal to their brute-force twins after every bar."""

import zoneinfo
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from engine.domain.features import zones
from engine.domain.spans import month_of
from engine.domain.structure import StructureKind as Kind
from engine.domain.structure_state import BLOCKS_MAX, POOLS_MAX, Part
from tests import zone_twins
from tests.feature_bars import Bar, random_bars, timed
from tests.structure_twins import Event, Stream, coarse_walk, streamed_structure

BLOCK_KINDS = (Kind.BLOCK, Kind.BLOCK_MITIGATED, Kind.BLOCK_BREAKER, Kind.BLOCK_INVALID)
TWINS: dict[str, tuple[Callable[[Sequence[Bar]], set[Event]], tuple[Kind, ...]]] = {
    "order blocks": (zone_twins.blocks, BLOCK_KINDS),
    "pools": (zone_twins.pools, (Kind.POOL, Kind.POOL_SWEPT)),
    "legs": (zone_twins.legs, (Kind.OTE,)),
    "live breaks": (zone_twins.live_breaks, (Kind.BOS_LIVE,)),
}


def rounded(events: set[Event] | list[Event]) -> set[Event]:
    """Return events with prices as they compare after different sums of one number."""
    return {
        event._replace(level=round(event.level, 6), far=round(event.far, 6)) for event in events
    }


def walk_of(seed: int) -> list[Bar]:
    """Return a walk; odd seeds give one with few ticks, where ties are common."""
    return coarse_walk(260, seed) if seed % 2 else random_bars(260, seed)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", TWINS)
def test_what_became_known_equals_its_twin_after_every_bar(name: str, seed: int) -> None:
    twin, kinds = TWINS[name]
    bars = walk_of(seed)
    stream = Stream()
    for k, bar in enumerate(bars):
        stream.push(bar)
        if k % 5 == 0 or k == len(bars) - 1:
            assert rounded(stream.of_kinds(*kinds)) == rounded(twin(bars[: k + 1])), k
    assert int(stream.row["dropped_blocks"]) == int(stream.row["dropped_pools"]) == 0
    assert len(stream.of_kinds(*kinds)) == len(set(stream.of_kinds(*kinds)))


@pytest.mark.parametrize("name", TWINS)
def test_each_kind_of_event_happens(name: str) -> None:
    kinds = TWINS[name][1]
    seen = {e.kind for s in range(6) for e in streamed_structure(walk_of(s)).of_kinds(*kinds)}
    assert seen == set(kinds)


# ---- spans ----


def hours_from(start: str, count: int, seed: int = 1) -> list[Bar]:
    """Return hourly bars from an ISO date, UTC."""
    first_s = datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()
    bars = random_bars(count, seed)
    return [bar._replace(start_s=first_s + 3_600 * k) for k, bar in enumerate(bars)]


@pytest.mark.parametrize(
    "start", ["2024-02-26T05:00", "2024-10-20T22:00", "2025-12-28T00:00", "2023-03-05T13:00"]
)
@pytest.mark.parametrize("part", Part)
def test_spans_equal_their_twin_over_changes_of_clocks_months_and_years(
    part: Part, start: str
) -> None:
    bars = hours_from(start, 24 * 70)
    stream = streamed_structure(bars)
    found = {e for e in stream.of_kinds(Kind.SPAN_ENDED, Kind.SPAN_TAKEN) if e.part == part}
    assert found == zone_twins.spans(bars, part)
    assert {e.kind for e in found} == {Kind.SPAN_ENDED, Kind.SPAN_TAKEN}


def test_spans_are_known_without_the_bars_to_come() -> None:
    bars = hours_from("2024-03-25T05:00", 24 * 14)
    stream = Stream()
    for k, bar in enumerate(bars):
        stream.push(bar)
        if k % 7 == 0:
            expected = {e for part in Part for e in zone_twins.spans(bars[: k + 1], part)}
            assert set(stream.of_kinds(Kind.SPAN_ENDED, Kind.SPAN_TAKEN)) == expected


def test_a_session_moves_with_the_summer_time_of_its_city() -> None:
    # 2024-03-31 clocks changed in London, three weeks after New York.
    ends = {}
    for day in ("2024-03-08", "2024-03-15", "2024-04-05"):
        bars = hours_from(f"{day}T00:00", 24)
        for event in streamed_structure(bars).of_kinds(Kind.SPAN_ENDED):
            ends[day, Part(event.part)] = event.known_at
    assert [ends[day, Part.LONDON] for day in ("2024-03-08", "2024-03-15", "2024-04-05")] == [
        17,
        17,
        16,
    ]
    assert [ends[day, Part.NEW_YORK] for day in ("2024-03-08", "2024-03-15", "2024-04-05")] == [
        22,
        21,
        21,
    ]


def test_the_first_bar_of_a_day_knows_the_day_before() -> None:
    bars = hours_from("2024-05-01T12:00", 40)
    ended = [e for e in streamed_structure(bars).of_kinds(Kind.SPAN_ENDED) if e.part == Part.DAY]
    assert [(e.known_at, e.level) for e in ended] == [(36, max(b.high for b in bars[12:36]))]


def test_a_stretch_that_is_longer_than_a_session_of_no_bars_ends_it() -> None:
    bars = hours_from("2024-05-01T06:00", 4)  # London opens at 7 UTC
    late = bars[-1]._replace(start_s=bars[-1].start_s + 86_400 * 3)
    ended = streamed_structure([*bars, late]).of_kinds(Kind.SPAN_ENDED)
    assert {(e.part, e.known_at) for e in ended} == {(Part.LONDON, 4)}


def test_months_are_numbered_as_the_calendar_does() -> None:
    first = datetime(1970, 1, 1, tzinfo=UTC)
    for day in range(0, 60_000, 7):
        at = first + timedelta(days=day)
        assert month_of(day) == 12 * at.year + at.month - 1
    leap = (datetime(2024, 2, 29, tzinfo=UTC) - first).days
    assert month_of(leap) == month_of(leap - 1) == month_of(leap + 1) - 1


def test_the_table_of_clocks_says_what_the_zones_say() -> None:
    starts, offsets = zones.zone_tables()
    random = np.random.default_rng(1)
    low, high = (int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) for y in (2010, 2041))
    for z, name in enumerate(zones.ZONE_NAMES):
        zone = zoneinfo.ZoneInfo(name)
        edges = starts[z][np.isfinite(starts[z])]
        times = [*random.integers(low, high, 500), *edges, *(edges[1:] - 1)]
        for time_s in times:
            k = int(np.searchsorted(starts[z], time_s, side="right")) - 1
            expected = datetime.fromtimestamp(time_s, zone).utcoffset()
            assert expected is not None
            assert offsets[z, k] == expected.total_seconds()
    assert np.isfinite(starts).sum(axis=1).tolist() == [1, 63, 63]


# ---- drawings of docs/smart_money.md ----


def bars_of(*rows: tuple[int, int, int, int]) -> list[Bar]:
    """Return bars of (open, high, low, close)."""
    return timed([Bar(*row, 10, 5) for row in rows])


def peak(top: int, base: int) -> list[Bar]:
    """Return eleven bars that rise to a swing high at the sixth."""
    heights = [base + (top - base) * (5 - abs(5 - k)) // 5 for k in range(11)]
    return [Bar(h - 1, h, h - 2, h - 1, 10, 5) for h in heights]


def test_a_block_lives_as_drawn() -> None:
    start = [*[Bar(999, 1_000, 998, 999, 10, 5)] * 5, *peak(1_100, 1_000)]
    broken = [Bar(1_000, 1_120, 1_000, 1_110, 10, 5)]
    steps = {
        Kind.BLOCK_MITIGATED: Bar(1_100, 1_100, 999, 1_050, 10, 5),
        Kind.BLOCK_BREAKER: Bar(1_000, 1_000, 980, 985, 10, 5),
        Kind.BLOCK_INVALID: Bar(1_000, 1_050, 1_000, 1_040, 10, 5),
    }
    bars = [*start, *broken, *steps.values()]
    events = [e for e in streamed_structure(bars).of_kinds(*BLOCK_KINDS) if e.side == 1]
    assert [e.kind for e in events] == list(BLOCK_KINDS)
    assert [e.known_at for e in events] == [16, 17, 18, 19]
    assert {(e.bar, e.level, e.far) for e in events} == {(15, 1_000, 998)}


def two_peaks(second: int) -> list[Bar]:
    """Return a swing high at 1,100, a valley, and another high."""
    return [*[Bar(999, 1_000, 998, 999, 10, 5)] * 5, *peak(1_100, 1_000), *peak(second, 1_000)]


@pytest.mark.parametrize(("second", "is_pool"), [(1_100, True), (1_098, True), (1_060, False)])
def test_highs_within_the_width_are_a_pool(second: int, is_pool: bool) -> None:
    pools = streamed_structure(two_peaks(second)).of_kinds(Kind.POOL)
    assert [(e.side, e.level) for e in pools if e.side == 1] == ([(1, 1_100)] if is_pool else [])


@pytest.mark.parametrize(("close", "broken_at"), [(1_090, -1), (1_140, 27)])
def test_a_sweep_says_whether_the_level_was_reclaimed(close: int, broken_at: int) -> None:
    bars = [*two_peaks(1_099), Bar(1_000, 1_150, 1_000, close, 10, 5)]
    swept = streamed_structure(bars).of_kinds(Kind.POOL_SWEPT)
    assert [(e.side, e.known_at, e.broken_at) for e in swept if e.side == 1] == [(1, 27, broken_at)]


def test_the_oldest_block_and_level_give_way_and_are_counted() -> None:
    # A stair of rising peaks: every one breaks the last, none is ever met again.
    bars = []
    for step in range(40):
        base = 10_000 + 200 * step
        bars += [bar._replace(open=bar.close) for bar in peak(base + 150, base)]
    stream = streamed_structure(bars)
    made = [e for e in stream.of_kinds(Kind.BLOCK) if e.side == 1]
    assert int(stream.row["dropped_blocks"]) == len(made) - BLOCKS_MAX > 0
    assert int(stream.row["block_count"][0]) == BLOCKS_MAX
    assert int(stream.row["block_bar"][0, -1]) == made[-1].bar
    assert int(stream.row["pool_count"][1]) == POOLS_MAX
    assert int(stream.row["dropped_pools"]) > 0


def test_a_leg_that_runs_backwards_is_none() -> None:
    # After a fall between bars the swing high lies below the swing low before it.
    high_ground = [*[Bar(2_000, 2_001, 1_999, 2_000, 10, 5)] * 5]
    dip = [
        Bar(h, h + 1, h, h, 10, 5)
        for h in (2_000, 1_990, 1_980, 1_970, 1_960, 1_970, 1_980, 1_990, 2_000, 2_005, 2_010)
    ]
    bars = [*high_ground, *dip, *peak(1_100, 1_000), *[Bar(999, 1_000, 998, 999, 10, 5)] * 12]
    stream = streamed_structure(bars)
    assert len(stream.of_kinds(Kind.SWING_LOCKED)) >= 1
    assert stream.of_kinds(Kind.OTE) == [
        e for e in stream.of_kinds(Kind.OTE) if (e.level - e.far) * e.side > 0
    ]
