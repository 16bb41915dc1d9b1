"""A parent order outlives its processes: killed or stopped in its middle, it is taken up again."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.domain.codes import EventType
from engine.domain.execution.profile import DAYS_MIN, QUARTERS
from engine.domain.execution.work import StopReason, WorkState
from engine.processes.volume_profiles import PROFILE_FILE
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.reader import read_batches
from engine.store.verify import verify_session
from tests.crash.test_outside_kill import EXECUTION, all_end, exchange, name, orders_of, tell
from tests.engine_process import Engine, aegis, fetch, wait_for
from tests.exchange_process import PracticeExchange

__all__ = ["exchange", "name"]  # fixtures

QTY = 0.06
STATE = "practice-practice-paper"  # of the venue, the account and the mode
TWAP = {"method": "twap", "symbol": "BTCUSDT", "side": "buy", "quantity": str(QTY)}


def parents_of(engine: Engine) -> dict[str, dict[str, Any]]:
    """Return the parents an engine shows, by their order."""
    told = fetch(engine.url, "/v1/executions") or {}
    return {row["order"]: row for row in told.get("rows", [])}


def filled_by(engine: Engine, order: str) -> float:
    """Return what a parent has filled as the engine shows it."""
    return float(parents_of(engine).get(order, {"filled": 0})["filled"])


def goes_on(engine: Engine, order: str, taken_up: int, before: float) -> float:
    """Wait until a parent that was so often taken up has filled more; return how much."""

    def shown() -> int:
        return int(parents_of(engine).get(order, {"taken_up": -1})["taken_up"])

    wait_for(f"it to be taken up {taken_up} times", lambda: shown() == taken_up)
    wait_for("it to go on", lambda: filled_by(engine, order) > before)
    return filled_by(engine, order)


def end_by(how: str, engine: Engine, pids: dict[str, int]) -> None:
    """End an engine: its brain killed, all of it killed, or asked to stop."""
    if how == "brain":
        os.kill(pids["brain"], signal.SIGKILL)
    elif how == "all":
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
    else:
        assert engine.terminate()[0] == 0
    all_end(pids)
    engine.kill()


def brought_back(engine: Engine, brain: int) -> dict[str, int]:
    """Kill the brain of an engine that starts it again in place; return its processes then."""
    os.kill(brain, signal.SIGKILL)
    wait_for("another brain", lambda: engine.wait_ready()["pids"]["brain"] != brain)
    return dict(engine.wait_ready()["pids"])


def journals(home: Path) -> list[Path]:
    """Return the journals of a home's account, oldest first."""
    return sorted((home / "state").glob("*/journal/*"), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.slow
def test_a_parent_goes_on_after_each_death_and_fills_what_was_asked(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    options = ("--exchange", exchange.url, "--name", name, "--json")
    order, before = "", 0.0
    for place, how in enumerate(("all", "brain", "stop"), start=1):
        engine = Engine(tmp_path, *options, *(("--on-role-death", "restart") * (place == 1)))
        try:
            pids = engine.wait_ready()["pids"]
            if place == 1:
                status, told = tell(engine, "execute_order", **TWAP, minutes=2, patience_s=1)
                assert status == 200, told
                order = told["order"]
                before = goes_on(engine, order, 0, before)
                pids = brought_back(engine, pids["brain"])
            before = goes_on(engine, order, place, before)
            end_by(how, engine, pids)
        finally:
            engine.kill()
    engine = Engine(tmp_path, *options)
    try:
        engine.wait_ready()
        wait_for("its end", lambda: parents_of(engine)[order]["state"] == "DONE", 150)
        assert parents_of(engine)[order]["taken_up"] == 4
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, errors
    assert json.loads(output)["exchange_agrees"] is True
    children = orders_of(exchange, EXECUTION)
    assert sum(float(row["executedQty"]) for row in children) == pytest.approx(QTY)
    assert len({row["clientOrderId"] for row in children}) == len(children)
    for journal in journals(tmp_path):
        assert verify_session(journal).is_intact
        replayed = json.loads(aegis(tmp_path, "replay", str(journal), "--json").stdout)
        # Where everything died at once the last of the market may be in no journal.
        assert replayed["identical"] or not replayed["replayable"], replayed
    assert replayed["identical"], "of the last session, which nobody killed"
    story = aegis(tmp_path, "why", order).stdout
    assert "taken_up" in story, story


@pytest.mark.slow
def test_a_learned_curve_and_a_routed_parent_go_on_after_a_death(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    learn(tmp_path / "state" / STATE, "BTCUSDT")
    options = ("--exchange", exchange.url, "--name", name, "--json")
    engine = Engine(tmp_path, *options)
    try:
        pids = engine.wait_ready()["pids"]
        words = {"side": "buy", "patience_s": 1}
        asked: dict[str, dict[str, Any]] = {
            "vwap": {"symbol": "BTCUSDT", "quantity": str(QTY), "minutes": 1.0},
            "best": {"symbol": "ETHUSDT", "quantity": "0.6", "minutes": 0.7, "display": "0.03"},
        }
        orders = {}
        for method, own in asked.items():
            status, told = tell(engine, "execute_order", method=method, **words, **own)
            assert status == 200, told
            orders[method] = told["order"]
        wait_for("both to begin", lambda: all(filled_by(engine, it) for it in orders.values()))
        assert parents_of(engine)[orders["vwap"]]["curve"] == "learned"
        end_by("all", engine, pids)
    finally:
        engine.kill()
    engine = Engine(tmp_path, *options)
    try:
        engine.wait_ready()
        for order in orders.values():
            wait_for("its end", partial(is_done, engine, order), 150)
            assert parents_of(engine)[order]["taken_up"] == 1
        assert parents_of(engine)[orders["vwap"]]["curve"] == "learned"
        assert parents_of(engine)[orders["best"]]["route"].endswith(" at practice")
        code, output, errors = engine.terminate()
    finally:
        engine.kill()
    assert code == 0, errors
    assert json.loads(output)["exchange_agrees"] is True
    children = orders_of(exchange, EXECUTION)
    for own in asked.values():
        filled = sum(
            float(row["executedQty"]) for row in children if row["symbol"] == own["symbol"]
        )
        assert filled == pytest.approx(float(own["quantity"]))
    assert len({row["clientOrderId"] for row in children}) == len(children)
    assert all(verify_session(journal).is_intact for journal in journals(tmp_path))


def is_done(engine: Engine, order: str) -> bool:
    """Return whether a parent is filled whole, as the engine shows it."""
    return bool(parents_of(engine)[order]["state"] == "DONE")


def learn(directory: Path, symbol: str) -> None:
    """Leave a day of an instrument for an engine to know, the same in every quarter of an hour."""
    directory.mkdir(parents=True)
    day = {"contracts": [900.0] * QUARTERS, "days": [DAYS_MIN] * QUARTERS}
    (directory / PROFILE_FILE).write_text(json.dumps({symbol: day}))


@pytest.mark.slow
def test_what_was_cancelled_or_ran_out_meanwhile_is_not_worked_again(
    tmp_path: Path, exchange: PracticeExchange, name: str
) -> None:
    options = ("--exchange", exchange.url, "--name", name)
    engine = Engine(tmp_path, *options)
    orders = []
    try:
        pids = engine.wait_ready()["pids"]
        for minutes in (5.0, 0.02):
            words = TWAP | {"method": "pov", "rate": 0.01}
            status, told = tell(engine, "execute_order", **words, minutes=minutes, patience_s=0)
            assert status == 200, told
            orders.append(told["order"])
        assert tell(engine, "cancel_order", order=orders[0])[0] == 200
        end_by("all", engine, pids)
    finally:
        engine.kill()
    engine = Engine(tmp_path, *options)
    try:
        engine.wait_ready()
        wait_for("both to end", lambda: ends(tmp_path, orders) == {"OPERATOR", "TIME"})
        assert engine.terminate()[0] == 0
    finally:
        engine.kill()


def ends(home: Path, orders: list[str]) -> set[str]:
    """Return why the parents ended, as the journals say."""
    numbers = {int(order.split("-")[1]) for order in orders}
    found = {}
    for journal in journals(home):
        for batch in read_batches(journal, SOURCE_EVENTS_BRAIN):
            for event in batch.records[batch.records["event_type"] == EventType.PARENT_STATE]:
                if event["order_sequence"] in numbers and event["order_status"] == WorkState.ENDED:
                    found[int(event["order_sequence"])] = StopReason(int(event["reason"])).name
    return set(found.values())
