"""What main asks of the feed with one word, and the feed's answer (ADR 0034).

        main's page   FEED_REQUEST    number << 24 | request << 16 | argument; 0: none yet
        feed's page   REQUEST_RESULT  number << 8 | answer, such as the number of an incident
                      REQUEST_DONE    the request it answers, stored last
                      CARRIED_BY      the lines that carry what is not lost: first or second

One request at a time: main waits for its answer or takes it back, and the feed does each number
once. It looks once a cycle. Standard library and ringbuffer only.
"""

from __future__ import annotations

import threading
import time
from enum import IntEnum
from typing import Final, NamedTuple

from engine.processes.control import ControlSegment, MainWord, RolePage, RoleWord
from native_ext import _native

ARGUMENT_BITS: Final = 16
REQUEST_BITS: Final = 8
ANSWER_BITS: Final = 8
NUMBER_SHIFT: Final = ARGUMENT_BITS + REQUEST_BITS
ALL: Final = (1 << ARGUMENT_BITS) - 1  # of an argument: every instrument
ANSWER_S: Final = 0.5  # fifty cycles of the feed
TURN_S: Final = 0.002


class FeedRequest(IntEnum):
    """What can be asked."""

    NOTHING = 0  # the last request was taken back
    CARRY_BY = 1  # argument: FeedLine
    FIND_GAPS = 2  # argument: instrument_index, or ALL
    FOLLOW_ONBOARDED = 3  # the file of what is onboarded has changed (ADR 0041)


class FeedLine(IntEnum):
    """Which line of each plan carries it; the other stands in."""

    FIRST = 0
    SECOND = 1


class FeedAnswer(IntEnum):
    """What came of a request."""

    NOTHING = 0  # there is no such request, or this feed has just begun
    SWITCHING = 1  # number: plans
    CARRIED = 2  # by that line already
    NO_SECOND = 3  # `sources.backup` is off
    BOTH = 4  # `sources.backup` is always: each plan has both
    WHOLE = 5  # nothing is missing
    INCIDENT = 6  # number: of the incident
    DOWN = 7  # nothing carries it now
    BUSY = 8  # number: of the incident that is still open
    CROWDED = 9  # too many incidents are open for one more
    LOOKING = 10  # at what the venue lists, for what is onboarded; number: symbols
    UNREADABLE = 11  # the file of what is onboarded: what was known before is followed


class Answered(NamedTuple):
    """An answer and its number."""

    answer: FeedAnswer
    number: int


class Asked(NamedTuple):
    """A request as the feed reads it."""

    request: int
    argument: int


class FeedWords:
    """Main's side."""

    def __init__(self, control: ControlSegment) -> None:
        """Ask over a control segment; it stays the caller's."""
        self._control = control
        self._one_at_a_time = threading.Lock()

    def ask(self, request: FeedRequest, argument: int) -> Answered | None:
        """Return the feed's answer; None: it did not answer in time and is asked no longer."""
        assert 0 <= argument <= ALL, argument
        with self._one_at_a_time:
            answered = self._ask(request, argument)
            if answered is None:
                self._put(FeedRequest.NOTHING, 0)
            return answered

    def carried_by(self) -> FeedLine:
        """Return the lines that carry what is not lost."""
        return FeedLine(self._control.role(RolePage.FEED, RoleWord.CARRIED_BY))

    def _put(self, request: FeedRequest, argument: int) -> int:
        request_at = self._control.address_of(MainWord.FEED_REQUEST)
        number = (_native.load_acquire(request_at) >> NUMBER_SHIFT) + 1
        word = number << NUMBER_SHIFT | request << ARGUMENT_BITS | argument
        _native.store_release(request_at, word)
        return word

    def _ask(self, request: FeedRequest, argument: int) -> Answered | None:
        done_at = self._control.address_of_role(RolePage.FEED, RoleWord.REQUEST_DONE)
        word = self._put(request, argument)
        deadline_s = time.monotonic() + ANSWER_S
        # MEMORY: acquire; the result is complete before its request. Pairs with FeedRequests.done.
        while _native.load_acquire(done_at) != word:
            if time.monotonic() > deadline_s:
                return None
            time.sleep(TURN_S)
        result = self._control.role(RolePage.FEED, RoleWord.REQUEST_RESULT)
        return Answered(FeedAnswer(result & (1 << ANSWER_BITS) - 1), result >> ANSWER_BITS)


class FeedRequests:
    """The feed's side."""

    def __init__(self, control: ControlSegment) -> None:
        """Read from a control segment; it stays the caller's."""
        self._control = control
        self._word = 0  # the request that `take` returned last
        if self.take() is not None:  # asked of a feed before this one
            self.done(Answered(FeedAnswer.NOTHING, 0))

    def take(self) -> Asked | None:
        """Return a request that was not answered yet; None: there is none."""
        word = _native.load_acquire(self._control.address_of(MainWord.FEED_REQUEST))
        if word == self._control.role(RolePage.FEED, RoleWord.REQUEST_DONE):
            return None
        self._word = word
        return Asked(word >> ARGUMENT_BITS & (1 << REQUEST_BITS) - 1, word & ALL)

    def done(self, answered: Answered) -> None:
        """Answer the request that `take` returned."""
        result = answered.number << ANSWER_BITS | answered.answer
        self._control.set_role(RolePage.FEED, RoleWord.REQUEST_RESULT, result)
        done_at = self._control.address_of_role(RolePage.FEED, RoleWord.REQUEST_DONE)
        # MEMORY: release; the result is complete before its request. Pairs with FeedWords._ask.
        _native.store_release(done_at, self._word)

    def carried_by(self, line: FeedLine) -> None:
        """Say which lines carry what is not lost."""
        self._control.set_role(RolePage.FEED, RoleWord.CARRIED_BY, line)
