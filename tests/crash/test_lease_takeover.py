"""Two engines with one account's key: one trades, the other stands by and takes over."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.engine_process import Engine, fetch, wait_for
from tests.exchange_process import PracticeExchange


@pytest.fixture
def exchange() -> Iterator[PracticeExchange]:
    running = PracticeExchange("--generate", "2", "--seed", "7", "--speed", "5")
    yield running
    running.stop()


@pytest.fixture
def engines() -> Iterator[list[Engine]]:
    started: list[Engine] = []
    yield started
    for engine in started:
        engine.kill()


def health_of(engine: Engine) -> tuple[str, dict[str, Any] | None]:
    """Return the address of an engine that has no run file yet, and what its `/health` says."""
    listening = [
        row.laddr.port
        for row in psutil.Process(engine.process.pid).net_connections("tcp4")
        if row.status == psutil.CONN_LISTEN
    ]
    url = f"http://127.0.0.1:{listening[0]}" if listening else "http://127.0.0.1:1"
    return url, fetch(url, "/health")


def wait_standby(engine: Engine) -> str:
    """Wait until an engine says that it stands by; return its address."""

    def waits() -> str:
        assert engine.process.poll() is None, engine.finish()
        url, health = health_of(engine)
        return url if health and health["status"] == "standby" else ""

    return str(wait_for("the engine to stand by", waits))


@pytest.mark.slow
def test_the_second_home_trades_when_the_first_engine_is_gone_and_not_before(
    tmp_path: Path, exchange: PracticeExchange, engines: list[Engine]
) -> None:
    words = ("--exchange", exchange.url, "--json", "--name")
    engines.append(Engine(tmp_path / "first", *words, f"lease-a{os.getpid()}"))
    engines[0].wait_count("fills", 1)
    engines.append(Engine(tmp_path / "second", *words, f"lease-b{os.getpid()}"))
    url = wait_standby(engines[1])
    status = fetch(url, "/status")
    assert status is not None
    assert f"process {engines[0].process.pid} " in status["reason"]
    assert list((tmp_path / "second").glob("state/*/journal/*")) == [], "it has begun nothing"
    engines[0].process.send_signal(signal.SIGKILL)
    engines[1].wait_count("fills", 1)
    code, output, errors = engines[1].terminate()
    assert code == 0, f"{output}\n{errors}"
    assert json.loads(output)["exchange_agrees"] is True, output
    assert "holds the account's lease" in errors
    sent = [row["clientOrderId"] for row in exchange.ledger()["orders"]]
    assert len(set(sent)) == len(sent), "an order of one was named like one of the other"


@pytest.mark.slow
def test_who_stands_by_leaves_in_order_and_takes_nothing(
    tmp_path: Path, exchange: PracticeExchange, engines: list[Engine]
) -> None:
    words = ("--exchange", exchange.url, "--json", "--name")
    engines.append(Engine(tmp_path / "first", *words, f"lease-c{os.getpid()}"))
    engines[0].wait_ready()
    engines.append(Engine(tmp_path / "second", *words, f"lease-d{os.getpid()}"))
    wait_standby(engines[1])
    code, _, errors = engines[1].terminate()
    assert code == 0, errors
    assert "never traded" in errors
    code, output, errors = engines[0].terminate()
    assert code == 0, f"{output}\n{errors}"
