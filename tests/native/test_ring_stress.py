"""Two processes on one ring, every pair of sides. Forbidden: lost, doubled, torn, past the end."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ringbuffer import layout
from ringbuffer.segment import SHM_FOLDER
from tests.ring_builders import (
    ROOT,
    child_command,
    compile_stress,
    scratch_ring,
    wait_until,
)

DEADLINE_S = 240
CAPACITY = 64  # small, so that both full and empty happen all the time
BATCH = 16  # largest claim of ring_stress.c
RECORDS = {"c": 60_000, "numba": 500_000, "native": 2_000_000}
SIDES = ("c", "numba", "native")

Command = Callable[[str, str, str, int], Sequence[str]]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    program = compile_stress(tmp_path_factory.mktemp("stress"))

    def build(what: str, side: str, name: str, end: int) -> Sequence[str]:
        if side == "native":
            return [str(program), what, str(SHM_FOLDER / name), str(end)]
        return child_command("tests.ring_children", what, side, name, end)

    return build


def start(words: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def counts(line: str) -> dict[str, int]:
    pairs = (word.split("=") for word in line.split() if "=" in word)
    return {key: int(number) for key, number in pairs}


def assert_clean(process: subprocess.Popen[str]) -> dict[str, int]:
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    found = counts(output)
    wrong = {key: found[key] for key in ("lost", "doubled", "torn", "past")}
    assert wrong == dict.fromkeys(wrong, 0)
    return found


def stop(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("consumer_side", SIDES)
@pytest.mark.parametrize("producer_side", SIDES)
def test_a_gating_consumer_gets_every_record_once_and_whole(
    producer_side: str, consumer_side: str, command: Command
) -> None:
    end = min(RECORDS[producer_side], RECORDS[consumer_side])
    with scratch_ring(CAPACITY, gating=(0,)) as ring:
        consumer = start(command("consume", consumer_side, ring.name, end))
        producer = start(command("produce", producer_side, ring.name, end))
        try:
            assert_clean(consumer)
            producer.communicate(timeout=DEADLINE_S)
            assert producer.returncode == 0
            assert ring.published() == end
            assert ring.reader(0).sequence == end
        finally:
            stop(consumer, producer)


@pytest.mark.parametrize("slot_size", [64, 256])
@pytest.mark.parametrize(
    ("producer_side", "capacity", "end"), [("numba", 4, 4_000_000), ("native", 16, 8_000_000)]
)
def test_an_observer_of_an_ungated_producer_never_returns_a_torn_record(
    producer_side: str, capacity: int, end: int, slot_size: int, command: Command
) -> None:
    # The smallest rings that each side can claim from: the writer is always on the reader's heels.
    # A slot of one cache line is copied almost at once; one of four lines tears easily.
    with scratch_ring(capacity, slot_size) as ring:
        observer = start(command("observe", "native", ring.name, end))
        producer = start(command("produce", producer_side, ring.name, end))
        try:
            found = assert_clean(observer)
            assert found["seen"] + found["lapped"] == end
            assert found["lapped"] > 0, "the writer must have lapped it, or nothing was tested"
            assert found["seen"] > 0
        finally:
            stop(observer, producer)


def test_two_gating_consumers_hold_the_producer_for_the_slower(command: Command) -> None:
    end = 20_000
    with scratch_ring(CAPACITY, gating=(0, 1)) as ring:
        consumer = start(command("consume", "native", ring.name, end))
        producer = start(command("produce", "native", ring.name, end))
        try:
            # Reader 1 never comes: the ring fills and stays full until main takes it out.
            wait_until(lambda: ring.producer().refused_count > 1_000, "a thousand refusals")
            assert CAPACITY - BATCH < ring.published() <= CAPACITY
            ring.evict(1)
            assert_clean(consumer)
            producer.communicate(timeout=DEADLINE_S)
            assert ring.published() == end
            assert ring.reader(1).mode == layout.MODE_EVICTED
        finally:
            stop(consumer, producer)


@pytest.mark.parametrize(
    "flags",
    [
        ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
        # GCC's thread sanitizer does not model fences and says so; what it still checks is that
        # every word two threads share is accessed atomically.
        ("-fsanitize=thread", "-Wno-tsan"),
    ],
    ids=["address,undefined", "thread"],
)
def test_sanitizers_find_nothing(flags: Sequence[str], tmp_path: Path) -> None:
    program = compile_stress(tmp_path, "-g", *flags)
    done = subprocess.run(
        [program, "threads", "30000"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ERROR" not in done.stderr
    assert "WARNING" not in done.stderr
