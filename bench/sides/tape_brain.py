"""A brain that is fed from a tape: mapped, checked, moved to now, copied into its ring.

The whole tape is in the ring before the brain begins: a loop that runs out of records takes the
clock's time for the step of its last fills, which is not the tape's.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from bench.sides.brain_side import BrainSide
from bench.sides.replay_aegis import PAST_NS
from bench.sides.replay_rows import FEED_LATENCY_NS
from engine.domain.records import MARKET_DTYPE
from engine.domain.strategy_table import StrategyRow
from engine.processes.kernel_image import LoopImage
from engine.tapes.reader import TapeReader
from engine.tapes.writer import BLOCK_RECORDS_MAX
from ringbuffer.ring import Producer, Ring


class TapeBrain:
    """A tape, and a fresh brain for every pass over it."""

    def __init__(self, path: Path, rows: tuple[StrategyRow, ...], image: LoopImage) -> None:
        """Keep what a pass needs; nothing is read but the tape's shape."""
        self._path = path
        self._rows = rows
        self._image = image
        self._block = np.zeros(BLOCK_RECORDS_MAX, dtype=MARKET_DTYPE)
        with TapeReader(path) as tape:
            self._instruments = tape.instrument_rows()
            self._last_ns = tape.record_blocks[-1].last_receive_ns
            self._count = tape.record_count

    def play(self) -> dict[str, float]:
        """Run the tape through a brain; opening and reading the tape are timed, too.

        Returns:
            Rates as `bench.tape_replay` shows them; every record must have been decided on.
        """
        shift_ns = time.monotonic_ns() - PAST_NS - self._last_ns
        capacity = 1 << (self._count - 1).bit_length()
        ring = Ring.local("market", capacity, MARKET_DTYPE.itemsize, gating=(0,))
        side = BrainSide(ring, self._instruments, self._rows)
        side.sync(self._image, -shift_ns - FEED_LATENCY_NS)
        producer = Producer(ring)
        cpu_ns, wall_ns = time.process_time_ns(), time.monotonic_ns()
        self._load(producer, shift_ns)
        side.run(self._count, is_tape=True)
        cpu_ns, wall_ns = time.process_time_ns() - cpu_ns, time.monotonic_ns() - wall_ns
        assert side.record_count == self._count, (side.record_count, self._count)
        found = {
            "records/s wall": self._count * 1e9 / wall_ns,
            "records/s CPU": self._count * 1e9 / cpu_ns,
            "CPU per record": cpu_ns / self._count,
            "refused": float(side.refused_count),
            "orders": float(side.order_count),
            "count": float(self._count),
        }
        producer.close()
        side.close()
        return found

    def _load(self, producer: Producer, shift_ns: int) -> None:
        # WHY: as words; numpy copies records whose fields overlap field by field.
        words = self._block.view(np.int64).reshape(len(self._block), -1)
        with TapeReader(self._path) as tape:
            for block in tape.record_blocks:
                records = tape.records(block)
                count = len(records)
                words[:count] = records.view(np.int64).reshape(count, -1)
                self._block["receive_time_ns"][:count] += shift_ns
                assert producer.try_publish_many(self._block[:count]) >= 0
                del records
