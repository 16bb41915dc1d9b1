"""The brain's loop as the benches drive it: `brain_loop.run_step`, and what became of each record.

The loop is that of `run_slice`, without control ring, counters and start: poll, step, publish,
advance, wait. Beside it this one notes the time at which the step of each quote was over, and
plays the venue: whatever the brain orders is filled at once, at the quote, in the next step. Import
it after `kernel_cache.activate`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from engine.domain.codes import EventType, OrderStatus, RecordType
from engine.domain.desk import OUT_COMMANDS, Out
from engine.domain.kernel import Integers, Records, exported, kernel
from engine.domain.state import State
from engine.processes.brain_loop import run_step, wait_for_work
from engine.processes.brain_publish import publish_rows
from engine.processes.brain_rings import READER
from engine.processes.brain_words import (
    STEP_REPORTS_MAX,
    LoopWord,
    Ports,
    SliceEnd,
)
from ringbuffer.atomics import load_relaxed
from ringbuffer.kernels import advance, next_sequence, now_ns, poll
from ringbuffer.layout import HANDLE_MASK

_NEW = int(EventType.COMMAND_NEW)
_FILL = int(EventType.FILL)
_FILLED = int(OrderStatus.FILLED)
_OVER = int(SliceEnd.OVER)
_STOPPED = int(SliceEnd.STOPPED)
_QUOTE = int(RecordType.QUOTE)
NOTE_WORDS = 8
END_NS, ID_LOW, RECEIVED_NS = 0, 1, 2  # columns of a noted quote
EVENTS_TAKEN_MAX = 4_096


class NoteWord(IntEnum):
    """Words of the notes."""

    END = 0  # market sequence to stop before
    TAPE = 1  # 1: a step's time is the receive time of its last record, not the clock
    ORDERS = 2  # filled so far
    SHOULD_FILL = 3  # 0: nobody answers commands
    STEP_MAX = 4  # market records in a step, at most
    NOTED = 5  # quotes noted so far


class Notes(NamedTuple):
    """What the bench hands in and reads back."""

    words: Integers  # int64[NOTE_WORDS], by NoteWord
    noted: Integers  # int64[n, 3], a row per quote while there is room
    events_read: Integers  # the journal's end of the event ring
    commands_read: Integers  # the executor's end of the command ring
    reports: Integers  # the executor's end of the report ring
    rows: Records  # EVENT_DTYPE[m], room for the fills of a step


@kernel
def fill_orders(ports: Ports, state: State, out: Out, notes: Notes) -> None:
    """Take the step's commands from their ring and report each new order as filled."""
    count = out.counts[OUT_COMMANDS]
    rows = notes.rows
    filled = 0
    for k in range(count):
        if out.commands["event_type"][k] != _NEW:
            continue
        i = out.commands["instrument_index"][k]
        buys = out.commands["side"][k] > 0
        price = state.market.hot["ask_price_ticks"][i]
        if not buys:
            price = state.market.hot["bid_price_ticks"][i]
        notes.words[NoteWord.ORDERS] += 1
        rows[filled] = out.commands[k]
        rows["event_type"][filled] = _FILL
        rows["order_status"][filled] = _FILLED
        rows["cum_qty_lots"][filled] = rows["qty_lots"][filled]
        rows["last_qty_lots"][filled] = rows["qty_lots"][filled]
        rows["last_price_ticks"][filled] = price
        rows["venue_order_id"][filled] = notes.words[NoteWord.ORDERS]
        rows["trade_id"][filled] = notes.words[NoteWord.ORDERS]
        filled += 1
    if count > 0:
        taken = next_sequence(notes.commands_read, READER)
        advance(notes.commands_read, READER, taken + count)
    if filled > 0:
        publish_rows(notes.reports, ports.report_slots, rows, filled)


@kernel
def note_quotes(ports: Ports, notes: Notes, first: int, end_ns: int) -> None:
    """Note when the step of each quote from `first` on was over."""
    mask = ports.market_ring[HANDLE_MASK]
    at = notes.words[NoteWord.NOTED]
    for sequence in range(first, next_sequence(ports.market_ring, READER)):
        place = sequence & mask
        if ports.market_slots["record_type"][place] == _QUOTE and at < notes.noted.shape[0]:
            notes.noted[at, END_NS] = end_ns
            notes.noted[at, ID_LOW] = ports.market_slots["aux"][place]
            notes.noted[at, RECEIVED_NS] = ports.market_slots["receive_time_ns"][place]
            at += 1
    notes.words[NoteWord.NOTED] = at


@kernel
def drop_events(notes: Notes) -> None:
    """Take what waits in the event ring, as the journal does, and forget it."""
    first = next_sequence(notes.events_read, READER)
    count = poll(notes.events_read, READER, EVENTS_TAKEN_MAX)
    if count > 0:
        advance(notes.events_read, READER, first + count)


@exported
def run_noted(ports: Ports, state: State, out: Out, notes: Notes, slice_ns: int) -> int:
    """Run the loop for one slice; STOPPED once every record before END was decided on."""
    words = ports.words
    mask = ports.market_ring[HANDLE_MASK]
    is_tape = notes.words[NoteWord.TAPE] != 0
    clock_ns = now_ns(ports.clock)
    end_ns = clock_ns + slice_ns
    while clock_ns < end_ns:
        first = next_sequence(ports.market_ring, READER)
        markets = poll(ports.market_ring, READER, notes.words[NoteWord.STEP_MAX])
        reports = poll(ports.report_ring, READER, STEP_REPORTS_MAX)
        if markets + reports == 0:
            if first >= notes.words[NoteWord.END] or load_relaxed(words[LoopWord.STOP_ADDRESS]):
                return _STOPPED
            timer_ns = words[LoopWord.NEXT_TIMER_NS]
            if is_tape or clock_ns < timer_ns:
                clock_ns = wait_for_work(ports, min(max(timer_ns, clock_ns + 1), end_ns), clock_ns)
                continue
        time_ns = clock_ns
        if is_tape and markets > 0:
            time_ns = ports.market_slots["receive_time_ns"][(first + markets - 1) & mask]
        clock_ns = run_step(ports, state, out, markets, reports, 0, time_ns)
        if notes.words[NoteWord.NOTED] < notes.noted.shape[0]:
            note_quotes(ports, notes, first, clock_ns)
        if notes.words[NoteWord.SHOULD_FILL] != 0:
            fill_orders(ports, state, out, notes)
        if words[LoopWord.MARK_ROWS] <= 1:  # a drain mark, or a step's events, went out
            drop_events(notes)
    return _OVER
