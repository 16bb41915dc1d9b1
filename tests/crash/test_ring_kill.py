"""kill -9 of producer, reader and creator: what the next one finds, and that nothing is lost."""

import os
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from native_ext import _native
from ringbuffer import layout
from ringbuffer.layout import FULL
from ringbuffer.ring import Consumer, Observer, Producer, Ring
from ringbuffer.segment import SHM_FOLDER, find_stale, unlink
from tests.ring_builders import (
    RECORD,
    ROOT,
    assert_whole,
    child_command,
    compile_stress,
    payload,
    scratch_ring,
    unique_name,
    wait_until,
)

DEADLINE_S = 120
STEPS = ("nothing", "busy", "half", "payload", "sequence", "published")
KILLS = 100
KILLS_MAX = 2_000  # until one hits a record under way
NEVER = 1 << 60
SEED = 20_240_808


@pytest.fixture(scope="module")
def stress(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_stress(tmp_path_factory.mktemp("kill"))


def publish_up_to_step(ring: Ring, step: str, sequence: int) -> None:
    """Do the stores of one publish in the order of layout.py, up to and including `step`."""
    slot = ring.segment.address + layout.OFFSET_SLOTS + (sequence % ring.capacity) * 64
    words = np.frombuffer(payload(sequence), np.int64)
    done = STEPS.index(step)
    if done >= STEPS.index("busy"):
        _native.store_relaxed(slot, layout.SLOT_BUSY)
        _native.fence_release()
    written = 3 if step == "half" else 7 if done > STEPS.index("half") else 0
    for i in range(written):
        _native.store_relaxed(slot + 8 + 8 * i, int(words[i]))
    if done >= STEPS.index("sequence"):
        _native.store_release(slot, sequence + 1)
    if done >= STEPS.index("published"):
        _native.store_release(ring.segment.address + layout.OFFSET_PUBLISHED, sequence + 1)


def in_killed_child(ring: Ring, step: str, sequence: int) -> None:
    """Fork a producer that dies by SIGKILL right after a step."""
    pid = os.fork()
    if pid == 0:
        try:
            publish_up_to_step(ring, step, sequence)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("before", [0, 3, 8, 13])
@pytest.mark.parametrize("step", STEPS)
def test_a_producer_killed_after_any_step_is_followed_without_a_gap(step: str, before: int) -> None:
    with scratch_ring(8) as ring:
        producer, observer = Producer(ring), Observer(ring, start=0)
        rows = np.zeros(8, RECORD)
        seen = 0
        for sequence in range(before):
            producer.try_publish(payload(sequence))
            seen += observer.poll_into(rows)[1]
        consumer = Consumer(ring, 0)
        in_killed_child(ring, step, before)
        survived = step in {"sequence", "published"}
        again = Producer(ring)
        assert again.first_sequence == before + survived
        for sequence in range(again.first_sequence, before + 4):
            assert again.try_publish(payload(sequence)) == sequence
        assert consumer.read_into(rows) == (before, 4)
        assert_whole(rows[:4], before)
        first, count, lapped = observer.poll_into(rows)
        assert (first, count, lapped) == (seen, 4, 0)
        assert_whole(rows[:4], before)


def state_left(ring: Ring) -> str:
    """Name what a killed producer left at the published count."""
    published = ring.published()
    found = int(ring.slots(RECORD)["sequence"][published & (ring.capacity - 1)])
    if found == published + 1:
        return "sequence stored"
    return "busy" if found == layout.SLOT_BUSY else "clean"


def test_random_kills_of_the_producer_lose_and_double_nothing(stress: Path) -> None:
    chance = random.Random(SEED)
    with scratch_ring(4096, gating=(0,)) as ring:
        file = str(SHM_FOLDER / ring.name)
        reader = subprocess.Popen(
            [stress, "consume", file, str(NEVER)], stdout=subprocess.PIPE, text=True
        )
        left: Counter[str] = Counter()
        for number in range(KILLS_MAX):
            if number >= KILLS and left["busy"] + left["sequence stored"] > 0:
                break  # where the producer mostly waits for its reader, most kills find it waiting
            target = ring.published() + chance.randrange(1, 50_000)
            producer = subprocess.Popen([stress, "produce", file, str(NEVER)])
            while ring.published() < target:
                assert producer.poll() is None
                assert reader.poll() is None
            producer.kill()
            producer.wait(DEADLINE_S)
            left[state_left(ring)] += 1
        end = ring.published() + 1_000
        producer = subprocess.Popen([stress, "produce", file, str(end)])
        assert producer.wait(DEADLINE_S) == 0
        wait_until(lambda: ring.reader(0).sequence == end, "the reader to take everything")
        ring.evict(0)  # the reader reports when it is told to go
        output, _ = reader.communicate(timeout=DEADLINE_S)
        assert f"lost=0 doubled=0 torn=0 past=1 lapped=0 seen={end}" in output
        assert sum(left.values()) >= KILLS
        assert left["busy"] + left["sequence stored"] > 0, "no kill hit a record under way"


def test_a_killed_consumer_stalls_the_producer_until_it_is_evicted(stress: Path) -> None:
    with scratch_ring(64, gating=(0,)) as ring:
        file = str(SHM_FOLDER / ring.name)
        consumer = subprocess.Popen([stress, "consume", file, str(NEVER)])
        producer = subprocess.Popen([stress, "produce", file, str(NEVER)])
        try:
            wait_until(lambda: ring.reader(0).sequence > 1_000, "the consumer to run")
            consumer.kill()
            consumer.wait(DEADLINE_S)
            reached = ring.reader(0).sequence
            refused = ring.producer().refused_count
            wait_until(lambda: ring.producer().refused_count > refused + 1_000, "refusals")
            assert ring.published() <= reached + 64
            ring.evict(0)
            wait_until(lambda: ring.published() > reached + 10_000, "the producer to move again")
        finally:
            producer.kill()
            producer.wait(DEADLINE_S)


def test_a_killed_consumer_is_followed_by_one_that_misses_nothing() -> None:
    chance = random.Random(SEED)
    with scratch_ring(64, gating=(0,)) as ring:
        producer = Producer(ring)
        sequence = 0
        expected = 0
        for _ in range(30):
            while producer.try_publish(payload(sequence)) != FULL:
                sequence += 1
            step = chance.randrange(1, 64)
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    consumer = Consumer(ring, 0)
                    first, count = consumer.poll(64)
                    assert (first, count) == (expected, sequence - expected)
                    assert consumer.read(first) == payload(first)
                    assert consumer.advance(first + step) == 0
                    consumer.poll(64)
                    code = 0
                finally:
                    if code:
                        os._exit(code)
                    os.kill(os.getpid(), signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            assert os.WIFSIGNALED(status), "the child found something else than expected"
            expected += step
        assert Consumer(ring, 0).first_sequence == expected


def test_a_stopped_reader_that_wakes_after_eviction_learns_it(stress: Path) -> None:
    with scratch_ring(64, gating=(0,)) as ring:
        file = str(SHM_FOLDER / ring.name)
        consumer = subprocess.Popen(
            [stress, "consume", file, str(NEVER)], stdout=subprocess.PIPE, text=True
        )
        producer = subprocess.Popen([stress, "produce", file, str(NEVER)])
        try:
            wait_until(lambda: ring.reader(0).sequence > 1_000, "the consumer to run")
            consumer.send_signal(signal.SIGSTOP)
            refused = ring.producer().refused_count
            wait_until(lambda: ring.producer().refused_count > refused + 100, "a full ring")
            ring.evict(0)
            stalled = ring.published()
            wait_until(lambda: ring.published() > stalled + 1_000, "the producer to lap it")
            consumer.send_signal(signal.SIGCONT)
            output, _ = consumer.communicate(timeout=DEADLINE_S)
            # `past=1` is how the program reports that poll or advance said EVICTED.
            assert "past=1" in output
            assert ring.reader(0).mode == layout.MODE_EVICTED
        finally:
            for process in (consumer, producer):
                process.kill()
                process.wait(DEADLINE_S)


def test_a_reader_killed_in_its_sleep_does_not_stop_the_next(stress: Path) -> None:
    with scratch_ring(64, gating=(0,)) as ring:
        file = str(SHM_FOLDER / ring.name)
        asleep = subprocess.Popen([stress, "consume", file, "1000"])
        wait_until(lambda: ring.segment.buffer[layout.OFFSET_WAIT] == 1, "the reader to sleep")
        asleep.kill()
        asleep.wait(DEADLINE_S)
        consumer = subprocess.Popen([stress, "consume", file, "1000"])
        producer = subprocess.Popen([stress, "produce", file, "1000"])
        assert producer.wait(DEADLINE_S) == 0
        assert consumer.wait(DEADLINE_S) == 0


def test_an_event_ring_of_a_killed_creator_is_found_drained_and_removed() -> None:
    name = unique_name("events")
    code = (
        "import os, sys, signal\n"
        "from ringbuffer.ring import Ring, Producer\n"
        "ring = Ring.create(sys.argv[1], 64, 64, 5, gating=(0,))\n"
        "producer = Producer(ring)\n"
        "for i in range(10): producer.try_publish(bytes([i]) * 56)\n"
        "producer.try_claim(1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    python = child_command("")[0]
    done = subprocess.run([python, "-c", code, name], cwd=ROOT, check=False, timeout=DEADLINE_S)
    assert done.returncode == -signal.SIGKILL
    try:
        (stale,) = find_stale(name)
        assert stale.prefix is not None
        assert stale.prefix.generation == 5
        ring = Ring.attach(name, generation=5)
        consumer = Consumer(ring, 0)
        first, count = consumer.poll(64)
        assert (first, count) == (0, 10)
        assert [consumer.read(i) for i in range(10)] == [bytes([i]) * 56 for i in range(10)]
        consumer.close()
        ring.close()
    finally:
        assert unlink(name)
    assert find_stale(name) == []
