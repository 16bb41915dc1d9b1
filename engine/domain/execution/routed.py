"""A parent order whose children the router sends: everything that is left, as it says.

        look, table -> request -> router -> take it, rest at the touch, or wait for a venue

A child that rests keeps its place while it is at the touch. It is withdrawn when the touch has
moved, or when it has rested for its patience and taking is the cheaper way by then; what is left of
it is routed anew when it is settled. A refusal withdraws nothing: what was sent stays where it is.
"""

from __future__ import annotations

from math import nan
from typing import Final, NamedTuple

from engine.domain.execution.parent import Child, Look, Parent, left_lots
from engine.domain.execution.router import (
    Choice,
    Refusal,
    Request,
    RuledOut,
    Table,
    Way,
    route,
)

BPS: Final = 10_000.0
NS_PER_MS: Final = 1e6
TAKES: Final = frozenset({Way.TAKE})
EITHER: Final = frozenset({Way.TAKE, Way.REST})


class Best(NamedTuple):
    """Send what is left by the cheaper way, each time that something is sent."""

    display_lots: int = 0  # above 0: no more than this may be seen
    patience_ns: int = 0  # how long an order rests before it may be withdrawn to take
    end_ns: int = 0  # from here on what is left is taken

    def answer(self, parent: Parent, look: Look) -> Choice | Refusal:
        """Return what the router says of everything that is left, now."""
        table, left = look.table, left_lots(parent, look)
        if table is None:
            return Refusal(())
        if left <= 0:
            return Refusal(tuple((row.venue, RuledOut.BOUND) for row in table.rows))
        is_end = look.now_ns >= self.end_ns
        request = Request(
            parent.side,
            left,
            parent.limit_ticks * table.tick_e8,
            TAKES if is_end or self.patience_ns == 0 else EITHER,
            0 if is_end else min(self.display_lots, left),
        )
        return route(table.rows, request, table.terms)

    def wanted(self, parent: Parent, look: Look) -> Child | None:
        """Return everything that is left as the router says; what works, where it refuses."""
        choice = self.answer(parent, look)
        if isinstance(choice, Refusal) or look.table is None:
            return look.working
        assert choice.way is not Way.HIDDEN, "no order of ours says that it is hidden"
        lots, ticks = left_lots(parent, look), round(choice.price_e8 / look.table.tick_e8)
        if choice.way is Way.TAKE:
            return Child(lots, ticks, is_immediate=True)
        if choice.way is Way.ICEBERG:
            lots = min(lots, self.display_lots)
        return Child(lots, ticks, is_post_only=True)

    def keeps(self, _parent: Parent, look: Look, wanted: Child) -> bool:
        """Return whether the child that works is at its price, or too young to be withdrawn."""
        working = look.working
        if working is None:
            return False
        if wanted.is_immediate:
            is_young = look.now_ns - working.placed_ns < self.patience_ns
            return is_young and look.now_ns < self.end_ns
        return working.price_ticks == wanted.price_ticks


class Reckoning(NamedTuple):
    """What a choice rested on; costs against the mid, NaN: there was no other way."""

    cost_bps: float
    other_bps: float
    latency_ms: float
    touch_age_ms: float
    health: float


def reckoned(table: Table, choice: Choice, side: int) -> Reckoning:
    """Return what a choice from a table rested on."""
    row = next(row for row in table.rows if row.venue == choice.venue)
    mid_e8 = (row.bid_e8 + row.ask_e8) / 2

    def bps(all_in_e8: int) -> float:
        return (all_in_e8 - mid_e8 * side) / mid_e8 * BPS

    return Reckoning(
        bps(choice.all_in_e8),
        bps(choice.other_e8) if choice.other_e8 else nan,
        row.latency_ns / NS_PER_MS,
        row.touch_age_ns / NS_PER_MS,
        float(row.health),
    )


def reasoned(
    answer: Choice | Refusal | None, table: Table | None, side: int
) -> tuple[str, dict[str, float]]:
    """Return how a record tells a child's route: its text, and `Reckoning` as input_0 to 4."""
    if table is None or not isinstance(answer, Choice):
        return "", {}
    reckoning = reckoned(table, answer, side)
    return said(answer), {f"input_{place}": word for place, word in enumerate(reckoning)}


def said(answer: Choice | Refusal | None) -> str:
    """Return a router's answer in a few words; empty: it was not asked."""
    if isinstance(answer, Choice):
        return f"{answer.way.name} at {answer.venue}"
    reasons = () if answer is None else answer.reasons
    return ", ".join(f"{venue}: {reason.name}" for venue, reason in reasons)
