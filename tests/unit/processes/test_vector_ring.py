"""Vectors leave the kernel thread for the journal; nobody waits, each is there once or counted."""

import signal
from pathlib import Path

import numpy as np
import pytest

from engine.config import Config
from engine.config_journal import JournalConfig
from engine.domain.market_state import VECTORS_LOST, VECTORS_WAITING, create_market_state
from engine.domain.records import VECTOR_DTYPE
from engine.processes.brain_ports import counter_index
from engine.processes.brain_rings import VECTOR_SLOTS_LEAST
from engine.processes.brain_vectors import publish_vectors
from engine.store.journal import SOURCE_FEATURES, segment_paths
from engine.store.leftovers import drain_ring
from engine.store.reader import read_records
from engine.store.session import read_document
from ringbuffer.ring import Consumer, Producer
from tests.builders import make_instruments
from tests.engine_process import wait_for
from tests.loop_rig import ROWS, LoopRig
from tests.orchestrator_rig import DEADLINE_S, OrchestratorRig
from tests.vector_builders import random_vectors


def payloads(vectors: np.ndarray) -> list[bytes]:
    return [vector.tobytes()[8:] for vector in vectors]


def test_a_full_ring_costs_the_vector_and_is_counted() -> None:
    rig = LoopRig()
    market = create_market_state(make_instruments(1), ROWS, vector_rows=64)
    ring = rig.rings.features.ring
    reader = Consumer(ring, 0)
    total, counter = counter_index("vectors_total"), counter_index("vectors_lost_total")
    kept: list[bytes] = []
    made: list[bytes] = []
    for turn in range(6):
        count = (3, VECTOR_SLOTS_LEAST, VECTOR_SLOTS_LEAST + 9, 1, 0, 20)[turn]
        vectors = random_vectors(count, turn)
        market.vectors[:count] = vectors
        market.progress[VECTORS_WAITING] = count
        publish_vectors(rig.ports, market)
        assert market.progress[VECTORS_WAITING] == 0
        buffer = memoryview(bytearray(64 * VECTOR_DTYPE.itemsize))
        first, taken = reader.read_into(buffer)
        assert taken == min(count, ring.capacity), "as many as there was room for, the first ones"
        found = np.frombuffer(buffer, VECTOR_DTYPE, taken)
        assert found["sequence"].tolist() == list(range(first + 1, first + taken + 1))
        reader.advance(first + taken)
        kept += payloads(found)
        made += payloads(vectors)[: ring.capacity]
    assert kept == made
    assert rig.ports.counters[total] == len(kept)
    assert rig.ports.counters[counter] == market.progress[VECTORS_LOST] == 9 + 4
    reader.close()
    del market
    rig.close()


def publish(rig: OrchestratorRig, vectors: np.ndarray) -> None:
    producer = Producer(rig.parts.rings["features"])
    for vector in vectors:
        assert producer.try_publish(vector.tobytes()[8:]) >= 0
    producer.close()


def test_the_orchestrator_journals_them(tmp_path: Path) -> None:
    vectors = random_vectors(40, 1)
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        publish(rig, vectors)
        assert rig.stop() == 0
        found = read_records(rig.directory, SOURCE_FEATURES)
        assert found.tobytes() == vectors.tobytes()
        assert read_document(rig.directory).seals[SOURCE_FEATURES].next_sequence == 40


def test_off_keeps_none_and_holds_nobody_back(tmp_path: Path) -> None:
    config = Config(name="features-off", journal=JournalConfig(features="off"))
    with OrchestratorRig(tmp_path, config) as rig:
        rig.start()
        ring = rig.parts.rings["features"]
        publish(rig, random_vectors(ring.capacity, 1))
        publish(rig, random_vectors(9, 2))
        assert rig.stop() == 0
        assert segment_paths(rig.directory, SOURCE_FEATURES) == []


@pytest.mark.parametrize("before", [0, 25])
def test_what_a_killed_orchestrator_left_reaches_its_journal_once(
    tmp_path: Path, before: int
) -> None:
    vectors = random_vectors(60, 4)
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        publish(rig, vectors[:before])
        ring = rig.parts.rings["features"]
        wait_for("drained", lambda: ring.gating_sequence() == before, DEADLINE_S)
        assert rig.process is not None
        rig.process.send_signal(signal.SIGKILL)
        rig.process.wait()
        publish(rig, vectors[before:])
        assert drain_ring(tmp_path, ring.name) == 60 - before
        assert drain_ring(tmp_path, ring.name) == 0
        found = read_records(rig.directory, SOURCE_FEATURES)
        assert found.tobytes() == vectors.tobytes()
