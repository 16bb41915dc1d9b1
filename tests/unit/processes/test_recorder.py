"""Rings into files: once, in order, given back only when written; trouble halts and heals."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine.domain.codes import EventType, TradingState
from engine.processes import recorder as recorder_module
from engine.processes.control import RolePage, RoleWord
from engine.processes.guard import GuardReason
from engine.processes.recorder import Recorder
from engine.store import frames
from engine.store.drain import BATCH_BYTES, RingDrain
from engine.store.errors import JournalWriteError
from engine.store.journal import (
    SOURCE_EVENTS_BRAIN,
    SOURCE_MARKET,
    SourceWriter,
    segment_paths,
)
from engine.store.reader import read_records
from engine.store.session import read_document
from engine.store.verify import verify_source
from ringbuffer.ring import FULL, Consumer, Producer, Ring
from tests.engine_process import wait_for
from tests.orchestrator_rig import OrchestratorRig
from tests.ring_builders import scratch_ring
from tests.store_builders import SESSION, market_records, open_market
from tests.store_events import decision, opening_cash


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / SESSION


@pytest.fixture
def ring() -> Iterator[Ring]:
    with scratch_ring(64, gating=(0,)) as made:
        yield made


class Refusing(SourceWriter):
    """A writer whose file system refuses while it is told to."""

    refuses = False

    def append(self, first_sequence: int, *parts: bytes | memoryview) -> None:
        if self.refuses:
            raise JournalWriteError("no space left on device")
        super().append(first_sequence, *parts)


class Bench:
    """A ring, its drain and a recorder that notes what it is told."""

    def __init__(self, ring: Ring, directory: Path) -> None:
        self.ring = ring
        self.directory = directory
        self.producer = Producer(ring)
        self.consumer = Consumer(ring, 0)
        self.writer = Refusing(directory, directory.name, SOURCE_MARKET, 64)
        self.drain = RingDrain(self.consumer, self.writer)
        self.errors: list[JournalWriteError] = []
        self.evicted: list[str] = []
        self.healed = threading.Event()
        self.synced = threading.Event()
        self.recorder = Recorder(
            [self.drain],
            beat=lambda: None,
            on_write_error=self.errors.append,
            on_evicted=self.evicted.append,
            on_written=self.healed.set,
            on_synced=self.synced.set,
        )
        self.published = 0

    def publish(self, count: int) -> int:
        block = np.ascontiguousarray(market_records(count, self.published)).view(np.uint8)
        answer = self.producer.try_publish_many(block)
        if answer >= 0:
            self.published += count
        return answer

    def records(self) -> np.ndarray:
        return read_records(self.directory, SOURCE_MARKET)

    def close(self) -> None:
        self.writer.close(is_end=False)
        self.producer.close()
        self.consumer.close()
        self.ring.close()


@pytest.fixture
def bench(ring: Ring, directory: Path) -> Iterator[Bench]:
    made = Bench(ring, directory)
    yield made
    made.close()


def test_a_drain_takes_what_is_there_and_makes_room(bench: Bench) -> None:
    assert bench.drain.drain() == 0
    assert bench.publish(64) >= 0
    assert bench.publish(1) == FULL

    assert bench.drain.drain() == 64
    assert bench.publish(64) >= 0
    assert bench.drain.drain() == 64

    assert np.array_equal(bench.records(), market_records(128))


def test_records_stay_in_the_ring_while_they_cannot_be_written(bench: Bench) -> None:
    bench.publish(10)
    bench.writer.refuses = True
    with pytest.raises(JournalWriteError):
        bench.drain.drain()
    assert bench.consumer.next_sequence() == 0
    bench.writer.refuses = False

    assert bench.drain.drain() == 10
    assert np.array_equal(bench.records(), market_records(10))


def test_what_the_journal_has_is_not_written_again(ring: Ring, directory: Path) -> None:
    # The writer before us died between its append and giving the records back.
    before = open_market(directory)
    before.append(0, memoryview(market_records(7).tobytes()))
    before.close(is_end=False)
    bench = Bench(ring, directory)
    bench.publish(12)

    assert bench.drain.drain() == 12
    assert np.array_equal(bench.records(), market_records(12))
    bench.close()


def test_an_evicted_source_is_over_and_its_rest_is_lost_by_name(bench: Bench) -> None:
    bench.publish(5)
    bench.drain.drain()
    bench.ring.evict(0)
    bench.publish(60)

    assert bench.drain.drain() == 0
    assert bench.drain.is_evicted
    assert bench.drain.lose_rest() == 60
    report = verify_source(bench.directory, SESSION, SOURCE_MARKET)
    assert (report.record_count, report.lost_count, report.problems) == (5, 60, ())


def test_the_recorder_halts_retries_and_tells_when_it_heals(bench: Bench) -> None:
    bench.writer.refuses = True
    bench.recorder.start()
    bench.publish(20)
    wait_for("an error", lambda: bench.errors)
    assert not bench.healed.is_set()
    bench.writer.refuses = False
    wait_for("healing", bench.healed.is_set)
    bench.recorder.stop()

    assert np.array_equal(bench.records(), market_records(20))


def test_what_cannot_be_synced_is_not_healed_by_what_is_appended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "SYNC_INTERVAL_S", 0.01)
    bench.publish(1)
    bench.recorder.start()
    wait_for("a record", lambda: bench.recorder.journaled_count == 1)
    (path,) = segment_paths(bench.directory, SOURCE_MARKET)
    path.unlink()
    bench.publish(1)
    wait_for("an error", lambda: bench.errors)
    for _ in range(3):
        bench.publish(1)
        wait_for("a record", lambda: bench.recorder.journaled_count == bench.published)
    assert not bench.healed.is_set()
    bench.recorder.stop()
    bench.writer.synced_sequence = bench.writer.next_sequence  # what is lost is not asked for again


def test_the_recorder_syncs_beside(bench: Bench) -> None:
    bench.recorder.start()
    bench.publish(20)
    wait_for("a sync", lambda: bench.writer.synced_sequence == 20)
    bench.recorder.stop()

    assert bench.synced.is_set()
    assert bench.recorder.journaled_count == 20


def test_an_urgent_source_is_synced_without_waiting_for_the_interval(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "SYNC_INTERVAL_S", 1_000.0)
    bench.recorder = Recorder(
        [bench.drain],
        beat=lambda: None,
        on_write_error=bench.errors.append,
        on_evicted=bench.evicted.append,
        on_written=bench.healed.set,
        on_synced=bench.synced.set,
        urgent=SOURCE_MARKET,
    )
    bench.recorder.start()
    for total in (5, 10, 15):
        bench.publish(5)
        wait_for_sync(bench, total)
    bench.recorder.stop()


def wait_for_sync(bench: Bench, total: int) -> None:
    wait_for("a sync", lambda: bench.writer.synced_sequence == total)


def test_sources_that_are_held_stay_in_their_rings(bench: Bench) -> None:
    bench.recorder.hold(frozenset({SOURCE_MARKET}))
    bench.publish(3)
    assert bench.recorder.drain_all(5.0)
    assert len(bench.records()) == 0
    bench.recorder.release()

    assert bench.recorder.drain_all(5.0)
    assert len(bench.records()) == 3


def test_draining_everything_gives_up_after_its_budget(bench: Bench) -> None:
    bench.writer.refuses = True
    bench.publish(3)

    assert not bench.recorder.drain_all(0.2)
    assert bench.errors


def test_lag_is_the_largest_since_it_was_asked(bench: Bench) -> None:
    bench.publish(9)
    bench.drain.drain()
    bench.publish(2)
    bench.drain.drain()

    assert bench.drain.take_lag_max() == 9
    assert bench.drain.take_lag_max() == 0


def test_one_frame_never_exceeds_its_bound(directory: Path) -> None:
    records_per_batch = BATCH_BYTES // 64
    with scratch_ring(2 * records_per_batch, gating=(0,)) as ring:
        bench = Bench(ring, directory)
        bench.publish(records_per_batch + 10)
        while bench.drain.drain():
            pass
        raw = segment_paths(directory, SOURCE_MARKET)[0].read_bytes()
        counts = [frame.record_count for frame in frames.scan_frames(memoryview(raw))]
        bench.close()

    assert counts == [records_per_batch, 10]


def is_resumed(rig: OrchestratorRig) -> bool:
    """Resume, and return whether it has been taken."""
    rig.command(EventType.CONTROL_RESUME, TradingState.ENABLED)
    return rig.trading_state() == TradingState.ENABLED


def test_a_journal_that_cannot_be_written_halts_until_it_can_and_somebody_resumes(
    tmp_path: Path,
) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        wait_for("instruments", lambda: read_document(rig.directory).instruments)
        away = rig.directory.with_name("away")
        rig.directory.rename(away)
        rig.publish_events(opening_cash(5), decision())
        wait_for("HALTED", lambda: rig.trading_state() == TradingState.HALTED)
        word = rig.parts.control.role(RolePage.ORCHESTRATOR, RoleWord.TRADING_STATE_REASON)
        assert word == GuardReason.JOURNAL_UNWRITABLE

        away.rename(rig.directory)
        wait_for("events", lambda: len(read_records(rig.directory, SOURCE_EVENTS_BRAIN)) == 2)
        assert rig.trading_state() == TradingState.HALTED, "nobody resumed"
        # The word that the journal is well again may come after its first record.
        wait_for("ENABLED", partial(is_resumed, rig))
        assert rig.stop() == 0

        faults = read_records(rig.directory, "events-orchestrator")
        faults = faults[faults["event_type"] == EventType.ROLE_FAULT]
        assert faults["reason"].tolist()[0] == GuardReason.JOURNAL_UNWRITABLE
