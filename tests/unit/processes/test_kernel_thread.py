"""The kernel thread between two slices: how long the next ones may spin, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import cast

import numpy as np
import pytest

from engine.processes import brain_thread
from engine.processes.brain_ports import LoopAddresses, small_state
from engine.processes.brain_rings import EVENT_SLOT_BYTES, Rings
from engine.processes.brain_thread import KernelThread
from engine.processes.brain_words import LoopWord, Ports, SliceEnd
from engine.processes.kernel_image import LoopImage
from ringbuffer.counters import PAGE_WORDS, CounterPage
from ringbuffer.errors import InvariantError
from ringbuffer.idle import IdleKind, choose
from ringbuffer.load import WINDOW_NS
from ringbuffer.ring import Ring

DEADLINE_S = 20.0


class Slices:
    """A loop that does nothing: notes the spin it is given, ends when it has seen enough."""

    def __init__(self, ended: SliceEnd = SliceEnd.STOPPED) -> None:
        self.spins: list[int] = []
        self.ended = ended
        self.pause = threading.Event()
        self.deadline = time.monotonic() + DEADLINE_S

    def bind(self, ports: Ports, *_rest: object) -> object:
        def run_slice(slice_ns: int) -> int:
            self.pause.wait(slice_ns / 1e9)
            self.spins.append(int(ports.words[LoopWord.SPIN_NS]))
            ports.words[LoopWord.STEP_COUNT] += 1
            enough = len(self.spins) > 2 * WINDOW_NS // slice_ns
            return self.ended if enough or time.monotonic() > self.deadline else SliceEnd.OVER

        return run_slice


class Waiting:
    """A scheduler's account in which this thread waits most of the time."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.calls * WINDOW_NS // 2

    def close(self) -> None:
        pass


@pytest.fixture
def rings() -> Iterator[Rings]:
    made = Rings(
        Ring.local("market", 256, 64, gating=(0,)),
        Ring.local("control", 64, EVENT_SLOT_BYTES, gating=(0,)),
        Ring.local("events", 8_192, EVENT_SLOT_BYTES, gating=(0,)),
    )
    yield made
    made.close()


def run(rings: Rings, slices: Slices, kind: IdleKind) -> BaseException | None:
    shown = np.zeros(8, dtype=np.int64)
    base = shown.ctypes.data
    addresses = LoopAddresses(base, base + 8, base + 16, 0, (base + 24,))
    page = CounterPage(memoryview(bytearray(8 * PAGE_WORDS)).cast("q"))
    state, _ = small_state()
    idle = choose(kind, spinner_count=1, cores=lambda: 2)
    loop = cast("LoopImage", slices)
    thread = KernelThread(loop, rings, state, page, addresses, idle, None)
    thread.start()
    assert thread._running is not None
    failure = thread._running.exception(DEADLINE_S)
    thread.stop()
    thread.release()
    return failure


def test_auto_sleeps_at_once_when_others_want_the_core(
    rings: Rings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brain_thread, "RunQueueDelay", Waiting)
    slices = Slices()
    assert run(rings, slices, IdleKind.AUTO) is None
    assert slices.spins[0] > 0
    assert slices.spins[-1] == 0


def test_hybrid_keeps_the_spin_that_it_was_given(
    rings: Rings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brain_thread, "RunQueueDelay", Waiting)
    slices = Slices()
    assert run(rings, slices, IdleKind.HYBRID) is None
    assert len(set(slices.spins)) == 1


def test_an_eviction_ends_the_thread_with_an_error(rings: Rings) -> None:
    failure = run(rings, Slices(SliceEnd.EVICTED), IdleKind.AUTO)
    assert isinstance(failure, InvariantError)
