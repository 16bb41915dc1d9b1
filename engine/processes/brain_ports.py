"""The arrays through which the kernel thread reaches rings, counters and control words.

Everything a kernel gets is borrowed memory: drop the ports before closing the rings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.domain.arrays import aligned_zeros
from engine.domain.bar_close import update_features
from engine.domain.codes import EventType, Role
from engine.domain.decide import create_out, create_state
from engine.domain.desk import UNPUBLISHED, Out
from engine.domain.firewall import check_record
from engine.domain.instrument import instrument_rows
from engine.domain.instrument_row import Instrument, unit_instrument
from engine.domain.kernel import inner_of
from engine.domain.limits import RiskLimits
from engine.domain.market_step import apply_record
from engine.domain.quoting import make_quotes
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE, VECTOR_DTYPE
from engine.domain.risk_reasons import RISK_REASON_TEXT
from engine.domain.rotation import take_opportunity
from engine.domain.state import State
from engine.domain.strategy import run_on_bars, run_on_quote
from engine.domain.strategy_table import STRATEGY_TABLE
from engine.domain.vectors import log_vectors
from engine.domain.words import Tally, Word
from engine.processes.brain_rings import EVENT_SLOT_BYTES, Rings
from engine.processes.brain_words import LOOP_WORDS, SLICE_NS_MAX, LoopWord, Ports, SliceEnd
from engine.processes.kernel_image import LoopImage, Part, compile_for
from engine.telemetry import BRAIN_COUNTERS, BRAIN_HISTOGRAMS
from native_ext import _native
from ringbuffer.counters import PAGE_WORDS, CounterPage
from ringbuffer.idle import IdleKind, IdleStrategy, choose
from ringbuffer.ring import Ring

Answer = TypeVar("Answer")


# Counters of the brain's page that show a count of the state; the others are the loop's own.
TALLY_COUNTERS: dict[str, Tally] = {
    "records_total": Tally.RECORDS,
    "steps_total": Tally.STEPS,
    "decisions_total": Tally.DECISIONS,
    "orders_total": Tally.ORDERS,
    "fills_total": Tally.FILLS,
    "refusals_total": Tally.REFUSALS,
    "rejected_total": Tally.REJECTED_RECORDS,
    "exits_total": Tally.EXITS,
    "rotations_total": Tally.ROTATIONS,
    "scorer_faults_total": Tally.SCORER_FAULTS,
    "cancels_total": Tally.CANCELS,
    "amendments_total": Tally.AMENDMENTS,
    "orders_unknown_total": Tally.ORDERS_UNKNOWN,
    "orders_rejected_total": Tally.REJECTED_ORDERS,
    "fetches_total": Tally.FETCHES,
    "fetches_failed_total": Tally.FETCHES_FAILED,
    "reconciled_total": Tally.RECONCILED,
    "adjustments_total": Tally.ADJUSTMENTS,
    "round_trips_total": Tally.ROUND_TRIPS,
}


# Counters that show a word of the state: levels, not counts.
WORD_COUNTERS: dict[str, Word] = {
    "realised_pnl_e8": Word.REALISED_E8,
    "unrealised_pnl_e8": Word.UNREALISED_E8,
    "fees_e8": Word.FEE_E8,
    "funding_e8": Word.FUNDING_E8,
    "equity_e8": Word.EQUITY_E8,
    "day_start_equity_e8": Word.DAY_START_EQUITY_E8,
    "peak_equity_e8": Word.PEAK_EQUITY_E8,
    "day_entries": Word.DAY_ENTRY_COUNT,
    "orders_open": Word.OPEN_COUNT,
}


def counter_index(name: str) -> int:
    """Return a brain counter's word in its page."""
    return [counter.name for counter in BRAIN_COUNTERS].index(name)


def histogram_index(name: str) -> int:
    """Return a brain histogram's place in its page."""
    return [histogram.name for histogram in BRAIN_HISTOGRAMS].index(name)


class LoopAddresses(NamedTuple):
    """Addresses of control words, in this process."""

    heartbeat: int
    trading_state: int
    reason: int
    synced: int  # 0: durability `ring`
    outer: tuple[int, ...]  # trading states of everybody else


def loop_words(rings: Rings, addresses: LoopAddresses, idle: IdleStrategy) -> NDArray[np.int64]:
    """Return the words the loop starts with, by LoopWord."""
    words = np.zeros(LOOP_WORDS, dtype=np.int64)
    words[LoopWord.STOP_ADDRESS] = words.ctypes.data + 8 * LoopWord.STOP
    words[LoopWord.SPIN_NS] = idle.spin_ns
    words[LoopWord.YIELDS] = int(idle.kind is IdleKind.YIELD)
    words[LoopWord.HEARTBEAT_ADDRESS] = addresses.heartbeat
    words[LoopWord.STATE_ADDRESS] = addresses.trading_state
    words[LoopWord.REASON_ADDRESS] = addresses.reason
    words[LoopWord.SYNCED_ADDRESS] = addresses.synced
    assert len(addresses.outer) <= LoopWord.OUTER_COUNT - LoopWord.OUTER_ADDRESS, addresses.outer
    for k, address in enumerate(addresses.outer):
        words[LoopWord.OUTER_ADDRESS + k] = address
    words[LoopWord.OUTER_COUNT] = len(addresses.outer)
    line, take, write = rings.line.addresses
    words[LoopWord.LINE] = line
    words[LoopWord.LINE_TAKE] = take
    words[LoopWord.LINE_WRITE] = write
    words[LoopWord.REJECT_COUNTER] = counter_index("rejected_none_total")
    words[LoopWord.VECTOR_COUNTER] = counter_index("vectors_total")
    return words


def blank_mark() -> NDArray[np.void]:
    """Return a drain mark without rows, EVENT_DTYPE[1]."""
    mark = aligned_zeros((1,), EVENT_DTYPE)
    mark["event_type"] = EventType.DRAIN_MARK
    mark["role"] = Role.BRAIN
    mark["sequence"] = UNPUBLISHED
    return mark


def create_ports(
    rings: Rings,
    state: State,
    page: CounterPage,
    addresses: LoopAddresses,
    clock: _native.Clock,
    idle: IdleStrategy,
) -> Ports:
    """Return the arrays the kernel thread works on; all of them borrowed."""
    mark = blank_mark()
    return Ports(
        words=loop_words(rings, addresses, idle),
        clock=np.frombuffer(memoryview(clock), np.int64),
        market_ring=rings.market.addresses(),
        market_slots=rings.market_ring.slots(MARKET_DTYPE),
        report_ring=rings.reports_read.addresses(),
        report_slots=rings.report_ring.slots(EVENT_DTYPE),
        control_ring=rings.control.addresses(),
        control_slots=rings.control.ring.slots(EVENT_DTYPE),
        event_ring=rings.events.addresses(),
        event_slots=rings.events.ring.slots(EVENT_DTYPE),
        mark=mark,
        mark_words=mark.view(np.int64),
        command_ring=rings.commands.addresses(),
        command_slots=rings.command_ring.slots(EVENT_DTYPE),
        vector_ring=rings.features.addresses(),
        vector_slots=rings.features.ring.slots(VECTOR_DTYPE),
        lag=page.histogram_words(histogram_index("lag_ns")),
        decide=page.histogram_words(histogram_index("decide_ns")),
        counters=page.counter_words(),
        tallies=state.desk.counts,
        tally_map=tally_rows(),
        word_map=word_rows(),
        rejects=state.market.reject_counts,
    )


def tally_rows() -> NDArray[np.int64]:
    """Return which counter of the page shows which count of the state."""
    rows = [(counter_index(name), int(tally)) for name, tally in TALLY_COUNTERS.items()]
    rows += [
        (counter_index(f"refused_{reason.name.lower()}_total"), Tally.REFUSAL_FIRST + reason)
        for reason in RISK_REASON_TEXT
    ]
    return np.array(rows, dtype=np.int64)


def word_rows() -> NDArray[np.int64]:
    """Return which counter of the page shows which word of the state."""
    rows = [(counter_index(name), int(word)) for name, word in WORD_COUNTERS.items()]
    return np.array(rows, dtype=np.int64)


def compile_loop(part: Part | None = None) -> LoopImage:
    """Compile the loop with everything it calls, for the types of a real run; imports Numba.

    Args:
        part: what `compile_market` answered in another process.
    """
    from engine.processes.brain_loop import run_slice

    def compile_it(ports: Ports, state: State, out: Out) -> LoopImage:
        # First what does not wait for `compile_market`.
        _compile(check_record, state.market, ports.market_slots, 0)
        _compile(take_opportunity, state, out, 0, ports.market_slots, 0)
        _compile(make_quotes, state, out, ports.market_slots, 0, 0)
        return compile_for(run_slice, ports, state, out, part=part)

    return _on_trial(compile_it)


def compile_market() -> Any:  # noqa: ANN401  has no types
    """Compile what the loop makes of a record that is let in, into Numba's cache alone.

    Returns:
        What Numba made of `update_features`, half of the code and run when a bar ends: that can be
        made into machine code by itself.
    """

    def compile_it(ports: Ports, state: State, _: Out) -> None:
        market, exposure, found = state.market, state.desk.exposure, state.desk.opportunities
        _compile(apply_record, market, ports.market_slots, 0)
        _compile(log_vectors, market, 0, 0)
        _compile(run_on_bars, market, exposure, 0, 0, 0, found)
        _compile(run_on_quote, market, exposure, 0, 0, found, 0)

    _on_trial(compile_it)
    (features,) = inner_of(update_features).overloads.values()
    return features


def _compile(kernel: Callable[..., object], *arguments: object) -> None:
    from numba import typeof

    inner_of(kernel).compile(tuple(map(typeof, arguments)))


def try_loop(image: LoopImage) -> None:
    """Run one slice that finds its stop word set."""

    def run(ports: Ports, state: State, out: Out) -> int:
        ports.words[LoopWord.STOP] = 1
        return image.bind(ports, state, out)(SLICE_NS_MAX)

    ended = _on_trial(run)
    assert ended == SliceEnd.STOPPED, ended


def _on_trial(use: Callable[[Ports, State, Out], Answer]) -> Answer:
    """Return what `use` makes of rings and a state of no consequence."""
    rings = Rings(
        Ring.local("market", 256, MARKET_DTYPE.itemsize, gating=(0,)),
        Ring.local("control", 64, EVENT_SLOT_BYTES, gating=(0,)),
        Ring.local("events", 8_192, EVENT_SLOT_BYTES, gating=(0,)),
    )
    shown = np.zeros(8, dtype=np.int64)
    page_words = memoryview(bytearray(8 * PAGE_WORDS)).cast("q")
    state, out = small_state()
    base = shown.ctypes.data
    addresses = LoopAddresses(base, base + 8, base + 16, 0, (base + 24,))
    clock = _native.Clock()
    sleeping = choose(IdleKind.SLEEP, spinner_count=0)
    page = CounterPage(page_words)
    answer = use(create_ports(rings, state, page, addresses, clock, sleeping), state, out)
    rings.close()
    return answer


def small_state(instruments: Sequence[Instrument] = ()) -> tuple[State, Out]:
    """Return a state of one instrument, or of those given, and room for what a step emits."""
    rows = instrument_rows(instruments or (unit_instrument("NONE"),))
    return create_state(rows, STRATEGY_TABLE, RiskLimits(), epoch=1), create_out()
