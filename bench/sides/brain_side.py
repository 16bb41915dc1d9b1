"""A brain without its process: rings, state and the compiled loop, for benches that drive it.

    side = BrainSide(load_image(home), market_ring, instruments, rows)
    side.sync()                 # an empty account, reconciled; every channel live
    side.run(end_sequence)      # until every record before it was decided on

The market ring is the caller's; command and report ring are local, as in the brain. Importing this
module chooses the kernel cache (`AEGIS_HOME`).
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.processes import kernel_cache

HOME: Final = os.environ.get("AEGIS_HOME", str(Path("~/.local/state/aegis").expanduser()))
CACHE: Final = kernel_cache.activate(HOME)

from bench.sides import brain_kernels  # noqa: E402 - only now is the cache chosen
from bench.sides.brain_kernels import NOTE_WORDS, Notes, NoteWord, run_noted  # noqa: E402
from engine.domain.codes import EventType, Liveness  # noqa: E402
from engine.domain.decide import create_out  # noqa: E402
from engine.domain.limits import RiskLimits  # noqa: E402
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE  # noqa: E402
from engine.domain.state import create_state  # noqa: E402
from engine.domain.strategy_table import StrategyRow  # noqa: E402
from engine.domain.words import Tally, Word  # noqa: E402
from engine.processes import kernel_image  # noqa: E402
from engine.processes.brain_ports import LoopAddresses, create_ports  # noqa: E402
from engine.processes.brain_rings import EVENT_SLOT_BYTES, READER, Rings  # noqa: E402
from engine.processes.brain_words import (  # noqa: E402
    SLICE_NS_MAX,
    STEP_RECORDS_MAX,
    LoopWord,
    SliceEnd,
)
from engine.processes.kernel_image import LoopImage  # noqa: E402
from native_ext import _native  # noqa: E402
from ringbuffer.counters import PAGE_WORDS, CounterPage  # noqa: E402
from ringbuffer.idle import IdleKind, choose  # noqa: E402
from ringbuffer.ring import Consumer, Ring  # noqa: E402

EVENT_SLOTS: Final = 65_536
FILLS_MAX: Final = 1_024
END_NEVER: Final = 1 << 62
WALLET_E8: Final = 1_000_000 * 10**8
# A bench is never kept from trading: what it measures is the loop, not the limits of a day.
LIMITS: Final = RiskLimits(
    order_notional_max=1e9,
    position_notional_max=1e9,
    total_notional_max=1e10,
    entries_per_day_max=100_000_000,
    daily_loss_ratio_max=1.0,
    drawdown_ratio_max=1.0,
    consecutive_failures_max=1_000,
    orders_per_10s=1_000_000,
    orders_per_minute=6_000_000,
    orders_per_10s_instrument=1_000_000,
    decision_latency_ms=60_000,
    price_age_ms=3_600_000,
    price_collar_bps=1_000.0,
    reconcile_interval_s=100_000,
    channels_needed=0,
)


class BrainSide:
    """One brain's loop over a market ring; a fresh state."""

    def __init__(
        self,
        market: Ring,
        instruments: NDArray[np.void],
        rows: tuple[StrategyRow, ...],
        *,
        idle: IdleKind = IdleKind.SPIN,
        noted_count: int = 0,
    ) -> None:
        """Take the market ring's first reader; `noted_count`: quotes whose end is kept."""
        self.rings = Rings(
            market,
            Ring.local("control", 64, EVENT_SLOT_BYTES, gating=(0,)),
            Ring.local("events", EVENT_SLOTS, EVENT_SLOT_BYTES, gating=(0,)),
        )
        self._journal = Consumer(self.rings.events.ring, READER)
        self.state = create_state(instruments, rows, LIMITS, epoch=1)
        self.out = create_out()
        self._shown = np.zeros(8, dtype=np.int64)
        base = self._shown.ctypes.data
        addresses = LoopAddresses(base, base + 8, base + 16, 0, (base + 24,))
        page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
        self._clock = _native.Clock()
        strategy = choose(idle, spinner_count=0)
        self.ports = create_ports(self.rings, self.state, page, addresses, self._clock, strategy)
        self.ports.words[LoopWord.STEP_COUNT] = 1  # a start's first step takes no record
        self.notes = Notes(
            words=np.zeros(NOTE_WORDS, dtype=np.int64),
            noted=np.zeros((noted_count, 3), dtype=np.int64),
            events_read=self._journal.addresses(),
            commands_read=self.rings.commands_read.addresses(),
            reports=self.rings.reports.addresses(),
            rows=np.zeros(FILLS_MAX, dtype=EVENT_DTYPE),
        )

    def arguments(self) -> tuple[object, ...]:
        """Return what the loop is compiled for and called with: borrowed memory."""
        return self.ports, self.state, self.out, self.notes

    def sync(self, image: LoopImage, clock_offset_ns: int) -> None:
        """Load the loop; restore nothing, connect, reconcile an empty account."""
        self._image = image  # its code lives as long as it does
        self._call = image.bind(*self.arguments())
        self.state.market.liveness[:] = Liveness.LIVE
        self._report(EventType.VENUE_CLOCK, clock_offset_ns=clock_offset_ns)
        self._report(EventType.RESTORE_END)
        self._report(EventType.VENUE_CONNECTED)
        self._run_reports()
        self._report(EventType.FETCH_BEGIN)
        self._report(EventType.VENUE_BALANCE, wallet_e8=WALLET_E8)
        self._report(EventType.FETCH_END)
        self._run_reports()
        assert self.state.desk.words[Word.SYNCED] == 1, "the account is reconciled"
        self.notes.words[NoteWord.SHOULD_FILL] = 1

    def run(self, end: int, *, is_tape: bool = False, step_records: int = STEP_RECORDS_MAX) -> None:
        """Run slices until every record before `end` was decided on."""
        assert 0 < step_records <= STEP_RECORDS_MAX, step_records
        self.notes.words[NoteWord.STEP_MAX] = step_records
        self.notes.words[NoteWord.END] = end
        self.notes.words[NoteWord.TAPE] = int(is_tape)
        while self._call(SLICE_NS_MAX) != SliceEnd.STOPPED:
            pass

    def note(self, count: int, deadline_s: float) -> NDArray[np.int64]:
        """Run slices until so many more quotes were decided on; return their rows.

        Raises:
            TimeoutError: they did not all come.
        """
        words, end_s = self.notes.words, time.monotonic() + deadline_s
        words[NoteWord.END] = END_NEVER
        words[NoteWord.STEP_MAX] = STEP_RECORDS_MAX
        words[NoteWord.NOTED] = 0
        while words[NoteWord.NOTED] < count:
            self._call(SLICE_NS_MAX)
            if time.monotonic() > end_s:
                raise TimeoutError(f"{words[NoteWord.NOTED]} of {count} quotes came")
        return self.notes.noted[:count].copy()

    @property
    def record_count(self) -> int:
        """Return how many market records were decided on."""
        return int(self.state.desk.counts[Tally.RECORDS])

    @property
    def refused_count(self) -> int:
        """Return how many market records the firewall refused."""
        return int(self.state.desk.counts[Tally.REJECTED_RECORDS])

    @property
    def order_count(self) -> int:
        """Return how many orders were sent and filled."""
        return int(self.notes.words[NoteWord.ORDERS])

    def close(self) -> None:
        """Drop every view, then the rings; the market ring too."""
        del self._call, self.ports, self.notes
        self._journal.close()
        self.rings.close()

    def _report(self, kind: EventType, **fields: int) -> None:
        record = np.zeros(1, dtype=EVENT_DTYPE)
        record["event_type"] = kind
        for name, number in fields.items():
            record[name] = number
        assert self.rings.reports.try_publish(record.tobytes()[8:]) >= 0

    def _run_reports(self) -> None:
        self.run(0)
        taken = self.rings.commands_read.poll(64)  # the fetch that the first of them asks for
        self.rings.commands_read.advance(sum(taken))


def load_image() -> LoopImage:
    """Return the compiled loop, from the folder of this build's kernels or compiled into it."""
    source = Path(brain_kernels.__file__).read_bytes()
    folder = CACHE / f"bench-{hashlib.sha256(source).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    image = kernel_image.read(folder)
    if image is None:
        from engine.domain.instrument import instrument_rows
        from engine.domain.instrument_row import unit_instrument
        from engine.domain.strategy_table import STRATEGY_TABLE

        ring = Ring.local("market", 256, MARKET_DTYPE.itemsize, gating=(0,))
        side = BrainSide(ring, instrument_rows([unit_instrument("NONE")]), STRATEGY_TABLE)
        image = kernel_image.compile_for(run_noted, *side.arguments())
        image.save(folder)
        side.sync(image, 0)
        side.close()
    return image
