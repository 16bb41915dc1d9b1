"""A parent order, what an algorithm sees of it, and the one step from there to intents.

        look -> algorithm -> the child that should work now -> intents: cancel, or place

At most one child works at a time, and nothing is placed while one does: what is filled and what
works together never exceed the parent, however late fills are told. A child that should be another
is cancelled first; its successor is placed by a later look, when its fills are known. A child whose
outcome is not known stands aside and counts as filled (`engine.domain.execution.work`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from engine.domain.execution.router import Table

PPM: Final = 1_000_000


class Parent(NamedTuple):
    """What is to be done; lots and ticks of one instrument."""

    side: int
    qty_lots: int
    limit_ticks: int = 0  # worst price; 0: any
    least_lots: int = 1  # the venue takes no smaller order ...
    step_lots: int = 1  # ... and only multiples of this
    cap_ppm: int = 0  # most of the market's volume that may be ours; 0: any

    def checked(self) -> Parent:
        """Return it.

        Raises:
            ValueError: it cannot be done in whole orders that the venue takes.
        """
        if self.side not in {1, -1} or self.step_lots < 1 or not 0 <= self.cap_ppm <= PPM:
            message = f"{self}: no side, step or cap of an order"
            raise ValueError(message)
        if self.qty_lots < max(self.least_lots, 1) or self.qty_lots % self.step_lots:
            message = f"{self.qty_lots} lots: expected {self.least_lots} or more, in whole steps"
            raise ValueError(message)
        if self.least_lots % self.step_lots:
            message = f"{self.least_lots} lots: the least order must be whole steps"
            raise ValueError(message)
        return self


class Child(NamedTuple):
    """An order of ours: as wanted, or as it works."""

    qty_lots: int  # of one that works: what is left
    price_ticks: int
    is_immediate: bool = False  # what does not fill at once expires
    is_post_only: bool = False
    placed_ns: int = 0  # of one that works


class Look(NamedTuple):
    """What is known at a moment. Fills of closed children are all in `filled_lots`."""

    now_ns: int
    bid_ticks: int  # 0: nobody bids
    ask_ticks: int
    filled_lots: int
    traded_lots: int = 0  # by the whole market since the parent began, ours included
    working: Child | None = None
    doubt_lots: int = 0  # that closed or unknown children may have filled: as good as filled
    table: Table | None = None  # of an algorithm that asks the router

    @property
    def done_lots(self) -> int:
        """Return what is filled, and what may be without our knowing."""
        return self.filled_lots + self.doubt_lots


class Place(NamedTuple):
    """Send this child."""

    child: Child


class Cancel(NamedTuple):
    """Withdraw the child that works."""


Intent = Place | Cancel


class Algorithm(Protocol):
    """Decides which child should work."""

    def wanted(self, parent: Parent, look: Look) -> Child | None:
        """Return the child that should work now, of any size; None: none."""
        ...

    def keeps(self, parent: Parent, look: Look, wanted: Child) -> bool:
        """Return whether the child that works may stay where another is wanted."""
        ...


def left_lots(parent: Parent, look: Look) -> int:
    """Return what of a parent is not filled, doubt taken as filled."""
    return parent.qty_lots - look.done_lots


def sized(parent: Parent, lots: int, left: int) -> int:
    """Return the largest child of at most so many lots that leaves no rest too small to send."""
    lots = min(lots, left) // parent.step_lots * parent.step_lots
    rest = left - lots
    if 0 < rest < parent.least_lots:
        lots = (left - parent.least_lots) // parent.step_lots * parent.step_lots
    return lots if lots >= max(parent.least_lots, 1) else 0


def allowed_lots(parent: Parent, look: Look) -> int:
    """Return how much more the cap on our part of the volume allows."""
    left = left_lots(parent, look)
    if parent.cap_ppm == 0:
        return left
    return max(0, min(left, parent.cap_ppm * look.traded_lots // PPM - look.done_lots))


def is_over(parent: Parent, look: Look) -> bool:
    """Return whether nothing works and nothing more can be sent: filled, or a rest too small."""
    settled = look.working is None and look.doubt_lots == 0
    return settled and left_lots(parent, look) < max(parent.least_lots, 1)


def step(parent: Parent, algorithm: Algorithm, look: Look) -> Intent | None:
    """Return what to do now; None: nothing."""
    wanted = algorithm.wanted(parent, look) if look.bid_ticks and look.ask_ticks else None
    if wanted is not None:
        lots = min(wanted.qty_lots, allowed_lots(parent, look))
        wanted = wanted._replace(qty_lots=lots) if lots > 0 and _is_within(parent, wanted) else None
    if look.working is not None:
        stays = wanted is not None and algorithm.keeps(parent, look, wanted)
        return None if stays else Cancel()
    lots = sized(parent, wanted.qty_lots, left_lots(parent, look)) if wanted is not None else 0
    return Place(wanted._replace(qty_lots=lots)) if wanted is not None and lots else None


def _is_within(parent: Parent, child: Child) -> bool:
    limit = parent.limit_ticks
    return limit == 0 or (limit - child.price_ticks) * parent.side >= 0
