"""The recorder takes every record of a ring, never holds it up, and writes down what it lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.domain.codes import GapReason, RecordType
from engine.domain.records import MARKET_DTYPE
from engine.processes import record as record_module
from engine.processes.record import MarketEar, Recorder
from engine.tapes.errors import TapeError
from engine.tapes.folder import TapeFolder
from engine.tapes.reader import Records, TapeReader, joined
from engine.tapes.recording import Recording, resume_from
from engine.tapes.writer import TapeWriter
from ringbuffer.errors import SegmentError
from tests.feed_rig import BTC, ETH
from tests.recorder_rig import SLOTS, FakeEngine, recorded
from tests.tape_builders import market


@pytest.fixture
def fake_engine() -> Iterator[FakeEngine]:
    engine = FakeEngine(f"rec{os.getpid()}")
    engine.know(BTC, ETH)
    yield engine
    engine.close()


class Running:
    """A recorder in a thread of its own."""

    def __init__(self, ear: MarketEar, folder: Path) -> None:
        self.recording = Recording(TapeFolder(folder), "main", ear.instruments())
        self.recorder = Recorder(ear, self.recording)
        self._stop = threading.Event()
        self.failure: TapeError | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.recorder.run(self._stop.is_set, lambda: None)
        except TapeError as error:
            self.failure = error

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_every_record_is_on_the_tape_as_it_was_in_the_ring(
    fake_engine: FakeEngine, tmp_path: Path
) -> None:
    first = fake_engine.publish(300)  # before anybody listens
    ear = MarketEar(fake_engine.name)
    assert ear.begin(0)
    running = Running(ear, tmp_path)
    rest = fake_engine.publish(600)
    running.stop()
    ear.close()
    assert recorded(tmp_path).tobytes() == joined([first, rest]).tobytes()
    assert (running.recording.record_count, running.recording.lost_count) == (900, 0)
    (path,) = TapeFolder(tmp_path).finished()
    with TapeReader(path) as tape:
        assert tape.instruments == [BTC, ETH]


def test_it_starts_in_front_of_what_may_be_overwritten(
    fake_engine: FakeEngine, tmp_path: Path
) -> None:
    records = fake_engine.publish(3 * SLOTS)
    ear = MarketEar(fake_engine.name)
    assert not ear.begin(0)
    running = Running(ear, tmp_path)
    running.stop()
    ear.close()
    assert recorded(tmp_path).tobytes() == records[-SLOTS * 3 // 4 :].tobytes()
    assert running.recording.lost_count == 0  # what was before it came is no loss of its


def test_what_went_by_unread_is_written_down(fake_engine: FakeEngine, tmp_path: Path) -> None:
    ear = MarketEar(fake_engine.name)
    ear.begin(0)
    first = fake_engine.publish(10)
    into = np.zeros(64, dtype=MARKET_DTYPE)
    assert ear.take(into) == (0, 10, 0)
    later = fake_engine.publish(5 * SLOTS)
    running = Running(ear, tmp_path)
    running.stop()
    ear.close()
    found = recorded(tmp_path)
    gaps = found[found["record_type"] == RecordType.GAP]
    kept = found[found["record_type"] != RecordType.GAP]
    assert set(gaps["gap_reason"].tolist()) == {GapReason.LAPPED}
    lost = running.recording.lost_count
    assert lost > 0
    assert set(gaps["lost_count"].tolist()) == {lost}
    assert set(gaps["first_id"].tolist()) == {10}
    assert lost + len(kept) == len(later)
    assert kept.tobytes() == later[lost:].tobytes()
    assert found["record_type"][0] == RecordType.GAP
    assert len(first) == 10


def test_a_loss_in_the_middle_of_a_block_stands_in_its_place(tmp_path: Path) -> None:
    """The ear is made up: it gives three records, loses five, gives four."""
    records = market(12)

    class Ear:
        instrument_count = 2

        def __init__(self) -> None:
            self.gives = [(0, records[:3], 0), (8, records[8:], 5)]

        def instruments(self) -> Records:
            return np.zeros(2, dtype=np.void(256).dtype)

        def is_engine_alive(self) -> bool:
            return bool(self.gives)

        def take(self, into: Records) -> tuple[int, int, int]:
            if not self.gives:
                return 12, 0, 0
            first, given, lost = self.gives.pop(0)
            into[: len(given)] = given
            return first, len(given), lost

    recording = Recording(TapeFolder(tmp_path), "main", Ear().instruments())
    Recorder(Ear(), recording).run(lambda: False, lambda: None)  # type: ignore[arg-type]
    found = recorded(tmp_path)
    kinds = found["record_type"] == RecordType.GAP
    assert kinds.tolist() == [False] * 3 + [True] * 6 + [False] * 4
    assert found[~kinds].tobytes() == joined([records[:3], records[8:]]).tobytes()
    assert set(found["first_id"][kinds].tolist()) == {3}


def test_the_producer_is_never_held_up(fake_engine: FakeEngine, tmp_path: Path) -> None:
    ear = MarketEar(fake_engine.name)
    fake_engine.publish(20 * SLOTS)  # nobody takes anything; each publish must still succeed
    assert fake_engine.ring.gating_sequence() == fake_engine.ring.published()
    ear.close()
    assert not list(tmp_path.iterdir())


def test_a_disk_that_refuses_ends_the_recorder_and_keeps_the_tape(
    fake_engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = MarketEar(fake_engine.name)
    ear.begin(0)
    records = fake_engine.publish(100)
    running = Running(ear, tmp_path)
    while running.recording.record_count < 100:
        assert running.failure is None

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("engine.tapes.writer.os.writev", refuse)
        fake_engine.publish(10)
        running._thread.join(30)
    ear.close()
    assert "No space left" in str(running.failure)
    assert recorded(tmp_path).tobytes() == records.tobytes()


def test_no_more_memory_than_was_reserved(
    fake_engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "BLOCK_COUNT", 2)
    monkeypatch.setattr(record_module, "BLOCK_RECORDS", 16)
    ear = MarketEar(fake_engine.name)
    ear.begin(0)
    running = Running(ear, tmp_path)
    records = fake_engine.publish(900)
    running.stop()
    ear.close()
    assert recorded(tmp_path).tobytes() == records.tobytes()


def test_no_engine_is_said_and_leaves_nothing() -> None:
    with pytest.raises(SegmentError):
        MarketEar(f"nobody{os.getpid()}")


def test_a_dead_engine_is_seen(fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    ear = MarketEar(fake_engine.name)
    assert ear.is_engine_alive()
    monkeypatch.setattr(record_module, "owner_alive", lambda *_: False)
    assert not ear.is_engine_alive()
    ear.close()


def test_the_next_recorder_goes_on_where_the_last_one_was(
    fake_engine: FakeEngine, tmp_path: Path
) -> None:
    parts = []
    for _ in range(3):
        parts.append(fake_engine.publish(150))
        ear = MarketEar(fake_engine.name)
        resumed = resume_from(TapeFolder(tmp_path), ear.run)
        assert ear.begin(resumed.last_word)
        recording = Recording(
            TapeFolder(tmp_path),
            "main",
            ear.instruments(),
            source=ear.run,
            books=resumed.books,
            last_word=resumed.last_word,
        )
        stops = iter([False, True])
        Recorder(ear, recording).run(lambda: next(stops), lambda: None)  # noqa: B023  run at once
        ear.close()
        assert recording.record_count == 150
    found = recorded(tmp_path)
    words = found["sequence"]
    # Books at the head of the second and third tape carry the word of the record before them.
    is_head = np.concatenate([[False], words[1:] == words[:-1]])
    assert found[~is_head].tobytes() == joined(parts).tobytes()
    assert 20 < int(is_head.sum()) < 200
    assert set(found["record_type"][is_head].tolist()) == {RecordType.LEVEL}


def test_what_is_gone_between_two_recorders_is_a_gap(
    fake_engine: FakeEngine, tmp_path: Path
) -> None:
    fake_engine.publish(100)
    path = TapeFolder(tmp_path).tape_path("a", 0)
    ear = MarketEar(fake_engine.name)
    with TapeWriter(path, source=ear.run) as writer:
        writer.append(market(60), 0)
        writer.end()
    later = fake_engine.publish(4 * SLOTS)
    resumed = resume_from(TapeFolder(tmp_path), ear.run)
    assert resumed.last_word == 60
    assert not ear.begin(resumed.last_word)
    into = np.zeros(64, dtype=MARKET_DTYPE)
    first, _, lost = ear.take(into)
    assert lost == first - 60 > 0
    assert into[0].tobytes() == later[first - 100].tobytes()
    ear.close()


def test_another_run_of_the_engine_is_another_recording(
    fake_engine: FakeEngine, tmp_path: Path
) -> None:
    with TapeWriter(TapeFolder(tmp_path).tape_path("a", 0), source="main/1.2.3") as writer:
        writer.append(market(60), 0)
    ear = MarketEar(fake_engine.name)
    assert resume_from(TapeFolder(tmp_path), ear.run).last_word == 0
    ear.close()


def test_an_instrument_that_comes_in_begins_a_tape_that_knows_it(
    fake_engine: FakeEngine, tmp_path: Path
) -> None:
    third = msgspec.structs.replace(ETH, symbol="SOLUSDT", instrument_index=2)
    ear = MarketEar(fake_engine.name)
    ear.begin(0)
    running = Running(ear, tmp_path)
    first = fake_engine.publish(300)
    deadline = time.monotonic() + 30
    while running.recording.record_count < 300:
        assert time.monotonic() < deadline, "the first records are on the tape"
        time.sleep(0.01)
    fake_engine.know(BTC, ETH, third)
    rest = fake_engine.publish(300)
    running.stop()
    ear.close()
    paths = TapeFolder(tmp_path).finished()
    known = []
    for path in paths:
        with TapeReader(path) as tape:
            known.append([row.symbol for row in tape.instruments])
    assert known == [["BTCUSDT", "ETHUSDT"], ["BTCUSDT", "ETHUSDT", "SOLUSDT"]]
    found = recorded(tmp_path)
    assert found[: len(first)].tobytes() == first.tobytes()
    assert found[-len(rest) :].tobytes() == rest.tobytes()
