"""What the kernel thread's loop works on: its words, its bounds, and the arrays it is handed.

Constants here are compiled into the loop; the kernel cache's name covers this file.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from engine.domain.kernel import Integers, Records

STEP_RECORDS_MAX = 256
STEP_REPORTS_MAX = 64
STEP_CONTROLS_MAX = 16
SLICE_NS_MAX = 10_000_000  # the thread answers to Python this often
TIMER_NS = 10_000_000  # a step without records: timeouts, reconciliation, the day's end
ROOM_PAUSE_NS = 200_000  # between two looks at a full ring or an unsynced journal
MARK_HOLD_NS = 100_000_000  # longest a row waits for others while nothing happens
SPIN_LOOKS = 16  # looks between two readings of the clock
LOOP_WORDS = 32
LINE_ARMED = 1  # AEGIS_LINE_ARMED of `native_ext/order_line.h`


class LoopWord(IntEnum):
    """Words of the loop. Addresses are of int64 words in this process."""

    STOP = 0  # Python stores 1 to end a slice early
    STOP_ADDRESS = 1
    SPIN_NS = 2
    HEARTBEAT_ADDRESS = 3
    STATE_ADDRESS = 4  # the brain's trading state in the control segment
    REASON_ADDRESS = 5
    SYNCED_ADDRESS = 6  # journal's synced sequence; 0: durability `ring`
    OUTER_ADDRESS = 7  # first of OUTER_COUNT addresses of others' trading states
    OUTER_COUNT = 15
    NEXT_TIMER_NS = 16
    MARK_ROWS = 17
    EVENTS_FULL = 18  # 1: halted because the journal does not keep up
    EVICTED = 19  # 1: main took us out of a ring; the role must die
    FULL_COUNT = 20
    SLEEP_COUNT = 21
    STEP_COUNT = 22
    RECORD_COUNT = 23
    REJECT_COUNTER = 24  # counter of the first firewall reason; the others follow
    STARTED_NS = 25  # time of the first step
    YIELDS = 26  # 1: give the core away between two looks instead of pausing
    LINE = 27  # address of the order line; 0: none, every order is the executor's to write
    LINE_TAKE = 28  # addresses of two functions of `native_ext/order_line.c`
    LINE_WRITE = 29
    VECTOR_COUNTER = 30  # counter of the vectors kept; the next one counts those lost


class SliceEnd(IntEnum):
    """Why a slice ended."""

    OVER = 0
    STOPPED = 1
    EVICTED = 2


class Ports(NamedTuple):
    """Everything the loop touches besides the state: rings, slots and counters, all borrowed."""

    words: Integers  # int64[LOOP_WORDS], by LoopWord
    clock: Integers  # int64[8]
    market_ring: Integers  # int64[16], reader
    market_slots: Records
    report_ring: Integers
    report_slots: Records
    control_ring: Integers
    control_slots: Records
    event_ring: Integers  # int64[16], producer
    event_slots: Records
    mark: Records  # EVENT_DTYPE[1], the drain mark that is held back
    mark_words: Integers  # int64[32], the same memory
    command_ring: Integers
    command_slots: Records
    vector_ring: Integers  # int64[16], producer
    vector_slots: Records
    lag: Integers  # histogram: receive time until the batch's answer is published
    decide: Integers  # histogram: one step
    counters: Integers  # int64[512], this role's page
    tallies: Integers  # the state's counts
    tally_map: Integers  # int64[n, 2]: counter <- tally
    word_map: Integers  # int64[n, 2]: counter <- word of the state
    rejects: Integers  # the state's counts of refused market records, by reason
