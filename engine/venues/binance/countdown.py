"""The venue's dead man's switch: orders that rest are cancelled there when we fall silent.

Per instrument: armed as soon as an order of ours rests, refreshed while one does, disarmed by the
next refresh after the last is gone, and at an orderly stop, where the engine itself decides what
stays. The switch cancels every order of the instrument, so it is not armed where a foreign order
rests too, and disarmed at once when one comes; and setting it has a price, so only so many
instruments are armed at once, and one that is quoted again and again is not set each time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from engine.domain.codes import EventType, OrderStatus, OrderType
from engine.venues.order_records import Report
from engine.venues.venue import VenueError

PATH: Final = "/fapi/v1/countdownCancelAll"
REFRESHES: Final = 3  # in one countdown: two may be lost
INSTRUMENTS_MAX: Final = 40  # 10 weight each, refreshed every 40 s: 600 of 2,400 a minute
RETRY_S: Final = 1.0
DISARM_S: Final = 1.0  # for all, at the stop
RESTING: Final = frozenset(
    {
        OrderStatus.NEW,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.PENDING_CANCEL,
        OrderStatus.PENDING_REPLACE,
    }
)
TOLD_BY: Final = frozenset({EventType.ORDER_UPDATE, EventType.FILL, EventType.VENUE_ORDER})

SetCountdown = Callable[[int, int], Awaitable[object]]


class Countdown:
    """One account's switches; `run` is a task on the executor's loop."""

    def __init__(self, countdown_ms: int, set_countdown: SetCountdown) -> None:
        """Prepare.

        Args:
            countdown_ms: silence after which the venue cancels; above 0.
            set_countdown: asks the venue, by instrument index and milliseconds; 0 disarms.
        """
        assert countdown_ms > 0, countdown_ms
        self._countdown_ms = countdown_ms
        self._set_countdown = set_countdown
        self._resting: dict[int, set[str]] = {}  # by instrument: ours
        self._foreign: dict[int, set[str]] = {}
        self._changed = asyncio.Event()
        self.armed: set[int] = set()
        self.last_error: VenueError | None = None

    def note(self, report: Report) -> None:
        """Hear a report about an order."""
        if report.event_type not in TOLD_BY or report.instrument_index < 0 or not report.text:
            return
        waits = report.order_sequence == 0 or report.order_type >= OrderType.STOP_MARKET
        if waits and not report.venue_order_id:
            return  # a conditional order: it waits at a desk that the switch does not reach
        orders = self._resting if report.order_sequence > 0 else self._foreign
        names = orders.setdefault(report.instrument_index, set())
        before = bool(names)
        if report.order_status in RESTING:
            names.add(report.text)
        else:
            names.discard(report.text)
        if bool(names) != before:
            self._changed.set()

    def resting(self) -> set[tuple[int, str]]:
        """Return the orders that rest as far as we know, ours and foreign, by instrument."""
        return {
            (index, name)
            for orders in (self._resting, self._foreign)
            for index, names in orders.items()
            for name in names
        }

    def forget_absent(self, before: set[tuple[int, str]], picture: Iterable[Report]) -> None:
        """Forget what rested before a picture of the account was taken and is not in it."""
        present = {
            (report.instrument_index, report.text)
            for report in picture
            if report.event_type == EventType.VENUE_ORDER
        }
        for index, name in before - present:
            for orders in (self._resting, self._foreign):
                orders.get(index, set()).discard(name)
            self._changed.set()

    def wanted(self) -> set[int]:
        """Return the instruments to be armed: those armed stay, others while there is room."""
        resting = {
            index
            for index, names in self._resting.items()
            if names and not self._foreign.get(index)
        }
        kept = self.armed & resting
        room = max(0, INSTRUMENTS_MAX - len(kept))
        return kept | set(sorted(resting - kept)[:room])

    async def run(self) -> None:
        """Keep the switches set until cancelled."""
        period_s = self._countdown_ms / 1_000 / REFRESHES
        due_s = 0.0
        while True:
            self._changed.clear()
            is_due = time.monotonic() >= due_s
            is_done = await (self._refresh() if is_due else self._follow())
            if is_due or not is_done:
                due_s = time.monotonic() + (period_s if is_done else RETRY_S)
            try:
                async with asyncio.timeout(max(due_s - time.monotonic(), 0.0)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def disarm(self) -> None:
        """Disarm what is armed, as far as the venue answers soon; the rest cancels itself."""
        try:
            async with asyncio.timeout(DISARM_S):
                await asyncio.gather(*(self._set(index, 0) for index in list(self.armed)))
        except TimeoutError:
            pass

    async def _refresh(self) -> bool:
        wanted = self.wanted()
        done = [await self._set(index, 0) for index in sorted(self.armed - wanted)]
        done += [await self._set(index, self._countdown_ms) for index in sorted(wanted)]
        return all(done)

    async def _follow(self) -> bool:
        """Arm what is new and leave what a foreign order came to; the rest waits for a refresh."""
        shared = [index for index in sorted(self.armed) if self._foreign.get(index)]
        done = [await self._set(index, 0) for index in shared]
        coming = sorted(self.wanted() - self.armed)[: max(0, INSTRUMENTS_MAX - len(self.armed))]
        done += [await self._set(index, self._countdown_ms) for index in coming]
        return all(done)

    async def _set(self, index: int, countdown_ms: int) -> bool:
        try:
            await self._set_countdown(index, countdown_ms)
        except VenueError as error:
            self.last_error = error
            return False
        if countdown_ms:
            self.armed.add(index)
        else:
            self.armed.discard(index)
        return True
