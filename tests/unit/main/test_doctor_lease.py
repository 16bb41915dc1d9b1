"""`aegis doctor` on the account's lease: who has it is named, and a look takes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from engine.config import Config, VenueConfig
from engine.processes.doctor_lease import look_at_lease
from engine.processes.lease import PREFIX, FileLease, Lease, accounts_of
from engine.processes.runfile import RunFile
from engine.store.errors import ProjectionError
from tests.postgres_server import PostgresServer

URL = "http://127.0.0.1:1"
VENUE = VenueConfig(
    name="binance", account="main", third_party=True, rest_url=URL, api_key="of-a-test"
)
OURS = f"process {os.getpid()} of this machine"


def config_of(tmp_path: Path, mode: str = "live", **changed: object) -> Config:
    config = Config(home=str(tmp_path / "home"), venue=VENUE, trading_mode=mode)
    return msgspec.structs.replace(config, **changed)


def held_by(config: Config, folder: Path) -> FileLease:
    lease = FileLease(accounts_of(config, str(Path(config.state_dir).absolute())), folder)
    assert lease.try_take() == ""
    return lease


def test_a_free_account_is_ok_and_a_look_leaves_no_file(tmp_path: Path) -> None:
    found = look_at_lease(config_of(tmp_path), tmp_path)
    assert (found.level, found.found) == (
        "ok",
        "binance-main-live: nobody holds it on this machine",
    )
    assert list(tmp_path.iterdir()) == []


def test_an_account_that_another_engine_holds_is_a_warning_with_its_process(tmp_path: Path) -> None:
    """Once the line spoke of engines of this name and home alone."""
    lease = held_by(config_of(tmp_path), tmp_path)
    other_home = config_of(tmp_path / "elsewhere")  # the same key at the same venue
    for config in (config_of(tmp_path), other_home):
        found = look_at_lease(config, tmp_path)
        assert (found.level, found.found) == ("warn", f"binance-main-live: {OURS} holds it")
        assert "stands by" in found.remedy
    assert FileLease(["another"], tmp_path).try_take() == ""
    lease.close()
    assert look_at_lease(config_of(tmp_path), tmp_path).level == "ok"


def test_a_paper_account_is_its_directory_not_its_key(tmp_path: Path) -> None:
    lease = held_by(config_of(tmp_path, "paper"), tmp_path)
    assert look_at_lease(config_of(tmp_path, "paper"), tmp_path).level == "warn"
    assert look_at_lease(config_of(tmp_path / "elsewhere", "paper"), tmp_path).level == "ok"
    lease.close()


def test_a_file_that_a_dead_engine_left_is_nobodys(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    lease = held_by(config, tmp_path)
    names = [path.name for path in tmp_path.glob(f"{PREFIX}*")]
    lease.close()
    for name in names:
        (tmp_path / name).write_text("process 1 of this machine\n", "ascii")
    assert look_at_lease(config, tmp_path).level == "ok"
    assert sorted(path.name for path in tmp_path.glob(f"{PREFIX}*")) == sorted(names)


def test_our_own_engine_holds_it_rightly(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    lease = held_by(config, tmp_path)
    (tmp_path / "home" / "run").mkdir(parents=True)
    RunFile(tmp_path / "home" / "run", config.name).write(config, "127.0.0.1", 1, "token")
    found = look_at_lease(config, tmp_path)
    assert (found.level, found.found) == ("ok", f"binance-main-live: {OURS} holds it, as 'main'")
    lease.close()


def test_another_users_file_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("engine.processes.lease.os.open", refuse)
    found = look_at_lease(config_of(tmp_path), tmp_path)
    assert found.level == "fail"
    assert "another user's" in found.found
    assert found.remedy


def test_each_practice_run_has_an_account_of_its_own(tmp_path: Path) -> None:
    found = look_at_lease(Config(home=str(tmp_path)), tmp_path)
    assert (found.level, "of its own" in found.found) == ("ok", True)


@pytest.mark.parametrize(("mode", "level"), [("live", "fail"), ("paper", "warn")])
def test_a_database_that_is_away_fails_where_real_orders_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, level: str
) -> None:
    def away(_: Config) -> str:
        raise ProjectionError("postgresql db is away: OperationalError")

    monkeypatch.setattr("engine.processes.doctor_lease.holder_of_database", away)
    config = config_of(tmp_path, mode)
    found = look_at_lease(config, tmp_path)
    assert found.level == level
    assert "postgresql db is away" in found.found


def test_an_engine_of_another_machine_is_seen_in_the_database(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the postgres extra is not installed")
    server = PostgresServer()
    try:
        config = config_of(tmp_path, database_url=server.url)
        assert look_at_lease(config, tmp_path).found.endswith(
            "nobody holds it here or in the database"
        )
        (tmp_path / "other").mkdir()
        other = Lease(config, folder=tmp_path / "other")
        other.stand_by(lambda: False, lambda _: None, lambda _: None)
        for _ in range(2):  # the first look took nothing and left nothing
            found = look_at_lease(config, tmp_path)
            assert found.level == "warn"
            assert f"process {os.getpid()} of " in found.found
            assert server.url not in found.found
        other.close()
    finally:
        server.stop()
        server.remove()
