"""A command whose caller gave up is not carried out later: only a HALT always is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine import api_client
from engine.domain.codes import TradingState
from engine.processes.runfile import RunningEngine
from engine.web.bodies import CommandBody
from engine.web.operations import OPERATIONS
from tests.api_rig import TOKEN, Served, serving

BODY = {"reason": "checked the books"}
GONE = {"expires_ms": 1_000}  # 1970
TO_COME = {"expires_ms": 4_000_000_000_000}
ORDER = {"symbol": "BTCUSDT", "side": "buy", "quantity": "1"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


def test_a_resume_that_is_too_late_changes_nothing_and_is_audited(served: Served) -> None:
    served.operator.trading_state = TradingState.HALTED
    answer = served.told("resume", BODY | GONE)
    assert answer.status == 412
    assert "its caller gave up" in answer.document["effect"]
    assert served.operator.told == []
    (row,) = served.audit.rows(-1, 10)
    assert (row["what"], row["done"], row["status"]) == ("resume", False, 412)
    assert (row["before"], row["after"]) == ("HALTED", "HALTED")
    assert row["effect"] == answer.document["effect"]


def test_a_resume_that_became_late_while_it_looked_changes_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_s = time.time() + 1.0
    look = served.operator.look

    def slow(name: str, who: str) -> Any:  # noqa: ANN401  what the rig finds
        while time.time() <= expires_s:
            time.sleep(0.01)
        return look(name, who)

    monkeypatch.setattr(served.operator, "look", slow)
    body = BODY | {"expires_ms": int(expires_s * 1_000)}
    assert served.told("resume", body).status == 412
    assert served.operator.told == []


@pytest.mark.parametrize(
    ("name", "more"), [("halt", {}), ("set_module_state", {"module": "trading", "state": "halt"})]
)
def test_a_halt_is_carried_out_however_late(
    served: Served, name: str, more: dict[str, str]
) -> None:
    assert served.told(name, BODY | GONE | more).status == 200
    assert served.operator.trading_state is TradingState.HALTED


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("pause", {}),
        ("flatten", {}),
        ("trigger_startup", {}),
        ("set_module_state", {"module": "trading", "state": "live"}),
        ("set_module_state", {"module": "all", "state": "live"}),
        ("onboard", {"part": "orderflow"}),
        ("approve_intent", {"number": 4}),
        ("switch_primary_feeds", {"line": "second"}),
        ("submit_order", ORDER),
        ("cancel_order", {"order": "1-5"}),
    ],
)
def test_everything_else_is_not_and_goes_in_time(
    served: Served, name: str, more: dict[str, Any]
) -> None:
    assert served.told(name, BODY | GONE | more).status == 412
    assert (served.operator.told, served.orders.asked, served.onboarding.stages) == ([], [], {})
    assert served.told(name, BODY | TO_COME | more).status == 200


def test_a_request_id_is_not_used_up_by_what_came_too_late(tmp_path: Path) -> None:
    named = BODY | {"request_id": "r-1"}
    with serving(tmp_path) as served:
        assert served.told("resume", named | GONE).status == 412
    with serving(tmp_path) as again:  # it reads the trail
        assert again.told("resume", named | TO_COME).status == 200
        replayed = again.told("resume", named | GONE)
        assert (replayed.status, replayed.headers["idempotent-replay"]) == (200, "true")
        assert len(again.operator.told) == 1


def test_every_command_of_the_command_line_carries_when_it_gives_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = RunningEngine(
        name="main",
        pid=1,
        host="127.0.0.1",
        port=served.api.port,
        token=TOKEN,
        state_dir=str(served.home),
    )
    with moved_clock(monkeypatch, -60.0):  # it was sent a minute ago
        answer = api_client.call(engine, "POST", "/v1/resume", {"who": "cli", **BODY})
    assert answer is not None
    assert "its caller gave up" in answer["error"]
    assert served.operator.told == []
    assert api_client.call(engine, "POST", "/v1/resume", {"who": "cli", **BODY})
    assert len(served.operator.told) == 1


@contextmanager
def moved_clock(monkeypatch: pytest.MonkeyPatch, by_s: float) -> Iterator[None]:
    """Let the client's clock be another one."""

    class Clock:
        @staticmethod
        def time() -> float:
            return time.time() + by_s

    with monkeypatch.context() as patch:
        patch.setattr(api_client, "time", Clock)
        yield


def test_the_document_says_so_of_every_command(served: Served) -> None:
    paths = served.ask("GET", "/v1/openapi.json").document["paths"]
    for row in OPERATIONS:
        if row.method == "POST" and issubclass(row.takes, CommandBody) and not row.refused:
            assert "412" in paths[f"/v1/{row.name}"]["post"]["responses"], row.name
