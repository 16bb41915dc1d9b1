"""The control segment: who runs, in which state, and who has halted trading.

Every word has one writer. Main writes page 0 (except the operator words, which `aegis halt` and
`aegis resume` write under a file lock when the API is dead), each role writes its own page, and
everybody reads everything. Standard library only: the main process imports this before numpy.

        page 0   main      words 0..7 segment header, then MAIN_*, OPERATOR_* on a line of its own;
                           AEGIS_HOME as text, for whoever finds the segment after our death
        page 1   feed      ROLE_* words, heartbeats 128 bytes apart, progress text
        page 2   brain: and entries that wait for an operator's word (`held_page`)
        page 3   orchestrator
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from ringbuffer.segment import Segment

PAGE_BYTES = 4096
PAGE_WORDS = PAGE_BYTES // 8
CONTROL_BYTES = 4 * PAGE_BYTES
HEARTBEAT_WORD_FIRST = 32
HEARTBEAT_WORD_STRIDE = 16  # 128 bytes: adjacent-line prefetch does not couple two writers
HEARTBEAT_COUNT_MAX = 8
PROGRESS_BYTE_FIRST = 2048
PROGRESS_BYTES_MAX = 256
HOME_BYTE_FIRST = 2048  # of page 0
HOME_BYTES_MAX = 2048


class MainWord(IntEnum):
    """Words of page 0, written by main."""

    TRADING_STATE = 8
    TRADING_STATE_REASON = 9
    STOPPING = 10  # 1 once a stop has begun
    ARMED = 11  # bit 0 ALLOW_ORDERS=1, bit 1 DRY_RUN=0, bit 2 ENABLE_ORDER_EXEC=1
    EPOCH = 12
    EXEC_START_NS = 13  # CLOCK_MONOTONIC
    SOCKET_BOUND_NS = 14
    FIRST_HEALTH_NS = 15
    HEARTBEAT_NS = 16
    API_HEARTBEAT_NS = 17
    API_PORT = 18
    STOP_FEED = 19  # 0 none, 1 drain, 2 now; one per role because they stop in order
    STOP_BRAIN = 20
    STOP_ORCHESTRATOR = 21
    MARKET_HELD = 22  # 1 while the practice market waits for a brain that can see it
    FEED_REQUEST = 23  # what is asked of the feed (`feed_words`)


class OperatorWord(IntEnum):
    """Words of page 0 written by the command line when the API is dead."""

    TRADING_STATE = 32
    REASON = 33


class RoleWord(IntEnum):
    """Words of a role's page."""

    PID = 0
    PID_START = 1
    STATE = 2
    TRADING_STATE = 3
    TRADING_STATE_REASON = 4
    EXIT_REASON = 5
    SPAWNED_NS = 8  # CLOCK_MONOTONIC, as all below
    ATTACHED_NS = 9
    WARM_NS = 10
    SYNCED_NS = 11
    READY_NS = 12
    FIRST_RECORD_NS = 13
    PROGRESS_DONE = 16
    PROGRESS_TOTAL = 17
    REQUEST_DONE = 18  # the feed's, as the next two (`feed_words`)
    REQUEST_RESULT = 19
    CARRIED_BY = 20


class RoleState(IntEnum):
    """Life of a role, in order."""

    NONE = 0
    SPAWNED = 1
    ATTACHED = 2
    WARMING = 3
    WARM = 4
    SYNCED = 5
    READY = 6
    STOPPING = 7
    STOPPED = 8
    FAULTED = 9


class RolePage(IntEnum):
    """Page of each role."""

    FEED = 1
    BRAIN = 2
    ORCHESTRATOR = 3


class ControlSegment:
    """Typed access to the words. Create in main, attach elsewhere."""

    def __init__(self, segment: Segment) -> None:
        """Wrap a mapped segment of CONTROL_BYTES; the segment stays owned by the caller."""
        assert len(segment.buffer) >= CONTROL_BYTES, len(segment.buffer)
        self.segment = segment
        self._words = segment.buffer.cast("q")
        self._bytes = segment.buffer

    def main(self, word: MainWord | OperatorWord) -> int:
        """Return one word of page 0."""
        return self._words[word]

    def set_main(self, word: MainWord | OperatorWord, number: int) -> None:
        """Write one word of page 0; only its one writer may call this."""
        self._words[word] = number

    def role(self, page: RolePage, word: RoleWord) -> int:
        """Return one word of a role's page."""
        return self._words[page * PAGE_WORDS + word]

    def set_role(self, page: RolePage, word: RoleWord, number: int) -> None:
        """Write one word of a role's page; only that role may call this."""
        self._words[page * PAGE_WORDS + word] = number

    def words(self, page: RolePage, first: int, count: int) -> list[int]:
        """Return consecutive words of a role's page."""
        start = page * PAGE_WORDS + first
        return self._words[start : start + count].tolist()

    def set_words(self, page: RolePage, first: int, numbers: Sequence[int]) -> None:
        """Write consecutive words of a role's page; only that role may call this."""
        for k, number in enumerate(numbers, start=page * PAGE_WORDS + first):
            self._words[k] = number

    def stop_request(self, page: RolePage) -> int:
        """Return what main asks of a role: 0 go on, 1 drain and stop, 2 stop now."""
        return self._words[MainWord.STOP_FEED + page - RolePage.FEED]

    def request_stop(self, page: RolePage, how: int) -> None:
        """Ask one role to stop; main only."""
        self._words[MainWord.STOP_FEED + page - RolePage.FEED] = how

    def heartbeat_ns(self, page: RolePage, thread: int) -> int:
        """Return when a thread of a role last beat; 0: never."""
        return self._words[self.heartbeat_word(page, thread)]

    def beat(self, page: RolePage, thread: int, now_ns: int) -> None:
        """Write a thread's heartbeat; one word per thread."""
        self._words[self.heartbeat_word(page, thread)] = now_ns

    @staticmethod
    def heartbeat_word(page: RolePage, thread: int) -> int:
        """Return the word index of a heartbeat, for kernels that write it themselves."""
        assert 0 <= thread < HEARTBEAT_COUNT_MAX, thread
        return page * PAGE_WORDS + HEARTBEAT_WORD_FIRST + HEARTBEAT_WORD_STRIDE * thread

    def address_of(self, word: int) -> int:
        """Return the address of a word in this process, for kernels; borrowed until `close`."""
        return self.segment.address + 8 * word

    def address_of_role(self, page: RolePage, word: RoleWord) -> int:
        """Return the address of a word of a role's page; borrowed until `close`."""
        return self.address_of(page * PAGE_WORDS + word)

    def progress(self, page: RolePage) -> str:
        """Return what a role says it is doing."""
        first = page * PAGE_BYTES + PROGRESS_BYTE_FIRST
        return self._text(first, PROGRESS_BYTES_MAX).decode("utf-8", "replace")

    def set_progress(self, page: RolePage, text: str) -> None:
        """Say what this role is doing; cut to the room there is."""
        raw = text.encode()[: PROGRESS_BYTES_MAX - 1].ljust(PROGRESS_BYTES_MAX, b"\0")
        first = page * PAGE_BYTES + PROGRESS_BYTE_FIRST
        self._bytes[first : first + PROGRESS_BYTES_MAX] = raw

    def home(self) -> Path | None:
        """Return the engine's AEGIS_HOME; None: it did not fit, or nobody wrote it."""
        raw = self._text(HOME_BYTE_FIRST, HOME_BYTES_MAX)
        return Path(os.fsdecode(raw)) if raw else None

    def set_home(self, home: Path) -> None:
        """Write down AEGIS_HOME, absolute; main only, before any role is spawned."""
        raw = os.fsencode(home.absolute())
        if len(raw) < HOME_BYTES_MAX:
            self._bytes[HOME_BYTE_FIRST : HOME_BYTE_FIRST + len(raw)] = raw

    def trading_state(self) -> int:
        """Return the effective trading state: the most severe of all writers."""
        return max(
            self._words[MainWord.TRADING_STATE],
            self._words[OperatorWord.TRADING_STATE],
            *(self._words[page * PAGE_WORDS + RoleWord.TRADING_STATE] for page in RolePage),
        )

    def _text(self, first: int, size: int) -> bytes:
        return bytes(self._bytes[first : first + size]).split(b"\0", 1)[0]

    def close(self) -> None:
        """Release the views, then the mapping."""
        self._words.release()
        self.segment.close()


def segment_name(instance: str, kind: str) -> str:
    """Return the name of one of an instance's segments; the kinds are in `segments.py`."""
    return f"aegis-{instance}-{kind}"
