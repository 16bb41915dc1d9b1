"""One engine per account of a machine: who holds it, who waits, and what ends a wait."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engine import exit_codes
from engine.config import Config, VenueConfig
from engine.processes.engine_start import StartError
from engine.processes.lease import PREFIX, FileLease, Lease, accounts_of
from engine.store.errors import ProjectionError
from tests.engine_process import wait_for
from tests.postgres_server import PostgresServer

PRACTICE = VenueConfig(rest_url="http://127.0.0.1:1", api_key="practice")


def config_of(home: Path, **venue: object) -> Config:
    return Config(home=str(home), venue=msgspec.structs.replace(PRACTICE, **venue))


class Engine:
    """What an engine that stands by says, and when it is asked to stop."""

    def __init__(self, lease: Lease, turns: int = 10**9) -> None:
        self.lease = lease
        self.turns = turns
        self.told: list[dict[str, str]] = []
        self.said: list[str] = []
        self.waited = threading.Event()

    def stand_by(self) -> None:
        self.lease.stand_by(
            self._is_over, lambda row: self.told.append(json.loads(row)), self.said.append
        )

    def _is_over(self) -> bool:
        self.waited.set()
        self.turns -= 1
        threading.Event().wait(0.001)
        return self.turns < 0


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[Callable[[Config], Lease]]:
    opened: list[Lease] = []

    def open_lease(config: Config) -> Lease:
        opened.append(Lease(config, folder=tmp_path, look_s=0.001))
        return opened[-1]

    yield open_lease
    for each in opened:
        each.close()


# Files


def test_a_file_is_held_by_one_and_gone_when_it_is_given_back(tmp_path: Path) -> None:
    first, second = FileLease(["a", "b"], tmp_path), FileLease(["b", "c"], tmp_path)
    assert first.try_take() == ""
    assert "process" in second.try_take()
    assert len(list(tmp_path.glob(f"{PREFIX}*"))) in {2, 3}
    first.close()
    assert second.try_take() == ""
    assert "process" in first.try_take()
    second.close()
    second.close()
    assert first.try_take() == ""
    first.close()
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def test_a_file_that_a_killed_holder_left_is_nobodys(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from engine.processes.lease import FileLease\n"
        "held = FileLease(['a'], Path(sys.argv[1]))\n"
        "print(repr(held.try_take()), flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "''\n"
        ours = FileLease(["a"], tmp_path)
        assert ours.try_take() == f"process {holder.pid} of this machine"
        holder.kill()
        holder.wait()
    assert list(tmp_path.glob(f"{PREFIX}*"))
    assert ours.try_take() == ""
    ours.close()


def test_many_who_want_it_are_never_two_who_have_it(tmp_path: Path) -> None:
    inside: list[int] = []
    seen: list[int] = []
    mutex = threading.Lock()

    def turn(number: int) -> None:
        mine = FileLease(["a"], tmp_path)
        for _ in range(200):
            if mine.try_take():
                continue
            with mutex:
                inside.append(number)
                seen.append(len(inside))
            with mutex:
                inside.remove(number)
            mine.close()

    threads = [threading.Thread(target=turn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen
    assert set(seen) == {1}


# Accounts


def test_homes_share_an_account_where_the_key_and_the_address_are_one(tmp_path: Path) -> None:
    here, there = config_of(tmp_path / "a"), config_of(tmp_path / "b")
    shared = set(accounts_of(here, "a")) & set(accounts_of(there, "b"))
    assert len(shared) == 1
    for other in ({"rest_url": "http://127.0.0.1:2"}, {"api_key": "another"}):
        assert not set(accounts_of(here, "a")) & set(accounts_of(config_of(tmp_path, **other), "b"))
    assert "practice" not in "".join(name.split()[-1] for name in shared), "a key is not shown"


def test_accounts_that_are_filled_here_are_those_of_a_home(tmp_path: Path) -> None:
    paper = config_of(tmp_path, name="binance", third_party=True)
    assert paper.fills_here
    assert accounts_of(paper, "x") == ["state x"]
    assert accounts_of(paper, "x") != accounts_of(paper, "y")


# Standing by


def test_the_second_waits_says_why_and_takes_over(
    tmp_path: Path, lease: Callable[[Config], Lease]
) -> None:
    first = Engine(lease(config_of(tmp_path / "a")))
    first.stand_by()
    assert (first.told, first.said) == ([], [])
    second = Engine(lease(config_of(tmp_path / "b")))
    waiting = threading.Thread(target=second.stand_by)
    waiting.start()
    wait_for("the sentence", lambda: second.said, 20.0)
    assert waiting.is_alive()
    first.lease.close()
    waiting.join(20.0)
    assert not waiting.is_alive()
    assert [row["status"] for row in second.told] == ["standby"], "said once"
    assert "holds the account's lease" in second.told[0]["reason"]
    assert "over" in second.said[-1]


def test_who_is_asked_to_stop_while_it_waits_leaves_in_order(
    tmp_path: Path, lease: Callable[[Config], Lease]
) -> None:
    first = Engine(lease(config_of(tmp_path / "a")))
    first.stand_by()
    second = Engine(lease(config_of(tmp_path / "b")), turns=3)
    with pytest.raises(StartError) as raised:
        second.stand_by()
    assert raised.value.exit_code == exit_codes.DONE


def test_a_file_that_cannot_be_locked_is_one_sentence(tmp_path: Path) -> None:
    blocked = Lease(config_of(tmp_path), folder=tmp_path / "missing")
    with pytest.raises(StartError, match="cannot be locked"):
        Engine(blocked).stand_by()


# The database beside it


class Database:
    """A lease in a database that answers what a test says."""

    def __init__(self) -> None:
        self.answer: str | None = ""  # None: away
        self.asked = 0
        self.is_closed = False

    def try_take(self) -> str:
        self.asked += 1
        if self.answer is None:
            raise ProjectionError("postgresql x is away")
        return self.answer

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database()
    monkeypatch.setattr("engine.processes.lease._database_lease", lambda _: made)
    return made


def test_a_lease_lost_to_another_is_told_and_an_absent_database_loses_nothing(
    tmp_path: Path, lease: Callable[[Config], Lease], database: Database
) -> None:
    ours = lease(config_of(tmp_path))
    Engine(ours).stand_by()
    database.answer = None
    asked = database.asked
    wait_for("looks at an absent database", lambda: database.asked > asked + 3, 20.0)
    assert ours.lost == ""
    database.answer = "process 7 of elsewhere"
    wait_for("the loss", lambda: ours.lost, 20.0)
    assert "process 7 of elsewhere holds the account's lease" in ours.lost
    wait_for("the connection to be closed", lambda: database.is_closed, 20.0)


def test_practice_money_does_not_wait_for_an_absent_database(
    tmp_path: Path, lease: Callable[[Config], Lease], database: Database
) -> None:
    database.answer = None
    engine = Engine(lease(config_of(tmp_path)))
    engine.stand_by()
    assert engine.said == []


def test_real_orders_wait_for_an_absent_database(
    tmp_path: Path, lease: Callable[[Config], Lease], database: Database
) -> None:
    database.answer = None
    config = msgspec.structs.replace(
        config_of(tmp_path, name="binance", third_party=True), trading_mode="live"
    )
    assert config.orders_leave
    engine = Engine(lease(config))
    waiting = threading.Thread(target=engine.stand_by)
    waiting.start()
    wait_for("the sentence", lambda: engine.said, 20.0)
    assert "nobody knows who" in engine.said[0]
    database.answer = ""
    waiting.join(20.0)
    assert not waiting.is_alive()


def test_a_refusal_of_the_database_gives_the_files_back(
    tmp_path: Path, lease: Callable[[Config], Lease], database: Database
) -> None:
    database.answer = "process 7 of elsewhere"
    config = config_of(tmp_path)
    with pytest.raises(StartError):
        Engine(lease(config), turns=0).stand_by()
    names = accounts_of(config, str(Path(config.state_dir)))
    free = FileLease(names, tmp_path)
    assert free.try_take() == ""
    free.close()


# Two machines that share a server


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    running = PostgresServer()
    yield running
    running.stop()
    running.remove()


def machine(tmp_path: Path, name: str, server: PostgresServer) -> Engine:
    """Return an engine on a machine of its own: its lease files are nobody else's."""
    folder = tmp_path / name
    folder.mkdir()
    config = msgspec.structs.replace(config_of(folder / "home"), database_url=server.url)
    return Engine(Lease(config, folder=folder, look_s=0.01))


def test_of_two_machines_one_trades_and_the_other_takes_over(
    tmp_path: Path, server: PostgresServer
) -> None:
    first, second = (machine(tmp_path, name, server) for name in ("a", "b"))
    first.stand_by()
    waiting = threading.Thread(target=second.stand_by)
    waiting.start()
    wait_for("the sentence", lambda: second.said, 20.0)
    assert f"process {os.getpid()} of " in second.said[0]
    assert server.url not in second.said[0]
    assert waiting.is_alive()
    first.lease.close()
    waiting.join(20.0)
    assert not waiting.is_alive()
    second.lease.close()


def test_who_lost_its_connection_takes_the_lease_again_or_says_that_it_is_gone(
    tmp_path: Path, server: PostgresServer
) -> None:
    first = machine(tmp_path, "a", server)
    first.stand_by()
    server.stop()
    server.start()
    second = machine(tmp_path, "b", server)
    waiting = threading.Thread(target=second.stand_by)
    waiting.start()
    leases = (first.lease, second.lease)
    wait_for("one of them to know", lambda: second.said or any(each.lost for each in leases))
    without = [bool(first.lease.lost), bool(second.lease.lost) or waiting.is_alive()]
    assert sorted(without) == [False, True], "never both, never neither"
    first.lease.close()
    waiting.join(20.0)
    assert not waiting.is_alive()
    second.lease.close()
