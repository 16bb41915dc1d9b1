"""How what a step answered leaves the kernel thread: events, commands, an order's bytes, marks.

        marks of earlier steps -> its events -> its commands -> [order line] -> doorbell
        -> its own mark (held back)

A drain mark has up to MARKS_PER_RECORD rows, one per step: the time, and the last sequence taken
from market, report and control ring (-1: none yet) with the outer trading state. A row stands after
its step's events and before those of any later step, so replay feeds the same batches at the same
times. Rows are held back while nothing happens and written when the record is full, before a later
step's events, and when the loop goes to sleep with one older than MARK_HOLD_NS.

A step's one command, when it is a new order and the executor has lent a connection, is written to
the socket from here (`native_ext/order_line.h`). It is in the command ring before that, under
COMMAND_ON_LINE, so that the executor follows it as one of its own and nobody sends it twice.

INVARIANT: events, then the command, then the order's first byte. With durability `disk` commands
wait until the journal has their events on the disk.
"""

from __future__ import annotations

from engine.domain.codes import COMMAND_ON_LINE, EventType, OrderType
from engine.domain.desk import OUT_COMMANDS, OUT_EVENTS, Out
from engine.domain.kernel import Integers, Records, kernel
from engine.domain.records import MARK_WORD_FIRST, MARKS_PER_RECORD
from engine.processes.brain_rings import READER
from engine.processes.brain_words import LINE_ARMED, ROOM_PAUSE_NS, LoopWord, Ports
from ringbuffer.atomics import (
    address_of,
    call_at,
    fence_seq_cst,
    futex_wait,
    load32_relaxed,
    load_relaxed,
    ring_doorbell,
    store32_relaxed,
    store_relaxed,
    yield_core,
)
from ringbuffer.kernels import (
    begin,
    commit,
    gating_sequence,
    next_sequence,
    now_ns,
    prefetch_next,
    publish,
    try_claim,
    wake,
)
from ringbuffer.layout import (
    HANDLE_CAPACITY,
    HANDLE_DOORBELL,
    HANDLE_GATING,
    HANDLE_NEXT,
    HANDLE_WAIT,
)

ORDER_EVENTS = 3  # a mark of the steps before it, its decision, its request

_COMMAND_NEW = int(EventType.COMMAND_NEW)
_LIMIT = int(OrderType.LIMIT)  # the last kind that is written as it is: others are conditional
_MARK_ROWS_END = MARK_WORD_FIRST + 4 * MARKS_PER_RECORD


@kernel
def has_room(ring: Integers, n: int) -> bool:
    """Return whether a producer could claim n slots now; counts no refusal."""
    end = ring[HANDLE_NEXT] + n
    if end - ring[HANDLE_CAPACITY] <= ring[HANDLE_GATING]:
        return True
    ring[HANDLE_GATING] = gating_sequence(ring)
    return end - ring[HANDLE_CAPACITY] <= ring[HANDLE_GATING]


@kernel
def publish_rows(ring: Integers, slots: Records, rows: Records, n: int) -> int:
    """Publish the first n rows in order; return the sequence after the last. Room was checked.

    INVARIANT: their sequence is UNPUBLISHED, so that a busy slot stays busy until commit.
    """
    # WHY: they come so, because a store here would hold up the copy, which reads whole lines and
    # would have to wait until everything written before has left the store buffer.
    first = try_claim(ring, n)
    for k in range(n):
        slots[begin(ring, first + k)] = rows[k]
        commit(ring, first + k)
    publish(ring)
    return first + n


@kernel
def flush_marks(ports: Ports) -> None:
    """Publish the rows held back as one DRAIN_MARK; room for it was checked with the step's."""
    words = ports.words
    rows = words[LoopWord.MARK_ROWS]
    if rows == 0:
        return
    if not has_room(ports.event_ring, 1):
        return
    ports.mark["time_ns"][0] = ports.mark_words[MARK_WORD_FIRST + rows - 1]
    ports.mark["mark_count"][0] = rows
    publish_rows(ports.event_ring, ports.event_slots, ports.mark, 1)
    words[LoopWord.MARK_ROWS] = 0


@kernel
def hold_mark(ports: Ports, time_ns: int, outer: int) -> None:
    """Add this step's row; publishes the record when it is full."""
    rows = ports.words[LoopWord.MARK_ROWS]
    mark = ports.mark_words
    if rows == 0:
        for word in range(MARK_WORD_FIRST, _MARK_ROWS_END):
            mark[word] = 0
    place = MARK_WORD_FIRST + rows
    mark[place] = time_ns
    mark[place + MARKS_PER_RECORD] = next_sequence(ports.market_ring, READER) - 1
    mark[place + 2 * MARKS_PER_RECORD] = next_sequence(ports.report_ring, READER) - 1
    outer_word = (next_sequence(ports.control_ring, READER) - 1) * 8 + outer
    mark[place + 3 * MARKS_PER_RECORD] = outer_word
    ports.words[LoopWord.MARK_ROWS] = rows + 1
    if rows + 1 == MARKS_PER_RECORD:
        flush_marks(ports)
        prefetch_next(ports.event_ring, ORDER_EVENTS)


@kernel
def await_journal(ports: Ports, sequence: int) -> None:
    """Wait until the journal has every event below `sequence` on the disk, or a stop."""
    words = ports.words
    while load_relaxed(words[LoopWord.SYNCED_ADDRESS]) < sequence:
        if load_relaxed(words[LoopWord.STOP_ADDRESS]) != 0:
            return
        store_relaxed(words[LoopWord.HEARTBEAT_ADDRESS], now_ns(ports.clock))
        futex_wait(words[LoopWord.STOP_ADDRESS], 0, ROOM_PAUSE_NS)


@kernel
def wake_executor(ring: Integers) -> None:
    """Ring the doorbell if the executor waits for it; it never sleeps on the ring's futex."""
    # MEMORY: seq_cst fence; published slots are visible before we look for a sleeper. Pairs with
    # the fence in arm.
    fence_seq_cst()
    # MEMORY: relaxed, ordered by the fence. Pairs with the store in arm.
    if load32_relaxed(ring[HANDLE_WAIT]) != 0:
        # MEMORY: relaxed; who arms again sees our slots by its fence. Pairs with arm.
        store32_relaxed(ring[HANDLE_WAIT], 0)
        ring_doorbell(ring[HANDLE_DOORBELL])


@kernel
def take_line(words: Integers, ring: Integers, events_end: int) -> bool:
    """Take the order line for a step's only order, when it may be written from here.

    Not before the journal has its events, where that is asked for (a stop ends that wait early),
    and not past a command that the executor has not taken yet: orders leave in order.
    """
    # MEMORY: relaxed; only a hint, the exchange in aegis_line_take decides: no partner.
    if words[LoopWord.LINE] == 0 or load_relaxed(words[LoopWord.LINE]) != LINE_ARMED:
        return False
    synced = words[LoopWord.SYNCED_ADDRESS]
    if synced != 0 and load_relaxed(synced) < events_end:
        return False
    if gating_sequence(ring) != ring[HANDLE_NEXT]:
        return False
    return call_at(words[LoopWord.LINE_TAKE], words[LoopWord.LINE], 0) != 0


@kernel
def publish_commands(ports: Ports, out: Out, commands: int, events_end: int) -> None:
    """Publish a step's commands, and write a new order that is alone to a connection lent to us.

    INVARIANT: events, then the command, then the order's first byte.
    """
    words = ports.words
    on_line = commands == 1 and out.commands["event_type"][0] == _COMMAND_NEW
    on_line = on_line and out.commands["order_type"][0] <= _LIMIT
    on_line = on_line and take_line(words, ports.command_ring, events_end)
    if on_line:
        out.commands["order_status"][0] = COMMAND_ON_LINE
    publish_rows(ports.command_ring, ports.command_slots, out.commands, commands)
    if on_line:
        call_at(words[LoopWord.LINE_WRITE], words[LoopWord.LINE], address_of(out.commands))


@kernel
def publish_step(ports: Ports, out: Out) -> None:
    """Publish what a step emitted: earlier marks, events, then commands."""
    events = out.counts[OUT_EVENTS]
    commands = out.counts[OUT_COMMANDS]
    if events == 0:
        return
    flush_marks(ports)
    end = publish_rows(ports.event_ring, ports.event_slots, out.events, events)
    if commands > 0:
        if ports.words[LoopWord.SYNCED_ADDRESS] != 0:
            await_journal(ports, end)
        publish_commands(ports, out, commands, end)
        wake_executor(ports.command_ring)
        prefetch_next(ports.command_ring, 1)
        if ports.words[LoopWord.YIELDS] != 0:
            yield_core()  # the executor shares this core: the order leaves before others are woken
    wake(ports.event_ring)
