"""Room for one more order, where the kernel thread may write one at any moment."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.venues.binance.budget import ORDERS_10S, Budget
from engine.venues.binance.order_sender import OrderSender


class Line:
    """A line that is lent, or not; one that was written on cannot be taken back."""

    def __init__(self, *, is_lent: bool, is_written: bool) -> None:
        self.is_lent = is_lent
        self.is_written = is_written
        self.released = 0

    def release(self) -> None:
        self.released += 1
        self.is_lent = self.is_written


def room(line: Line | None, sent: int) -> bool:
    """Return whether a sender that has sent so many takes another."""
    budget = Budget()
    for _ in range(sent):
        budget.note_order()
    context = SimpleNamespace(line=line, rest=SimpleNamespace(budget=budget))
    return OrderSender(context)._has_room()  # type: ignore[arg-type]


@pytest.mark.parametrize(("sent", "fits"), [(0, True), (ORDERS_10S - 1, True), (ORDERS_10S, False)])
def test_without_a_line_the_limit_is_the_limit(sent: int, fits: bool) -> None:
    assert room(None, sent) == fits
    assert room(Line(is_lent=False, is_written=False), sent) == fits


def test_a_line_is_taken_back_for_the_last_order_of_an_interval() -> None:
    """Once both sent it: the venue answered 429 to the second."""
    line = Line(is_lent=True, is_written=False)
    assert room(line, ORDERS_10S - 1)
    assert line.released == 1


def test_what_the_kernel_thread_has_written_counts_before_it_is_seen() -> None:
    line = Line(is_lent=True, is_written=True)
    assert not room(line, ORDERS_10S - 1)
    assert room(line, ORDERS_10S - 2)


def test_with_room_for_both_the_line_stays_lent() -> None:
    line = Line(is_lent=True, is_written=False)
    assert room(line, ORDERS_10S - 2)
    assert line.released == 0
