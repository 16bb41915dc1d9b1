"""An instrument is held while anybody has a reason, and told once."""

from __future__ import annotations

from engine.domain.codes import Channel
from engine.processes.feed_holds import EntryHolds


class Core:
    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.flushed = 0

    def hold(self, index: int, channel: int, _now_ns: int, is_held: int) -> None:
        assert channel == Channel.QUOTE
        self.calls.append((index, is_held))

    def flush(self, _now_ns: int) -> int:
        self.flushed += 1
        return 0


def test_the_core_hears_of_the_first_reason_and_of_the_last() -> None:
    core = Core()
    holds = EntryHolds(core)
    holds.set("late", (0, 1), 5, is_held=True)
    holds.set("polled", (0,), 6, is_held=True)
    holds.set("late", (0, 1), 7, is_held=True)
    holds.set("late", (0, 1), 8, is_held=False)
    assert core.calls == [(0, 1), (1, 1), (1, 0)]
    assert holds.held("polled") == [0]
    holds.set("polled", (0,), 9, is_held=False)
    assert core.calls[-1] == (0, 0)
    assert core.flushed == 5


def test_one_reason_is_dropped_without_the_others() -> None:
    core = Core()
    holds = EntryHolds(core)
    listing = holds.of("listing")
    listing.hold(2, Channel.QUOTE, 1, 1)
    holds.set("late", (2,), 2, is_held=True)
    listing.hold(2, Channel.QUOTE, 3, 0)
    assert core.calls == [(2, 1)]
    assert listing.flush(4) == 0


def test_what_nobody_holds_is_not_let_go() -> None:
    core = Core()
    EntryHolds(core).set("late", (0,), 1, is_held=False)
    assert core.calls == []
