"""The algorithms: by a curve, by the market's volume, in slices of an iceberg, pegged to the touch.

Scheduled       TWAP, VWAP, shortfall: what is due rests at the touch, post-only; what was
                due `patience_ns` ago and is not filled is taken
Participation   POV: the same, but due is a part of what the market trades
Iceberg         a display at one price, the next when it is filled
Peg             everything at the touch, post-only, chased when the touch moves away
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from engine.domain.execution.curve import WHOLE, Curve
from engine.domain.execution.parent import PPM, Child, Look, Parent, left_lots


def resting(parent: Parent, look: Look, lots: int) -> Child:
    """Return a post-only child at our side of the touch, at the limit where that is further."""
    return Child(lots, _bounded(parent, _own(parent, look)), is_post_only=True)


def taking(parent: Parent, look: Look, lots: int) -> Child:
    """Return a child that takes at the other side's touch; one that rests where the limit forbids.

    It carries a price: a market that jumps meanwhile is not followed.
    """
    other = look.ask_ticks if parent.side > 0 else look.bid_ticks
    if parent.limit_ticks and (other - parent.limit_ticks) * parent.side > 0:
        return resting(parent, look, lots)
    return Child(lots, other, is_immediate=True)


def _own(parent: Parent, look: Look) -> int:
    return look.bid_ticks if parent.side > 0 else look.ask_ticks


def _bounded(parent: Parent, price_ticks: int) -> int:
    limit = parent.limit_ticks
    if limit == 0:
        return price_ticks
    return min(price_ticks, limit) if parent.side > 0 else max(price_ticks, limit)


def _stays(look: Look, wanted: Child) -> bool:
    """Return whether a child that works is as wanted: its place in the queue is worth keeping."""
    working = look.working
    return (
        working is not None
        and not wanted.is_immediate
        and working.price_ticks == wanted.price_ticks
        and working.qty_lots <= wanted.qty_lots
    )


def _paced(parent: Parent, look: Look, due_lots: int, late_lots: int) -> Child | None:
    """Return the child for what is due: taken as far as it is late."""
    late, due = late_lots - look.done_lots, due_lots - look.done_lots
    if late >= max(parent.least_lots, 1) or 0 < late >= left_lots(parent, look):
        return taking(parent, look, late)
    return resting(parent, look, due) if due > 0 else None


class Scheduled(NamedTuple):
    """Follow a curve."""

    curve: Curve
    patience_ns: int = 0  # how long what is due may rest before it is taken

    def wanted(self, parent: Parent, look: Look) -> Child | None:
        """Return the child for what the curve says is due."""
        due = self.curve.due_lots(parent.qty_lots, look.now_ns)
        end_ns = self.curve.times_ns[-1]
        late_ns = look.now_ns if look.now_ns >= end_ns else look.now_ns - self.patience_ns
        return _paced(parent, look, due, self.curve.due_lots(parent.qty_lots, late_ns))

    def keeps(self, _parent: Parent, look: Look, wanted: Child) -> bool:
        """Return whether the child that works is at the wanted price and not too large."""
        return _stays(look, wanted)


def live_curve(curve: Curve, now_ns: int, traded_lots: int, expected_lots: int) -> Curve:
    """Return a volume curve whose past is what the market did: the rest keeps its shape.

    Args:
        curve: of the day's volume as expected.
        now_ns: within it.
        traded_lots: by the market since the curve began.
        expected_lots: by the market over the whole curve, as expected.
    """
    share = curve.share(now_ns)
    rest_lots = expected_lots * (WHOLE - share) // WHOLE
    total_lots = traded_lots + rest_lots
    if total_lots == 0 or not curve.times_ns[0] < now_ns < curve.times_ns[-1]:
        return curve
    done = WHOLE * traded_lots // total_lots
    later = [(t, s) for t, s in zip(*curve, strict=True) if t > now_ns]
    shares = [done + (WHOLE - done) * (s - share) // (WHOLE - share or 1) for _, s in later]
    times = (curve.times_ns[0], now_ns, *(t for t, _ in later))
    return Curve(times, (0, done, *shares[:-1], WHOLE))


class LiveVolume(NamedTuple):
    """Follow a volume curve whose past is what the market did (VWAP by live volume)."""

    curve: Curve
    expected_lots: int  # by the market over the whole curve
    patience_ns: int = 0

    def wanted(self, parent: Parent, look: Look) -> Child | None:
        """Return the child for what is due by the volume seen and the volume still expected."""
        live = live_curve(self.curve, look.now_ns, look.traded_lots, self.expected_lots)
        return Scheduled(live, self.patience_ns).wanted(parent, look)

    def keeps(self, _parent: Parent, look: Look, wanted: Child) -> bool:
        """Return whether the child that works is at the wanted price and not too large."""
        return _stays(look, wanted)


class Participation(NamedTuple):
    """Be a part of the market's volume, no more: a cap of its own."""

    rate_ppm: int
    patience_lots: int = 0  # how much of what is due may rest before it is taken

    def wanted(self, parent: Parent, look: Look) -> Child | None:
        """Return the child for our part of what has traded."""
        due = min(parent.qty_lots, self.rate_ppm * look.traded_lots // PPM)
        return _paced(parent, look, due, due - self.patience_lots)

    def keeps(self, _parent: Parent, look: Look, wanted: Child) -> bool:
        """Return whether the child that works is at the wanted price and not too large."""
        return _stays(look, wanted)


class Iceberg(NamedTuple):
    """Show a part at one price; the next part stands behind everybody when it is filled."""

    display_lots: int
    price_ticks: int

    def wanted(self, _parent: Parent, _look: Look) -> Child | None:
        """Return one display."""
        return Child(self.display_lots, self.price_ticks)

    def keeps(self, _parent: Parent, look: Look, _wanted: Child) -> bool:
        """Return whether a display is there: what is left of it stays until it is filled."""
        return look.working is not None and look.working.price_ticks == self.price_ticks


class Peg(NamedTuple):
    """Stay at the touch, or so many ticks behind it, without ever taking."""

    behind_ticks: int = 0
    chase_ticks: int = 1  # a smaller move of the touch is not followed
    hold_ns: int = 0  # how long an order stands before it may move
    end_ns: int = 0  # then what is left is taken; 0: never

    def wanted(self, parent: Parent, look: Look) -> Child | None:
        """Return everything that is left, at the touch."""
        left = left_lots(parent, look)
        if self.end_ns and look.now_ns >= self.end_ns:
            return taking(parent, look, left)
        price_ticks = _own(parent, look) - self.behind_ticks * parent.side
        return Child(left, _bounded(parent, price_ticks), is_post_only=True)

    def keeps(self, _parent: Parent, look: Look, wanted: Child) -> bool:
        """Return whether the order is near enough, or too young to move."""
        working = look.working
        if working is None or wanted.is_immediate:
            return False
        is_young = look.now_ns - working.placed_ns < self.hold_ns
        return is_young or abs(working.price_ticks - wanted.price_ticks) < self.chase_ticks


class Hiding(Enum):
    """How an order that must not be seen whole is worked, or why it is not."""

    NATIVE = "the venue hides it"
    ICEBERG = "in displays, one after the other"
    REFUSED = "its display would be smaller than the least order"


def hiding(parent: Parent, display_lots: int, *, is_native: bool) -> Hiding:
    """Return how to hide an order of which so much may be seen."""
    if is_native:
        return Hiding.NATIVE
    is_sendable = display_lots >= parent.least_lots and display_lots % parent.step_lots == 0
    return Hiding.ICEBERG if is_sendable else Hiding.REFUSED
