"""The dead man's switch: armed while an order of ours rests, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from engine.domain.codes import EventType, OrderStatus
from engine.venues.binance import countdown as module
from engine.venues.binance.countdown import INSTRUMENTS_MAX, Countdown
from engine.venues.order_records import Report
from engine.venues.venue import VenueUnreachableError
from tests.order_side import DEADLINE_S

COUNTDOWN_MS = 90


class Venue:
    """Keeps what is set, and fails when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.failures = 0
        self.hangs = False

    async def set(self, index: int, countdown_ms: int) -> None:
        """Set one switch."""
        if self.hangs:
            await asyncio.Event().wait()
        self.asked.append((index, countdown_ms))
        if self.failures:
            self.failures -= 1
            raise VenueUnreachableError("away")


def told(
    name: str,
    status: OrderStatus,
    index: int = 0,
    *,
    sequence: int = 1,
    kind: EventType = EventType.ORDER_UPDATE,
) -> Report:
    number = {"order_sequence": sequence, "venue_order_id": 7}
    return Report(kind, index, order_status=status, text=name, **number)


def play(
    scene: Callable[[Countdown, Venue], Awaitable[None]], countdown_ms: int = COUNTDOWN_MS
) -> None:
    """Run a scene while the switches are kept."""

    async def scenario() -> None:
        venue = Venue()
        countdown = Countdown(countdown_ms, venue.set)
        task = asyncio.create_task(countdown.run())
        await scene(countdown, venue)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition with a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  any condition
            await asyncio.sleep(0.001)


def test_armed_while_an_order_rests_refreshed_and_disarmed_after_the_last() -> None:
    async def scene(countdown: Countdown, venue: Venue) -> None:
        countdown.note(told("a", OrderStatus.NEW))
        countdown.note(told("b", OrderStatus.NEW))
        await until(lambda: venue.asked.count((0, COUNTDOWN_MS)) >= 3)
        countdown.note(told("a", OrderStatus.FILLED, kind=EventType.FILL))
        countdown.note(told("b", OrderStatus.PARTIALLY_FILLED, kind=EventType.FILL))
        assert (0, 0) not in venue.asked
        countdown.note(told("b", OrderStatus.CANCELED))
        await until(lambda: venue.asked[-1] == (0, 0))
        assert countdown.armed == set()
        count = len(venue.asked)
        await asyncio.sleep(3 * COUNTDOWN_MS / 1_000)
        assert len(venue.asked) == count, "nothing rests, so nothing is asked"

    play(scene)


def test_an_instrument_that_is_quoted_again_and_again_is_set_once() -> None:
    async def scene(countdown: Countdown, venue: Venue) -> None:
        for name in "abcdefgh":
            countdown.note(told(name, OrderStatus.NEW))
            await until(lambda: countdown.armed == {0})
            countdown.note(told(name, OrderStatus.CANCELED))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        countdown.note(told("other", OrderStatus.NEW, 1))
        await until(lambda: 1 in countdown.armed)
        assert venue.asked == [(0, 90_000), (1, 90_000)], "the refresh is far away"
        countdown.note(told("by hand", OrderStatus.NEW, 0, sequence=0, kind=EventType.VENUE_ORDER))
        await until(lambda: countdown.armed == {1})
        assert venue.asked[-1] == (0, 0), "a foreign order is not cancelled with ours"

    play(scene, 90_000)


def test_refresh_that_fails_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.005)

    async def scene(countdown: Countdown, venue: Venue) -> None:
        venue.failures = 3
        countdown.note(told("a", OrderStatus.NEW))
        await until(lambda: countdown.armed == {0})
        assert len(venue.asked) == 4
        assert isinstance(countdown.last_error, VenueUnreachableError)

    play(scene)


def test_instrument_with_a_foreign_order_is_left_alone() -> None:
    async def scene(countdown: Countdown, venue: Venue) -> None:
        seen = EventType.VENUE_ORDER
        countdown.note(told("by hand", OrderStatus.NEW, 1, sequence=0, kind=seen))
        countdown.note(told("a", OrderStatus.NEW, 1))
        countdown.note(told("b", OrderStatus.NEW, 2))
        await until(lambda: countdown.armed == {2})
        assert {index for index, _ in venue.asked} == {2}
        countdown.note(told("by hand", OrderStatus.CANCELED, 1, sequence=0))
        await until(lambda: countdown.armed == {1, 2})
        countdown.note(told("again", OrderStatus.NEW, 1, sequence=0))
        await until(lambda: countdown.armed == {2})

    play(scene)


@pytest.mark.parametrize("kind", [EventType.VENUE_ORDER, EventType.ORDER_UPDATE])
def test_a_conditional_order_of_somebody_else_takes_no_protection_away(kind: EventType) -> None:
    async def scene(countdown: Countdown, _venue: Venue) -> None:
        waiting = told("stop by hand", OrderStatus.NEW, 1, sequence=0, kind=kind)
        countdown.note(waiting._replace(venue_order_id=0))
        countdown.note(told("a", OrderStatus.NEW, 1))
        await until(lambda: countdown.armed == {1})
        countdown.note(waiting)
        await until(lambda: not countdown.armed)

    play(scene)


def test_only_so_many_are_armed_and_those_stay() -> None:
    async def scene(countdown: Countdown, _venue: Venue) -> None:
        for index in range(INSTRUMENTS_MAX + 5, 4, -1):
            countdown.note(told("a", OrderStatus.NEW, index))
        await until(lambda: len(countdown.armed) == INSTRUMENTS_MAX)
        armed = set(countdown.armed)
        countdown.note(told("a", OrderStatus.NEW, 0))
        assert countdown.wanted() == armed
        countdown.note(told("a", OrderStatus.CANCELED, min(armed)))
        await until(lambda: 0 in countdown.armed)
        assert len(countdown.armed) == INSTRUMENTS_MAX

    play(scene)


def test_picture_of_the_account_forgets_what_is_gone_and_nothing_newer() -> None:
    async def scene(countdown: Countdown, _venue: Venue) -> None:
        countdown.note(told("gone", OrderStatus.NEW, 0))
        countdown.note(told("stays", OrderStatus.NEW, 1))
        before = countdown.resting()
        countdown.note(told("newer", OrderStatus.NEW, 2))
        picture = [told("stays", OrderStatus.NEW, 1, kind=EventType.VENUE_ORDER)]
        countdown.forget_absent(before, picture)
        assert countdown.wanted() == {1, 2}

    play(scene)


def test_orderly_stop_disarms_and_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DISARM_S", 0.05)

    async def scene(countdown: Countdown, venue: Venue) -> None:
        countdown.note(told("a", OrderStatus.NEW))
        await until(lambda: countdown.armed == {0})
        await countdown.disarm()
        assert venue.asked[-1] == (0, 0)
        countdown.armed.add(0)
        venue.hangs = True
        await countdown.disarm()
        assert countdown.armed == {0}

    play(scene)


@pytest.mark.parametrize(
    "report",
    [
        Report(EventType.ORDER_UPDATE, -1, order_status=OrderStatus.NEW, text="a"),
        Report(EventType.ORDER_UPDATE, 0, order_status=OrderStatus.NEW),
        Report(EventType.ORDER_SENT, 0, order_status=OrderStatus.NEW, text="a"),
        Report(EventType.ORDER_UPDATE, 0, order_status=OrderStatus.NONE, text="a"),
    ],
)
def test_report_that_tells_of_no_resting_order_arms_nothing(report: Report) -> None:
    async def scene(countdown: Countdown, _venue: Venue) -> None:
        countdown.note(report)
        assert countdown.wanted() == set()

    play(scene)
