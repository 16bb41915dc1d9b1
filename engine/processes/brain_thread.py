"""The kernel thread as Python sees it: a worker that runs slices until it is told to stop."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np

from engine.domain.codes import OrderStatus
from engine.domain.decide import create_room
from engine.domain.desk import Out
from engine.domain.state import State
from engine.domain.words import Word
from engine.processes.brain_ports import LoopAddresses, create_ports
from engine.processes.brain_rings import Rings
from engine.processes.brain_words import SLICE_NS_MAX, LoopWord, Ports, SliceEnd
from engine.processes.kernel_image import LoopImage
from native_ext import _native
from ringbuffer.counters import CounterPage
from ringbuffer.errors import InvariantError
from ringbuffer.idle import IdleKind, IdleStrategy
from ringbuffer.load import RunQueueDelay, SpinBudget

JOIN_S: Final = 5.0
RESTING: Final = (int(OrderStatus.NEW), int(OrderStatus.PARTIALLY_FILLED))


class KernelThread:
    """Runs the loop on a thread of its own; ends at a stop word, an eviction or an error."""

    def __init__(
        self,
        loop: LoopImage,
        rings: Rings,
        state: State,
        page: CounterPage,
        addresses: LoopAddresses,
        idle: IdleStrategy,
        core: int | None,
    ) -> None:
        """Prepare; nothing runs before `start`."""
        self._loop = loop
        self._rings = rings
        self._state: State | None = state
        self._out: Out | None = create_room(state)
        self._core = core
        self._idle = idle
        self._clock = _native.Clock()
        self._ports: Ports | None = create_ports(rings, state, page, addresses, self._clock, idle)
        self._words = state.desk.words
        self._loop_words = self._ports.words
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="kernel")
        self._running: Future[None] | None = None

    def start(self) -> None:
        """Start the thread."""
        self._running = self._worker.submit(self._run)

    def stop(self) -> None:
        """Set the stop word, wake the thread and wait for its end."""
        self._loop_words[LoopWord.STOP] = 1
        self._rings.market_ring.wake()
        if self._running is not None:
            self._running.exception(JOIN_S)
        self._worker.shutdown(wait=False)

    def release(self) -> None:
        """Drop every view of shared memory; the thread has ended."""
        self._ports = self._state = self._out = None

    @property
    def is_synced(self) -> bool:
        """Return whether the account is reconciled with the venue."""
        return bool(self._words[Word.SYNCED])

    @property
    def has_ended(self) -> bool:
        """Return whether the thread is over."""
        return self._running is not None and self._running.done()

    def failure(self) -> BaseException | None:
        """Return what the thread died of; None while it runs or when it was stopped."""
        return self._running.exception() if self.has_ended and self._running else None

    def unsettled_count(self, *, may_rest: bool) -> int:
        """Return how many orders are not settled; working ones do not count when they may rest.

        Read while the kernel runs: a display that is exact once nothing changes any more.
        """
        assert self._state is not None, "not released"
        desk = self._state.desk
        rows = desk.open_rows[: int(desk.words[Word.OPEN_COUNT])]
        statuses = desk.orders["status"][rows]
        if may_rest:
            statuses = statuses[~np.isin(statuses, RESTING)]
        return len(statuses)

    def _run(self) -> None:
        if self._core is not None:
            os.sched_setaffinity(0, {self._core})
        ports, state, out = self._ports, self._state, self._out
        assert ports is not None, "released only after the thread has ended"
        assert state is not None, "as above"
        assert out is not None, "as above"
        run_slice = self._loop.bind(ports, state, out)
        delay_ns = RunQueueDelay()  # of this thread
        budget = SpinBudget(self._idle.spin_ns, delay_ns, time.monotonic_ns())
        is_auto = self._idle.kind is IdleKind.AUTO
        ended: int = SliceEnd.OVER
        while ended == SliceEnd.OVER:
            ended = run_slice(SLICE_NS_MAX)
            if is_auto:
                steps = int(self._loop_words[LoopWord.STEP_COUNT])
                self._loop_words[LoopWord.SPIN_NS] = budget.decide(time.monotonic_ns(), steps)
        delay_ns.close()
        if ended == SliceEnd.EVICTED:
            raise InvariantError("main took the brain out of the market ring: it was too slow")
