"""Days of volume that a brain learns from its own bars and keeps in a file."""

from pathlib import Path

import pytest

from engine.domain.execution.curve import WHOLE
from engine.domain.execution.profile import DAYS_MIN, Shape
from engine.domain.market_state import CLOCK_OFFSET_NS
from engine.domain.state import State
from engine.processes.volume_profiles import VolumeProfiles
from tests.desk_rig import DeskRig, S

MINUTE_NS = 60 * S
HOUR_NS = 3_600 * S
DAY_NS = 24 * HOUR_NS
MIDNIGHT = 20_000 * DAY_NS
NOW_NS = 100 * DAY_NS  # of this machine, at the venue's MIDNIGHT


def close_bar(state: State, index: int, start_ns: int, lots: int) -> None:
    """Let a minute end, as the kernel thread does."""
    market = state.market
    minute = market.timeframes_ns.tolist().index(MINUTE_NS)
    place = int(market.closed_count[index, minute]) % market.closed.shape[2]
    market.closed["start_ns"][index, minute, place] = start_ns
    market.closed["volume_lots"][index, minute, place] = lots
    market.closed_count[index, minute] += 1


def learned(path: Path | None = None, days: int = DAYS_MIN) -> tuple[State, VolumeProfiles]:
    """Return what has heard so many days: 40 lots a minute in the first hour of each, then 10."""
    state = DeskRig().state
    state.market.progress[CLOCK_OFFSET_NS] = MIDNIGHT - NOW_NS
    profiles = VolumeProfiles(state, path)
    for start_ns in range(MIDNIGHT - days * DAY_NS - HOUR_NS, MIDNIGHT, MINUTE_NS):
        close_bar(state, 0, start_ns, 40 if start_ns % DAY_NS < HOUR_NS else 10)
        profiles.look(start_ns - MIDNIGHT + NOW_NS)
    close_bar(state, 0, MIDNIGHT, 40)
    profiles.look(NOW_NS)
    return state, profiles


def test_what_was_learned_shapes_a_span_by_the_venues_clock() -> None:
    _, profiles = learned()
    shape, curve, lots = profiles.expected(0, NOW_NS - HOUR_NS // 2, HOUR_NS, 0)
    assert (shape, lots) == (Shape.LEARNED, 30 * 10 + 30 * 40)
    assert curve is not None
    assert (curve.times_ns[0], curve.times_ns[-1]) == (NOW_NS - HOUR_NS // 2, NOW_NS + HOUR_NS // 2)
    assert curve.share(NOW_NS) == WHOLE // 5
    assert profiles.expected(0, NOW_NS - HOUR_NS // 2, HOUR_NS, 1_200).lots == 600 + 2_400


def test_nothing_learned_is_even_at_the_pace_of_the_last_minutes() -> None:
    for index, days in ((1, DAYS_MIN), (0, DAYS_MIN - 1)):
        _, profiles = learned(days=days)
        assert profiles.expected(index, NOW_NS, HOUR_NS, 77) == (Shape.EVEN_UNKNOWN, None, 77)
    assert profiles.expected(0, NOW_NS, 10**30, 77) == (Shape.EVEN_UNKNOWN, None, 77)


def test_a_file_gives_the_days_to_the_next_session_in_its_own_lots(tmp_path: Path) -> None:
    path = tmp_path / "volume_profile.json"
    before, profiles = learned(path)
    assert path.exists(), "a learned quarter is written"
    profiles.save()
    state = DeskRig().state
    state.market.progress[CLOCK_OFFSET_NS] = before.market.progress[CLOCK_OFFSET_NS]
    state.market.instruments["lot_size"] *= 10
    found = VolumeProfiles(state, path).expected(0, NOW_NS, HOUR_NS, 0)
    assert (found.shape, found.lots) == (Shape.LEARNED, 60 * 40 // 10)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"T0USDT":{"contracts":[1],"days":[9]}}'])
def test_a_file_that_says_nothing_is_a_day_not_known_yet(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "volume_profile.json"
    path.write_bytes(body)
    profiles = VolumeProfiles(DeskRig().state, path)
    assert profiles.expected(0, NOW_NS, HOUR_NS, 5).shape is Shape.EVEN_UNKNOWN


def test_a_disk_that_refuses_keeps_what_was_learned_in_memory(tmp_path: Path) -> None:
    _, profiles = learned(tmp_path / "away" / "volume_profile.json")
    assert profiles.expected(0, NOW_NS, HOUR_NS, 0).shape is Shape.LEARNED
