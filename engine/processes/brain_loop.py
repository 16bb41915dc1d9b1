"""The kernel thread's loop: drain control, report and market rings, decide, publish, wait.

One call runs for a slice (at most SLICE_NS_MAX) without the GIL and returns, so that Python can
look after the process. Nothing here decides anything: `engine.domain.decide.step` does, from
batches and a time. `brain_publish` says how what a step answered leaves.

INVARIANT: a step runs only when the event ring has room for all it may emit; a full event ring is
HALTED until an operator resumes, never an unrecorded order. Without room for commands steps wait.

MEMORY: words of the control segment are read and written relaxed: whole words that stand alone.
"""

from __future__ import annotations

from engine.domain.codes import EventType, TradingState
from engine.domain.decide import decide
from engine.domain.desk import OUT_CONTROLS_CONSUMED, OUT_REPORTS_CONSUMED, Out
from engine.domain.intent import book_order
from engine.domain.kernel import Integers, exported, kernel
from engine.domain.market_state import VECTORS_WAITING
from engine.domain.records import MARK_WORD_FIRST
from engine.domain.state import State
from engine.domain.words import Word
from engine.processes.brain_ahead import fetch_ahead
from engine.processes.brain_publish import flush_marks, has_room, hold_mark, publish_step
from engine.processes.brain_rings import READER
from engine.processes.brain_vectors import publish_vectors
from engine.processes.brain_words import (
    MARK_HOLD_NS,
    ROOM_PAUSE_NS,
    SPIN_LOOKS,
    STEP_CONTROLS_MAX,
    STEP_RECORDS_MAX,
    STEP_REPORTS_MAX,
    TIMER_NS,
    LoopWord,
    Ports,
    SliceEnd,
)
from ringbuffer.atomics import (
    fence_seq_cst,
    futex_wait,
    load_relaxed,
    pause,
    store32_relaxed,
    store_relaxed,
    yield_core,
)
from ringbuffer.kernels import (
    advance,
    next_sequence,
    now_ns,
    poll,
    ready,
    record_latency,
)
from ringbuffer.layout import (
    HANDLE_MASK,
    HANDLE_WAIT,
)

_RESUME = int(EventType.CONTROL_RESUME)
_HALTED = int(TradingState.HALTED)
_OVER = int(SliceEnd.OVER)
_STOPPED = int(SliceEnd.STOPPED)
_EVICTED = int(SliceEnd.EVICTED)


@kernel
def outer_state(words: Integers) -> int:
    """Return the most severe trading state that others, or a full event ring, ask for."""
    severest = _HALTED if words[LoopWord.EVENTS_FULL] else 0
    for k in range(words[LoopWord.OUTER_COUNT]):
        severest = max(severest, load_relaxed(words[LoopWord.OUTER_ADDRESS + k]))
    return severest


@kernel
def show_state(words: Integers, desk_words: Integers) -> None:
    """Write our own trading state and its reason where everybody reads it."""
    own = desk_words[Word.OWN_STATE]
    if words[LoopWord.EVENTS_FULL]:
        own = _HALTED
    store_relaxed(words[LoopWord.REASON_ADDRESS], desk_words[Word.STATE_REASON])
    store_relaxed(words[LoopWord.STATE_ADDRESS], own)


@kernel
def note_resume(ports: Ports, first: int, count: int) -> None:
    """Let an operator's resume end the halt of a full event ring."""
    mask = ports.control_ring[HANDLE_MASK]
    for k in range(count):
        if ports.control_slots["event_type"][(first + k) & mask] == _RESUME:
            ports.words[LoopWord.EVENTS_FULL] = 0


@kernel
def note_latency(ports: Ports, first: int, count: int, before_ns: int, after_ns: int) -> None:
    """Count the lag of every record of a batch and what its step took, publishing included.

    What was received before the loop ran waited for us to start: that is not a lag.
    """
    mask = ports.market_ring[HANDLE_MASK]
    started_ns = ports.words[LoopWord.STARTED_NS]
    for k in range(count):
        received_ns = ports.market_slots["receive_time_ns"][(first + k) & mask]
        if received_ns >= started_ns:
            record_latency(ports.lag, after_ns - received_ns)
    if count > 0:
        record_latency(ports.decide, after_ns - before_ns)


@kernel
def run_step(
    ports: Ports, state: State, out: Out, markets: int, reports: int, controls: int, time_ns: int
) -> int:
    """Run one step over what was polled and publish its answer; return when that was out."""
    words = ports.words
    market_first = next_sequence(ports.market_ring, READER)
    report_first = next_sequence(ports.report_ring, READER)
    control_first = next_sequence(ports.control_ring, READER)
    if markets == 1:
        fetch_ahead(ports, state, market_first)
    if controls > 0:
        note_resume(ports, control_first, controls)
    outer = outer_state(words)
    consumed = decide(
        state,
        ports.control_slots,
        control_first,
        controls,
        ports.control_ring[HANDLE_MASK],
        ports.report_slots,
        report_first,
        reports,
        ports.report_ring[HANDLE_MASK],
        ports.market_slots,
        market_first,
        markets,
        ports.market_ring[HANDLE_MASK],
        time_ns,
        outer,
        out,
    )
    publish_step(ports, out)
    after_ns = now_ns(ports.clock)
    book_order(state.desk)
    if state.market.progress[VECTORS_WAITING] > 0:
        publish_vectors(ports, state.market)
    note_latency(ports, market_first, consumed, time_ns, after_ns)
    advance(ports.control_ring, READER, control_first + out.counts[OUT_CONTROLS_CONSUMED])
    advance(ports.report_ring, READER, report_first + out.counts[OUT_REPORTS_CONSUMED])
    if advance(ports.market_ring, READER, market_first + consumed) != 0:
        words[LoopWord.EVICTED] = 1
    hold_mark(ports, time_ns, outer)
    show_state(words, state.desk.words)
    words[LoopWord.STEP_COUNT] += 1
    words[LoopWord.RECORD_COUNT] += consumed
    words[LoopWord.NEXT_TIMER_NS] = time_ns + TIMER_NS
    return after_ns


@kernel
def halt_for_room(ports: Ports, state: State) -> None:
    """The journal does not keep up: halt, and look again after a pause."""
    words = ports.words
    words[LoopWord.EVENTS_FULL] = 1
    words[LoopWord.FULL_COUNT] += 1
    show_state(words, state.desk.words)
    futex_wait(words[LoopWord.STOP_ADDRESS], 0, ROOM_PAUSE_NS)


@kernel
def has_work(ports: Ports) -> bool:
    """Return whether any ring has a record for us."""
    if ready(ports.market_ring, next_sequence(ports.market_ring, READER)):
        return True
    if ready(ports.report_ring, next_sequence(ports.report_ring, READER)):
        return True
    return ready(ports.control_ring, next_sequence(ports.control_ring, READER))


@kernel
def wait_for_work(ports: Ports, until_ns: int, time_ns: int) -> int:
    """Wait for a record, a stop or `until_ns`: spin, then sleep on the market ring; return now.

    Whoever publishes reports or controls wakes the market ring's sleepers.
    """
    words = ports.words
    spin_until_ns = min(time_ns + words[LoopWord.SPIN_NS], until_ns)
    while time_ns < spin_until_ns:
        for _ in range(SPIN_LOOKS):
            if has_work(ports):
                return now_ns(ports.clock)
            if words[LoopWord.YIELDS] != 0:
                yield_core()
            else:
                pause()
        time_ns = now_ns(ports.clock)
    if time_ns >= until_ns:
        return time_ns
    if words[LoopWord.MARK_ROWS] > 0 and time_ns - ports.mark_words[MARK_WORD_FIRST] > MARK_HOLD_NS:
        flush_marks(ports)
    # MEMORY: relaxed, ordered by the fence. Pairs with the load in wake.
    store32_relaxed(ports.market_ring[HANDLE_WAIT], 1)
    # MEMORY: seq_cst fence; our wait word is visible before we look. Pairs with the fence in wake.
    fence_seq_cst()
    if has_work(ports) or load_relaxed(words[LoopWord.STOP_ADDRESS]) != 0:
        return now_ns(ports.clock)
    words[LoopWord.SLEEP_COUNT] += 1
    futex_wait(ports.market_ring[HANDLE_WAIT], 1, until_ns - time_ns)
    return now_ns(ports.clock)


@kernel
def show_counts(ports: Ports, desk_words: Integers) -> None:
    """Show the state's counts and levels in the counters page."""
    for row in range(ports.tally_map.shape[0]):
        ports.counters[ports.tally_map[row, 0]] = ports.tallies[ports.tally_map[row, 1]]
    for row in range(ports.word_map.shape[0]):
        ports.counters[ports.word_map[row, 0]] = desk_words[ports.word_map[row, 1]]
    first = ports.words[LoopWord.REJECT_COUNTER]
    for reason in range(ports.rejects.shape[0]):
        ports.counters[first + reason] = ports.rejects[reason]


@exported
def run_slice(ports: Ports, state: State, out: Out, slice_ns: int) -> int:
    """Run the loop for one slice; return a SliceEnd.

    The first step after a start takes no record: its mark says where the rings stood.
    """
    words = ports.words
    time_ns = now_ns(ports.clock)
    end_ns = time_ns + slice_ns
    answer = _OVER
    while time_ns < end_ns:
        store_relaxed(words[LoopWord.HEARTBEAT_ADDRESS], time_ns)
        if load_relaxed(words[LoopWord.STOP_ADDRESS]) != 0:
            flush_marks(ports)
            answer = _STOPPED
            break
        first_step = words[LoopWord.STEP_COUNT] == 0
        markets = 0 if first_step else poll(ports.market_ring, READER, STEP_RECORDS_MAX)
        if markets < 0 or words[LoopWord.EVICTED]:
            answer = _EVICTED
            break
        if first_step:
            words[LoopWord.STARTED_NS] = time_ns
        reports = 0 if first_step else poll(ports.report_ring, READER, STEP_REPORTS_MAX)
        controls = 0 if first_step else poll(ports.control_ring, READER, STEP_CONTROLS_MAX)
        timer = words[LoopWord.NEXT_TIMER_NS]
        if markets + reports + controls == 0 and time_ns < timer:
            time_ns = wait_for_work(ports, min(timer, end_ns), time_ns)
        elif not has_room(ports.event_ring, out.events.shape[0] + 2):
            halt_for_room(ports, state)
            time_ns = now_ns(ports.clock)
        elif has_room(ports.command_ring, out.commands.shape[0]):
            time_ns = run_step(ports, state, out, markets, reports, controls, time_ns)
        else:  # the executor is behind, as after a thousand cancels: it is waited for
            futex_wait(words[LoopWord.STOP_ADDRESS], 0, ROOM_PAUSE_NS)
            time_ns = now_ns(ports.clock)
    show_counts(ports, state.desk.words)
    return answer
