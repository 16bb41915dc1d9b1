"""kill -9 of each role and of main, against an exchange that outlives the engine.

After every crash: no orphan process, no stale segment on the next start, the journal opens, and
orders and positions equal the exchange's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.domain.codes import EventType
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import read_records
from engine.store.verify import verify_session
from tests.engine_process import Engine, aegis, alive, wait_for
from tests.exchange_process import PracticeExchange

ROLES = ("orchestrator", "feed", "brain")
SHM = Path("/dev/shm")


@pytest.fixture
def exchange() -> Iterator[PracticeExchange]:
    running = PracticeExchange("--generate", "2", "--seed", "7", "--speed", "5")
    yield running
    running.stop()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    made = f"k{os.getpid()}-{zlib.crc32(request.node.name.encode()):08x}"
    yield made
    for left in segments(made):  # of a test that failed: shared memory outlives everybody
        (SHM / left).unlink()


def start(home: Path, exchange: PracticeExchange, name: str, *more: str) -> Engine:
    return Engine(home, "--exchange", exchange.url, "--name", name, *more)


def segments(name: str) -> list[str]:
    return sorted(path.name for path in SHM.glob(f"aegis-{name}-*"))


def journals(home: Path) -> list[Path]:
    return sorted((home / "state").glob("*/journal/*"))


def agree(home: Path, exchange: PracticeExchange, name: str) -> None:
    """Start again, stop in order, and let the engine compare its books with the exchange's."""
    engine = start(home, exchange, name, "--for", "5", "--json")
    code, output, errors = engine.finish()
    assert code == 0, f"{output}\n{errors}"
    summary = json.loads(output)
    assert summary["exchange_agrees"] is True, summary["differences"]
    ledger = exchange.ledger()
    assert summary["compared"]["orders"] == len(ledger["orders"]) > 0
    assert summary["compared"]["fills"] == len(ledger["trades"])


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_a_killed_role_ends_the_engine_and_loses_nothing(
    tmp_path: Path, exchange: PracticeExchange, name: str, role: str
) -> None:
    engine = start(tmp_path, exchange, name)
    try:
        status = engine.wait_ready()
        engine.wait_count("orders", 1)
        pids = status["pids"]
        os.kill(pids[role], signal.SIGKILL)
        code, output, errors = engine.finish()
    finally:
        engine.kill()
    assert code == 1, errors
    assert f"{role} died" in output + errors
    assert [pid for pid in pids.values() if alive(pid)] == []
    assert segments(name) == []
    assert all(verify_session(path).is_intact for path in journals(tmp_path))
    agree(tmp_path, exchange, name)


@pytest.mark.slow
def test_a_killed_main_leaves_no_orphan_and_the_next_start_cleans_up(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    engine = start(tmp_path, exchange, name)
    try:
        pids = engine.wait_ready()["pids"]
        engine.wait_count("orders", 1)
        os.kill(pids["main"], signal.SIGKILL)
        wait_for("children to end", lambda: not [p for p in pids.values() if alive(p)])
    finally:
        engine.kill()
    assert segments(name) != [], "nobody was left to remove them"
    agree(tmp_path, exchange, name)
    assert segments(name) == []
    assert all(verify_session(path).is_intact for path in journals(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_restarted_in_place_when_asked(
    tmp_path: Path, exchange: PracticeExchange, name: str, role: str
) -> None:
    engine = start(tmp_path, exchange, name, "--on-role-death", "restart", "--json")
    try:
        first = engine.wait_ready()
        engine.wait_count("orders", 1)
        os.kill(first["pids"][role], signal.SIGKILL)

        def back() -> bool:
            status = engine.status()
            if status is None or status["pids"][role] == first["pids"][role]:
                return False
            return all(row["state"] == "READY" for row in status["roles"])

        wait_for(f"the {role} to come back", back)
        before = engine.status()
        assert before is not None
        engine.wait_count("records", before["counts"]["records"] + 10)
        engine.wait_count("orders", before["counts"]["orders"] + 1)
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, f"{output}\n{errors}"
    summary = json.loads(output)
    assert summary["exchange_agrees"] is True, summary["differences"]
    assert ids_repeated(exchange) == []
    assert all(verify_session(path).is_intact for path in journals(tmp_path))


def ids_repeated(exchange: PracticeExchange) -> list[str]:
    ids = [row["clientOrderId"] for row in exchange.ledger()["orders"]]
    return sorted(each for each in set(ids) if ids.count(each) > 1)


@pytest.mark.slow
def test_a_home_that_was_lost_repeats_no_client_id_and_leaves_no_order(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    lost, fresh = tmp_path / "lost", tmp_path / "fresh"
    engine = start(lost, exchange, name)
    try:
        pids = engine.wait_ready()["pids"]
        engine.wait_count("orders", 3)
        os.kill(pids["main"], signal.SIGKILL)
        wait_for("children to end", lambda: not [p for p in pids.values() if alive(p)])
    finally:
        engine.kill()
    before = {row["clientOrderId"] for row in exchange.ledger()["orders"]}
    assert len(before) >= 3
    (lost / "cache").unlink()
    shutil.rmtree(lost)

    engine = start(fresh, exchange, name, "--json")
    try:
        engine.wait_ready()
        engine.wait_count("orders", 3)
        code, output, errors = engine.terminate()
    finally:
        engine.kill()

    assert code == 0, f"{output}\n{errors}"
    orders = exchange.ledger()["orders"]
    later = {row["clientOrderId"] for row in orders} - before
    assert len(later) >= 3
    assert ids_repeated(exchange) == []
    assert len(orders) == len(before) + len(later)
    assert [row for row in orders if row["status"] in {"NEW", "PARTIALLY_FILLED"}] == []


@pytest.mark.slow
def test_a_hung_role_ends_the_engine(tmp_path: Path, exchange: PracticeExchange, name: str) -> None:
    engine = start(tmp_path, exchange, name)
    try:
        pids = engine.wait_ready()["pids"]
        os.kill(pids["feed"], signal.SIGSTOP)
        code, output, errors = engine.finish()
    finally:
        engine.kill()
    assert code == 1
    assert "hangs" in output + errors
    assert [pid for pid in pids.values() if alive(pid)] == []


@pytest.mark.slow
def test_sigterm_with_orders_in_flight_accounts_for_everything(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    engine = start(tmp_path, exchange, name, "--json")
    try:
        engine.wait_ready()
        engine.wait_count("orders", 2)
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, f"{output}\n{errors}"
    assert '"exchange_agrees": true' in output
    assert segments(name) == []


@pytest.mark.slow
def test_a_second_engine_of_the_same_name_is_refused(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    engine = start(tmp_path, exchange, name)
    try:
        engine.wait_ready()
        second = start(tmp_path, exchange, name)
        code, output, errors = second.finish()
        assert code == 3
        assert "runs already" in output + errors
        assert engine.status() is not None, "the first one is not disturbed"
        engine.terminate()
    finally:
        engine.kill()


@pytest.mark.slow
def test_a_halt_survives_kill_9_and_restart(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    engine = start(tmp_path, exchange, name)
    try:
        pids = engine.wait_ready()["pids"]
        assert aegis(tmp_path, "halt", "test", "--name", name).returncode == 0
        os.kill(pids["main"], signal.SIGKILL)
        wait_for("children to end", lambda: not [p for p in pids.values() if alive(p)])
    finally:
        engine.kill()
    again = start(tmp_path, exchange, name)
    try:
        status = again.wait_ready()
        assert status["trading_state"] == "HALTED"
        orders = status["counts"]["orders"]
        done = aegis(tmp_path, "resume", "--reason", "test over", "--name", name)
        assert done.returncode == 0
        again.wait_count("orders", orders + 1)
        again.terminate()
    finally:
        again.kill()


def told(engine: Engine) -> dict[str, Any]:
    """Return the status, once there is one."""
    found: dict[str, Any] = wait_for("a status", engine.status)
    return found


@pytest.mark.slow
def test_a_days_loss_survives_kill_9_and_only_an_operator_with_a_reason_re_arms(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    config = tmp_path / "strict.toml"
    config.write_text("[limits]\nmax_daily_loss_ratio = 0.000001\n")  # the first fee is too much
    strict = ("--config", str(config))
    engine = start(tmp_path, exchange, name, *strict)
    try:
        pids = engine.wait_ready()["pids"]
        wait_for("the halt", lambda: told(engine)["trading_state"] == "HALTED")
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        wait_for("everybody's end", lambda: not [p for p in pids.values() if alive(p)])
    finally:
        engine.kill()
    again = start(tmp_path, exchange, name, *strict)
    try:
        assert again.wait_ready()["trading_state"] == "HALTED"
        wait_for("a refusal", lambda: sum(told(again)["refusals"].values()) > 0)
        assert told(again)["counts"]["orders"] == 0
        assert aegis(tmp_path, "resume", "--name", name).returncode == 2, "why is not said"
        assert told(again)["trading_state"] == "HALTED"
        done = aegis(tmp_path, "resume", "--reason", "looked at the loss", "--name", name)
        assert done.returncode == 0, done.stderr
        again.wait_count("orders", 1)
        again.terminate()
    finally:
        again.kill()
    journaled = [read_records(path, SOURCE_EVENTS_BRAIN) for path in journals(tmp_path)]
    kinds = [records["event_type"].tolist() for records in journaled]
    assert EventType.CONTROL_RESUME not in kinds[0]
    (resumed,) = [row for row in journaled[1] if row["event_type"] == EventType.CONTROL_RESUME]
    assert resumed["text"].decode() == "cli: looked at the loss"
