"""The Numba side: compiled and uncompiled give the same answers, wait and wake, and the cache."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from native_ext import _native
from ringbuffer import atomics, kernels, layout
from ringbuffer.layout import FULL, HANDLE_MASK, INVALID
from ringbuffer.ring import Consumer, Producer, Ring
from tests import ring_kernels
from tests.ring_builders import (
    FACTOR,
    RECORD,
    ROOT,
    child_command,
    payload,
    scratch_ring,
    wait_until,
)

DEADLINE_S = 120
UNCOMPILED = isinstance(kernels.publish, FunctionType)  # NUMBA_DISABLE_JIT=1

# One walk through the kernels; printed results must not depend on how they were executed.
WALK = """
import json
import numpy as np
from native_ext import _native
from ringbuffer import kernels as k
from ringbuffer.ring import Consumer, Producer, Ring
from tests.ring_builders import RECORD, payload_words, scratch_ring

clock = _native.Clock()
clock.calibrate()
words = np.frombuffer(memoryview(clock), np.int64)
histogram = np.zeros(648, np.int64)
results = []
with scratch_ring(8, gating=(0,)) as ring:
    producer, consumer = Producer(ring), Consumer(ring, 0)
    mine, theirs, slots = producer.addresses(), consumer.addresses(), ring.slots(RECORD)
    for n in (1, 3, 4, 1, 9, 0, -2):
        first = k.try_claim(mine, n)
        results.append(first)
        for sequence in range(first, first + n if first >= 0 else first):
            slots["words"][k.begin(mine, sequence)] = payload_words(sequence)
            k.commit(mine, sequence)
        if first >= 0:
            results.append(k.publish(mine))
    results += [k.publish(mine), k.poll(theirs, 0, 3), k.poll(theirs, 0, 100)]
    results += [k.advance(theirs, 0, 9), k.advance(theirs, 0, -1), k.advance(theirs, 0, 5)]
    results += [k.next_sequence(theirs, 0), k.lag(theirs, 0), k.gating_sequence(mine)]
    results += [bool(k.wait(theirs, 0, 1000, 2000, words)), bool(k.ready(theirs, 8))]
    results += [k.advance(theirs, 0, 8), bool(k.wait(theirs, 0, 1000, 2000, words))]
    results += [bool(k.arm(theirs, 8)), ring.segment.buffer[384]]
    k.wake(mine)
    results += [ring.segment.buffer[384]]
    k.try_claim(mine, 2)
    k.abort(mine)
    k.beat(theirs, 0, 77)
    k.producer_beat(mine, 78)
    k.count_conflated(mine, 79)
    results += [ring.reader(0).heartbeat_ns, ring.reader(0).lag_max, *ring.producer()[2:]]
    ring.evict(0)
    results += [k.poll(theirs, 0, 1), k.advance(theirs, 0, 8)]
for value_ns in (0, 15, 16, 999, 10**6, 10**12, -4):
    k.record_latency(histogram, value_ns)
results += [int(i) for i in np.flatnonzero(histogram)] + [int(n) for n in histogram[:3]]
before = _native.monotonic_ns()
results.append(before - 10**5 <= k.now_ns(words) <= _native.monotonic_ns() + 10**5)
print(json.dumps([int(number) for number in results]))
"""


def run(code: str, environment: dict[str, str]) -> Any:  # noqa: ANN401  # what json gives
    """Run code in a fresh interpreter and return the JSON it prints."""
    prepare = child_command("")[2].splitlines()[:3]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*prepare, code])],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_compiled_and_uncompiled_kernels_agree() -> None:
    compiled = run(WALK, {"NUMBA_BOUNDSCHECK": "1"})
    assert compiled == run(WALK, {"NUMBA_DISABLE_JIT": "1"})
    assert compiled[:9] == [0, 1, 1, 4, 4, 8, FULL, INVALID, INVALID]


@pytest.mark.skipif(UNCOMPILED, reason="nothing is compiled in this run")
def test_a_second_process_finds_the_compiled_kernels_on_disk(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from ringbuffer import kernels as k\n"
        "from ringbuffer.ring import Producer, Ring\n"
        "ring = Ring.local('r', 8, 64)\n"
        "p = Producer(ring)\n"
        "k.try_claim(p.addresses(), 1); k.publish(p.addresses()); k.wake(p.addresses())\n"
        "print(sum(k.publish.stats.cache_misses.values()), k.publish.stats.cache_path)\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for misses in (1, 0):
        output = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE_S,
        ).stdout
        assert output.startswith(f"{misses} {tmp_path}")


HOT = """
import json
import numpy as np
from native_ext import _native
from ringbuffer import kernels as k
from ringbuffer.ring import Consumer, Producer, Ring

ring = Ring.local("hot", 8, 64, gating=(0,))
producer, consumer = Producer(ring), Consumer(ring, 0)
mine, theirs = producer.addresses(), consumer.addresses()
clock = np.frombuffer(memoryview(_native.Clock()), np.int64)
k.try_claim(mine, 1), k.begin(mine, 0), k.commit(mine, 0), k.publish(mine), k.wake(mine)
k.poll(theirs, 0, 1), k.ready(theirs, 0), k.advance(theirs, 0, 1), k.next_sequence(theirs, 0)
k.now_ns(clock), k.record_latency(np.zeros(648, np.int64), 1)
names = "try_claim begin commit publish wake poll ready advance next_sequence now_ns record_latency"
found = {}
for name in names.split():
    (listing,) = getattr(k, name).inspect_asm().values()
    body = listing.split(".Lfunc_end0")[0]  # the function itself, before its Python wrapper
    found[name] = [body.count("NRT_incref") + body.count("NRT_decref"), len(body)]
print(json.dumps(found))
"""


@pytest.mark.skipif(UNCOMPILED, reason="nothing is compiled in this run")
def test_hot_kernels_count_no_references(tmp_path: Path) -> None:
    # Code from the cache cannot be looked at, so this run has an empty one.
    found = run(HOT, {"NUMBA_CACHE_DIR": str(tmp_path)})
    assert {name: count for name, (count, _) in found.items()} == dict.fromkeys(found, 0)
    assert all(length > 100 for _, length in found.values()), "there must be code to look at"


@pytest.mark.skipif(UNCOMPILED, reason="nothing is compiled in this run")
def test_an_atomic_load_in_a_loop_is_not_hoisted() -> None:
    with scratch_ring(8, gating=(0,)) as ring:
        producer, consumer = Producer(ring), Consumer(ring, 0)
        handle = consumer.addresses()
        looks: list[int] = []
        ring_kernels.spin_until_ready(handle, 0, 1)
        spinner = threading.Thread(
            target=lambda: looks.append(ring_kernels.spin_until_ready(handle, 0, 1 << 40))
        )
        spinner.start()
        producer.try_publish(payload(0))
        spinner.join(DEADLINE_S)
        assert len(looks) == 1
        assert looks[0] < 1 << 40


def test_a_sleeping_kernel_is_woken_by_the_extension_and_the_reverse() -> None:
    clock = _native.Clock()
    words = np.frombuffer(memoryview(clock), np.int64)
    with scratch_ring(8, gating=(0,)) as ring:
        producer, consumer = Producer(ring), Consumer(ring, 0)
        mine, theirs = producer.addresses(), consumer.addresses()
        kernels.wait(theirs, 0, 0, 0, words)
        woken: list[bool] = []
        wait_ns = DEADLINE_S * 10**9
        for wake, wait in (
            (producer.wake, lambda: kernels.wait(theirs, 0, 0, wait_ns, words)),
            (lambda: kernels.wake(mine), lambda: consumer.wait(0, wait_ns)),
        ):
            sleeper = threading.Thread(target=lambda wait=wait: woken.append(bool(wait())))
            sleeper.start()
            wait_until(lambda: ring.segment.buffer[layout.OFFSET_WAIT] == 1, "the sleeper")
            producer.try_publish(b"")
            wake()
            sleeper.join(DEADLINE_S)
            consumer.advance(ring.published())
        assert woken == [True, True]


def test_a_kernel_rings_the_doorbell() -> None:
    descriptor = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        with scratch_ring(8, gating=(0,)) as ring:
            producer, consumer = Producer(ring), Consumer(ring, 0)
            producer.set_doorbell(descriptor)
            assert consumer.arm()
            kernels.wake(producer.addresses())
            assert os.eventfd_read(descriptor) == 1
    finally:
        os.close(descriptor)


def test_kernels_write_what_the_extension_reads() -> None:
    with scratch_ring(64, gating=(0,)) as ring:
        producer, consumer = Producer(ring), Consumer(ring, 0)
        slots = ring.slots(RECORD)
        assert ring_kernels.produce_some(producer.addresses(), slots, 40, FACTOR) == 40
        assert [consumer.read(i) for i in range(40)] == [payload(i) for i in range(40)]


def test_a_handle_from_the_ring_is_a_copy_that_starts_at_the_published_count() -> None:
    with scratch_ring(8) as ring:
        Producer(ring).try_publish(b"")
        handle = ring.addresses()
        assert handle.shape == (layout.HANDLE_WORDS,)
        assert handle[layout.HANDLE_NEXT] == handle[layout.HANDLE_DONE] == 1
        assert handle[HANDLE_MASK] == 7
        assert handle[layout.HANDLE_DOORBELL] == -1
        handle[layout.HANDLE_NEXT] = 99
        assert ring.addresses()[layout.HANDLE_NEXT] == 1


def test_a_local_ring_serves_kernels_too() -> None:
    ring = Ring.local("local", 8, 64)
    producer = Producer(ring)
    assert kernels.try_claim(producer.addresses(), 1) == 0
    assert kernels.publish(producer.addresses()) == 1
    assert producer.published() == 1


@pytest.mark.parametrize("slot_size", [64, 256])
def test_asking_for_lines_changes_nothing(slot_size: int) -> None:
    ring = Ring.local("local", 8, slot_size, gating=(0,))
    producer, consumer = Producer(ring), Consumer(ring, 0)
    handle = producer.addresses()
    for number in range(20):  # past the end of the ring more than once
        before, words = bytes(ring.segment.buffer), handle.copy()
        kernels.prefetch_next(handle, 3)
        assert bytes(ring.segment.buffer) == before
        assert (handle == words).all()
        sequence = kernels.try_claim(handle, 1)
        assert sequence == number
        assert kernels.publish(handle) == number + 1
        consumer.poll(1)
        consumer.advance(number + 1)
    _native.prefetch(0)  # any address will do


def test_words_by_address_do_what_their_names_say() -> None:
    memory = np.zeros(2, np.int64)
    address = memory.ctypes.data
    _native.store_relaxed(address, -5)
    _native.store_release(address + 8, 1 << 40)
    assert memory.tolist() == [-5, 1 << 40]
    assert (_native.load_acquire(address), _native.load_relaxed(address + 8)) == (-5, 1 << 40)
    _native.store32_relaxed(address, 7)
    assert _native.load32_relaxed(address) == 7
    assert memory[0] == (-5 & ~0xFFFFFFFF) | 7, "the other half is untouched"
    assert _native.address_of(memory) == address
    assert _native.futex_wake(address, 1) == 0
    assert _native.futex_wait(address, 8, 10**9) == -1, "the word is not 8: no sleep"
    assert _native.yield_core() == 0


@pytest.mark.parametrize(
    ("delta", "multiplier"), [(0, 5), (1 << 40, 1 << 31), (-(1 << 40), 1 << 31), (-1, 1)]
)
def test_scale_is_exact_through_128_bits(delta: int, multiplier: int) -> None:
    exact = delta * multiplier >> layout.CLOCK_SHIFT
    assert _native.scale(delta, multiplier) == exact
    assert ring_kernels.scaled(delta, multiplier) == exact


def test_every_name_of_atomics_exists_in_both_forms() -> None:
    names = set(atomics.__all__) - {"kernel", "fused"}
    assert all(hasattr(_native, name) for name in names)
    assert all(hasattr(atomics, name) for name in names)
