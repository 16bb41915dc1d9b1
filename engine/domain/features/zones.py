"""When the clocks of the sessions' cities change, as a table for kernels. Runs once, at start.

The table is part of the plan's hash: another edition of the world's time zones is another plan.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np

from engine.domain.kernel import Floats

ZONE_NAMES: Final = ("Asia/Tokyo", "Europe/London", "America/New_York")
FIRST_YEAR: Final = 2010  # before it and after LAST_YEAR the offset next to it holds
LAST_YEAR: Final = 2040
CHANGES_MAX: Final = 2 * (LAST_YEAR - FIRST_YEAR + 1) + 2


def offset_s(zone: zoneinfo.ZoneInfo, time_s: int) -> int:
    """Return what the clocks of a zone are ahead of UTC at a Unix time, s."""
    ahead = datetime.fromtimestamp(time_s, UTC).astimezone(zone).utcoffset()
    assert ahead is not None, "a zone has an offset"
    return int(ahead.total_seconds())


def changes_of(zone: zoneinfo.ZoneInfo) -> list[tuple[int, int]]:
    """Return (from, offset), s, for each stretch of one offset, oldest first.

    No zone changes its clocks twice in a month: each month is looked at by halves.
    """
    months = range(12 * FIRST_YEAR, 12 * (LAST_YEAR + 1) + 1)
    starts = [int(datetime(m // 12, m % 12 + 1, 1, tzinfo=UTC).timestamp()) for m in months]
    found = [(starts[0], offset_s(zone, starts[0]))]
    for start, end in pairwise(starts):
        after = offset_s(zone, end)
        if after == found[-1][1]:
            continue
        low, high = start, end
        while high - low > 1:
            middle = (low + high) // 2
            if offset_s(zone, middle) == after:
                high = middle
            else:
                low = middle
        found.append((high, after))
    return found


@cache
def zone_tables() -> tuple[Floats, Floats]:
    """Return float64[zones, CHANGES_MAX] of times, Unix s (inf: none), and of offsets, s.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: the machine has no time zones (package tzdata).
    """
    starts = np.full((len(ZONE_NAMES), CHANGES_MAX), np.inf)
    offsets = np.zeros((len(ZONE_NAMES), CHANGES_MAX))
    for z, name in enumerate(ZONE_NAMES):
        changes = changes_of(zoneinfo.ZoneInfo(name))
        assert len(changes) <= CHANGES_MAX, f"{name} changes its clocks {len(changes)} times"
        starts[z, : len(changes)], offsets[z, : len(changes)] = np.array(changes).T
    return starts, offsets
