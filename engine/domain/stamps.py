"""Bounds that are stamps of the venue, and what is left of them when its clock was set back.

An adjustment covers fills up to a stamp, an order's words are ordered by theirs, and the next fetch
begins at the newest fill's. What comes after the clock was set back is stamped lower than it is
new, so each look at the clock says how far such a bound may reach at most.
"""

from __future__ import annotations

from engine.domain.desk import Desk
from engine.domain.kernel import Record, Records, kernel, python_of
from engine.domain.words import Word

SET_BACK_NS = 1_000_000_000  # a clock that lost less against ours was corrected, not set
NO_BOUND = 1 << 62
PPB = 1_000_000_000


@kernel
def newest_bound(
    last_anchor_ns: int, last_venue_ns: int, last_rate_ppb: int, anchor_ns: int, venue_ns: int
) -> int:
    """Return the highest stamp that may still bound what comes, by two looks at the clock.

    NO_BOUND: the clock went on. Where it was set back between the looks it was so right after the
    first, as far as we know: what it stamped since is at least what it says now less what passed.
    The first look bounds by what it says.

    Args:
        last_anchor_ns: monotonic time of the look before.
        last_venue_ns: what the venue's clock said then; 0: there was none.
        last_rate_ppb: its rate then less one: a tape may be played slowly.
        anchor_ns: monotonic time of this look.
        venue_ns: what the venue's clock said now.
    """
    if last_venue_ns == 0:
        return venue_ns
    rate = max(1.0 + last_rate_ppb / PPB, 0.0)
    elapsed_ns = max(anchor_ns - last_anchor_ns, 0)
    # A tape played fast has no rate to rely on: that it slows down is no set-back.
    if venue_ns - last_venue_ns < int(elapsed_ns * min(rate, 1.0)) - SET_BACK_NS:
        return venue_ns - int(elapsed_ns * rate)
    return NO_BOUND


@kernel
def lower_bounds(desk: Desk, bound_ns: int) -> None:
    """Let no stamp that is kept reach beyond a bound, in place."""
    venue, orders, words = desk.venue, desk.orders, desk.words
    words[Word.LAST_FILL_VENUE_NS] = min(words[Word.LAST_FILL_VENUE_NS], bound_ns)
    for i in range(venue.shape[0]):
        venue["adjusted_venue_ns"][i] = min(venue["adjusted_venue_ns"][i], bound_ns)
    for row in range(orders.shape[0]):
        orders["venue_time_ns"][row] = min(orders["venue_time_ns"][row], bound_ns)


class ClockLooks:
    """The looks at the venue's clock that a journal tells, one after the other."""

    def __init__(self) -> None:
        """Start without any."""
        self._last = (0, 0, 0)  # monotonic time, venue time, rate

    def bound_ns(self, event: Record | Records) -> int:
        """Take a VENUE_CLOCK, EVENT_DTYPE[]; return what `newest_bound` says of it."""
        anchor_ns = int(event["clock_anchor_ns"])
        venue_ns = anchor_ns + int(event["clock_offset_ns"])
        bound_ns = python_of(newest_bound)(*self._last, anchor_ns, venue_ns)
        self._last = (anchor_ns, venue_ns, int(event["clock_rate_ppb"]))
        return bound_ns
