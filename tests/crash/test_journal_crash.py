"""kill -9 at any moment: the journal opens, keeps what it said it took, and goes on."""

import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from engine.config import Config
from engine.processes import segments
from engine.processes.control import RolePage
from engine.processes.engine_start import StartError, claim_segments, take_instance
from engine.store.errors import JournalError
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_MARKET, segment_paths
from engine.store.leftovers import drain_leftover, drain_ring
from engine.store.reader import read_records
from engine.store.session import read_document, write_document
from engine.store.verify import verify_session, verify_source
from ringbuffer.segment import find_stale
from tests.engine_process import wait_for
from tests.orchestrator_rig import OrchestratorRig
from tests.ring_builders import child_command
from tests.store_builders import as_bytes, market_records, open_market
from tests.store_events import decision, opening_cash, request

CHILDREN = "tests.crash.journal_children"
ROUNDS = 12
SEGMENT_COUNT = len(segments.FIXED_KINDS) + len(segments.RING_ROWS)


spawned: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def no_child_outlives_its_test() -> Iterator[None]:
    yield
    while spawned:
        child = spawned.pop()
        if child.poll() is None:
            end(child)


def spawn(*words: object) -> subprocess.Popen[str]:
    command = child_command(CHILDREN, *words)
    spawned.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    return spawned[-1]


def end(child: subprocess.Popen[str]) -> str:
    """Kill a child and return what it still had to say."""
    child.kill()
    rest, _ = child.communicate()
    return rest


@pytest.mark.parametrize("segment_bytes", [1_500, 1 << 20])
def test_a_killed_writer_leaves_what_it_said_it_took(tmp_path: Path, segment_bytes: int) -> None:
    directory = tmp_path / "session"
    moments = random.Random(segment_bytes)
    for _ in range(ROUNDS):
        child = spawn("append", directory, segment_bytes)
        assert child.stdout is not None
        for _ in range(moments.randrange(1, 60)):
            child.stdout.readline()
        said = [int(line) for line in end(child).split()]

        kept = len(read_records(directory, SOURCE_MARKET))
        assert kept >= max(said, default=0)
        assert verify_source(directory, "session", SOURCE_MARKET).problems == ()

    writer = open_market(directory)
    assert writer.next_sequence == kept
    writer.append(kept, as_bytes(market_records(1, kept)))
    writer.close(is_end=True)
    report = verify_source(directory, "session", SOURCE_MARKET)
    assert (report.problems, report.torn_bytes, report.record_count) == ((), 0, kept + 1)
    assert np.array_equal(read_records(directory, SOURCE_MARKET), market_records(kept + 1))


def wait_for_records(rig: OrchestratorRig, more: int) -> None:
    """Wait until the journal has so many market records more than now."""
    target = len(read_records(rig.directory, SOURCE_MARKET)) + more
    wait_for("records", lambda: len(read_records(rig.directory, SOURCE_MARKET)) > target)


def test_an_orchestrator_killed_and_restarted_loses_and_doubles_nothing(tmp_path: Path) -> None:
    moments = random.Random(7)
    published = threading.Event()
    with OrchestratorRig(tmp_path) as rig:
        rig.start()

        def publish() -> None:
            while not published.wait(0.002):
                rig.publish_market(50)
                rig.publish_events(decision(cause_sequence=rig.events_published + 1))

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            for _ in range(4):
                wait_for_records(rig, moments.randrange(500))
                rig.kill()
                rig.spawn()
                rig.wait_ready()
        finally:
            published.set()
            thread.join()
        assert rig.stop() == 0

        market = read_records(rig.directory, SOURCE_MARKET)
        assert np.array_equal(market, market_records(rig.records_published))
        events = read_records(rig.directory, SOURCE_EVENTS_BRAIN)
        assert events["cause_sequence"].tolist() == list(range(1, rig.events_published + 1))
        report = verify_session(rig.directory)
        assert report.is_intact, report.problems
        assert len(segment_paths(rig.directory, SOURCE_MARKET)) >= 5


def name_and_orchestrator(child: subprocess.Popen[str]) -> tuple[str, int]:
    assert child.stdout is not None
    name, pid = child.stdout.readline().split()
    return name, int(pid)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def instance_cleanup() -> Iterator[list[str]]:
    names: list[str] = []
    yield names
    for name in names:
        segments.remove(name)


def abandoned(home: Path, instance_cleanup: list[str]) -> str:
    """Leave segments of a dead engine that hold what its journal has not; return its name."""
    child = spawn("main", home, "abandon")
    name, orchestrator = name_and_orchestrator(child)
    instance_cleanup.append(name)
    end(child)
    assert gone(orchestrator)
    return name


def test_an_orchestrator_whose_main_died_drains_before_it_ends(
    tmp_path: Path, instance_cleanup: list[str]
) -> None:
    child = spawn("main", tmp_path, "follow")
    name, orchestrator = name_and_orchestrator(child)
    instance_cleanup.append(name)
    end(child)

    wait_for("the orchestrator's end", lambda: gone(orchestrator))
    directory = next(tmp_path.glob("state/*/journal/*"))
    assert len(read_records(directory, SOURCE_EVENTS_BRAIN)) == 4
    report = verify_session(directory)
    assert report.is_intact, report.problems
    assert not any(source.is_closed for source in report.sources), "main did not end in order"


def test_what_a_dead_engine_left_is_journaled_before_its_rings_go(
    tmp_path: Path, instance_cleanup: list[str]
) -> None:
    name = abandoned(tmp_path, instance_cleanup)
    directory = next(tmp_path.glob("state/*/journal/*"))
    before = len(read_records(directory, SOURCE_EVENTS_BRAIN))
    assert before < 4

    assert segments.home_of_dead(name) == tmp_path
    removed = segments.remove_stale(name, drain_leftover(tmp_path))

    assert removed == SEGMENT_COUNT
    assert find_stale(f"aegis-{name}-") == []
    events = read_records(directory, SOURCE_EVENTS_BRAIN)
    wanted = (opening_cash(1_000), decision(), request(1), request(2))
    assert events["event_type"].tolist() == [row["event_type"] for row in wanted]
    assert verify_session(directory).is_intact


def test_what_a_dead_engine_left_is_journaled_under_its_instruments(
    tmp_path: Path, instance_cleanup: list[str]
) -> None:
    name = abandoned(tmp_path, instance_cleanup)
    directory = next(tmp_path.glob("state/*/journal/*"))
    unnamed = msgspec.structs.replace(read_document(directory), instruments=())
    write_document(directory, unnamed)

    segments.remove_stale(name, drain_leftover(tmp_path))

    found = read_document(directory)
    assert [row.symbol for row in found.instruments] == ["BTCUSDT", "ETHUSDT"]
    assert msgspec.structs.replace(found, instruments=()) == unnamed


def test_what_a_dead_engine_left_goes_to_its_own_home(
    tmp_path: Path, instance_cleanup: list[str]
) -> None:
    name = abandoned(tmp_path / "dead", instance_cleanup)
    said: list[str] = []
    claim_segments(Config(name=name, home=str(tmp_path / "ours")), said.append)
    directory = next((tmp_path / "dead").glob("state/*/journal/*"))
    assert len(read_records(directory, SOURCE_EVENTS_BRAIN)) == 4
    assert verify_session(directory).is_intact
    assert said == []
    assert not (tmp_path / "ours" / "state").exists()


def test_what_an_engine_of_another_name_left_here_is_journaled_before_we_start(
    tmp_path: Path, instance_cleanup: list[str]
) -> None:
    """Under another name the next engine knew nothing of orders in the first one's ring."""
    left = abandoned(tmp_path, instance_cleanup)
    name = f"{left}-next"
    instance_cleanup.append(name)
    claim_segments(Config(name=name, home=str(tmp_path)), print)
    directory = next(tmp_path.glob("state/*/journal/*"))
    assert len(read_records(directory, SOURCE_EVENTS_BRAIN)) == 4
    assert find_stale(f"aegis-{left}-events") == []


def test_an_engine_of_another_name_that_is_started_again_sees_to_its_own_rings(
    tmp_path: Path, instance_cleanup: list[str]
) -> None:
    left = abandoned(tmp_path, instance_cleanup)
    name = f"{left}-next"
    instance_cleanup.append(name)
    with closing(take_instance(Config(name=left, home=str(tmp_path)))):
        claim_segments(Config(name=name, home=str(tmp_path)), print)
    assert find_stale(f"aegis-{left}-events") != []


def test_what_nobody_can_journal_any_more_is_said(
    tmp_path: Path, instance_cleanup: list[str]
) -> None:
    name = abandoned(tmp_path / "dead", instance_cleanup)
    shutil.rmtree(tmp_path / "dead")
    said: list[str] = []
    claim_segments(Config(name=name, home=str(tmp_path / "ours")), said.append)
    (sentence,) = said
    assert f"removed {SEGMENT_COUNT} segments of a dead engine named {name!r}" in sentence
    assert str(tmp_path / "dead") in sentence
    assert not (tmp_path / "dead").exists()


def test_two_engines_do_not_journal_what_one_left(
    tmp_path: Path, instance_cleanup: list[str]
) -> None:
    name = abandoned(tmp_path / "dead", instance_cleanup)
    other = take_instance(Config(name=name, home=str(tmp_path / "dead")))
    with closing(other), pytest.raises(StartError, match=r"runs already .*aegis stop --name"):
        claim_segments(Config(name=name, home=str(tmp_path / "ours")), print)
    assert len(find_stale(f"aegis-{name}-")) == SEGMENT_COUNT, "they wait for another try"


def test_draining_leftovers_twice_adds_nothing(tmp_path: Path, instance_cleanup: list[str]) -> None:
    child = spawn("main", tmp_path, "abandon")
    name, _ = name_and_orchestrator(child)
    instance_cleanup.append(name)
    end(child)
    ring = f"aegis-{name}-events-brain"

    assert drain_ring(tmp_path, ring) > 0
    assert drain_ring(tmp_path, ring) == 0
    assert drain_ring(tmp_path / "elsewhere", ring) == 0


def test_a_ring_of_a_living_reader_is_not_drained(tmp_path: Path) -> None:
    with OrchestratorRig(tmp_path) as rig:
        rig.start()
        rig.parts.control.request_stop(RolePage.ORCHESTRATOR, 0)
        with pytest.raises(JournalError, match="which is running"):
            drain_ring(tmp_path, rig.parts.rings["events-brain"].name)
        assert rig.stop() == 0
