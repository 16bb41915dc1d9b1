"""Orders over the API and the command line: who may, what is written down, how it ends."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine import cli_orders
from engine.cli import build_parser
from engine.domain.codes import TradingState
from engine.processes.outside_orders import Told
from engine.web.bodies import CancelBody, ExecuteBody, OrderBody
from tests.api_rig import Served, serving

ORDER = {"symbol": "BTCUSDT", "side": "buy", "quantity": "0.004", "reason": "hedge"}
DATE_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z
REFUSED = Told(409, "refused: halted", TradingState.HALTED, reasons=("TRADING_STATE",))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


def test_an_order_is_passed_on_whole_answered_and_written_down(served: Served) -> None:
    answer = served.told("submit_order", ORDER | {"limit_price": "100.5", "post_only": True})
    assert answer.status == 200
    assert answer.document["order"] == "1-5"
    assert answer.document["client_order_id"] == "a1-3-5-0"
    ((asked, who),) = served.orders.asked
    said = {name: getattr(asked, name) for name in ORDER}
    assert said == ORDER
    assert isinstance(asked, OrderBody)
    assert (asked.limit_price, asked.post_only, asked.immediate) == ("100.5", True, False)
    row = served.audit.tail()[-1]
    assert row["what"] == "submit_order BTCUSDT buy 0.004 at 100.5 post_only"
    assert (row["who"], row["reason"], row["done"]) == (who, "hedge", True)
    assert row["effect"] == "sent as 1-5"


def test_a_date_is_passed_on_and_written_down(tmp_path: Path) -> None:
    dated = ORDER | {"limit_price": "100.5", "good_till_ms": DATE_MS, "request_id": "r1"}
    with serving(tmp_path) as served:
        assert served.told("submit_order", dated).status == 200
        ((asked, _),) = served.orders.asked
        assert isinstance(asked, OrderBody)
        assert asked.good_till_ms == DATE_MS
        row = served.audit.tail()[-1]
        assert row["what"] == f"submit_order BTCUSDT buy 0.004 at 100.5 good_till {DATE_MS}"
    with serving(tmp_path) as served:
        other = served.told("submit_order", dated | {"good_till_ms": DATE_MS + 1_000})
        assert other.status == 409
        assert other.document["error"] == "this request id was used for something else"
        assert served.told("submit_order", dated).status == 200


def test_a_question_to_the_gates_is_answered_and_no_order(served: Served) -> None:
    answer = served.told("check_trade_signal", ORDER)
    assert (answer.status, answer.document["effect"]) == (200, "would be refused: halted")
    assert (answer.document["reasons"], answer.document["order"]) == (["LEASE"], "")
    row = served.audit.tail()[-1]
    assert row["what"] == "check_trade_signal BTCUSDT buy 0.004 at market"
    assert served.told("check_trade_signal", {"symbol": "BTCUSDT"}).status == 400


def test_a_refusal_names_the_gates_and_is_written_down_too(served: Served) -> None:
    served.orders.answer = REFUSED
    answer = served.told("submit_order", ORDER)
    assert answer.status == 409
    assert answer.document["reasons"] == ["TRADING_STATE"]
    assert answer.document["trading_state"] == "HALTED"
    row = served.audit.tail()[-1]
    assert (row["status"], row["done"]) == (409, False)


def test_what_was_answered_before_says_so(served: Served) -> None:
    served.orders.answer = Told(200, "sent as 1-5", TradingState.ENABLED, "1-5", is_known=True)
    answer = served.told("submit_order", ORDER | {"request_id": "r1"})
    assert answer.headers["idempotent-replay"] == "true"
    assert answer.document["request_id"] == "r1"


def test_a_request_of_an_earlier_run_is_not_another_order(tmp_path: Path) -> None:
    named = ORDER | {"request_id": "r1"}
    with serving(tmp_path) as served:
        served.told("check_trade_signal", named | {"quantity": "0.001"})
        assert served.told("submit_order", named).status == 200
    with serving(tmp_path) as served:
        other = served.told("submit_order", named | {"quantity": "0.006"})
        assert other.status == 409
        assert other.document["error"] == "this request id was used for something else"
        assert served.orders.asked == []
        assert served.told("submit_order", named).status == 200
        assert served.told("submit_order", named | {"request_id": "r2"}).status == 200
        assert len(served.orders.asked) == 2


def test_words_that_are_no_order_do_not_use_a_request_up(tmp_path: Path) -> None:
    wrong = ORDER | {"request_id": "r1", "quantity": "0.0001"}
    with serving(tmp_path) as served:
        served.orders.answer = Told(400, "not whole lots", TradingState.ENABLED)
        assert served.told("submit_order", wrong).status == 400
        served.told("check_trade_signal", wrong | {"request_id": "r2"})
    with serving(tmp_path) as served:
        for name in ("r1", "r2"):
            assert served.told("submit_order", ORDER | {"request_id": name}).status == 200


def test_words_that_are_no_order_are_a_problem(served: Served) -> None:
    served.orders.answer = Told(400, "no instrument 'X' in this run", TradingState.ENABLED)
    answer = served.told("submit_order", ORDER)
    assert answer.status == 400
    assert answer.document["error"] == "no instrument 'X' in this run"
    assert "effect" not in answer.document


@pytest.mark.parametrize(
    "body",
    [
        {},
        ORDER | {"side": "hold"},
        ORDER | {"quantity": "-1"},
        ORDER | {"quantity": "1e9"},
        ORDER | {"quantity": 0.004},
        ORDER | {"limit_price": "nan"},
        ORDER | {"post_only": "yes"},
        ORDER | {"leverage": "50"},
        ORDER | {"request_id": "a b"},
        ORDER | {"good_till_ms": "tomorrow"},
        ORDER | {"good_till_ms": 1.5},
        ORDER | {"good_till_ms": 0},
        ORDER | {"good_till_ms": 253_402_300_799_001},
    ],
)
def test_a_body_that_is_not_understood_reaches_nobody(
    served: Served, body: dict[str, object]
) -> None:
    assert served.told("submit_order", body).status == 400
    assert served.orders.asked == []


@pytest.mark.parametrize("name", ["submit_order", "cancel_order"])
def test_without_a_token_no_order_is_sent_or_cancelled(served: Served, name: str) -> None:
    assert served.ask("POST", f"/v1/{name}", ORDER).status in {401, 403}
    assert served.told(name, ORDER, token="wrong").status in {401, 403}
    assert served.orders.asked == []


def test_a_cancel_names_one_order(served: Served) -> None:
    served.orders.answer = Told(200, "asked to cancel 1-5", TradingState.ENABLED, "1-5")
    answer = served.told("cancel_order", {"order": "1-5", "reason": "no"})
    assert (answer.status, answer.document["order"]) == (200, "1-5")
    assert served.orders.asked[0][0] == CancelBody(order="1-5", reason="no")
    assert served.audit.tail()[-1]["what"] == "cancel_order 1-5"
    assert served.told("cancel_order", {}).status == 400


# The command line.


def command(served: Served, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run a command against the served API."""
    engine = SimpleNamespace(
        name="main", host="127.0.0.1", port=served.api.port, token="token-of-this-run",
        pid=1, tls_certificate="",
    )  # fmt: skip
    monkeypatch.setattr(cli_orders, "find", lambda *_: engine)
    options: argparse.Namespace = build_parser().parse_args(words)
    run = {
        "order": cli_orders.order_command,
        "cancel": cli_orders.cancel_command,
        "execute": cli_orders.execute_command,
        "executions": cli_orders.executions_command,
        "routes": cli_orders.routes_command,
    }
    return run[options.command](options, {})


def test_the_command_says_what_the_api_takes(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("order", "btc", "sell", "0.01", "--limit", "99", "--ioc", "--reason", "out")
    assert command(served, monkeypatch, *words) == 0
    assert capsys.readouterr().out == "sent as 1-5\n"
    ((asked, who),) = served.orders.asked
    assert isinstance(asked, OrderBody)
    assert (asked.symbol, asked.side, asked.quantity, asked.limit_price) == (
        "btc", "sell", "0.01", "99",
    )  # fmt: skip
    assert asked.immediate
    assert not asked.post_only
    assert (asked.reason, who) == ("out", "cli")
    assert asked.request_id  # a new one each time
    assert command(served, monkeypatch, *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["order"] == "1-5"
    assert served.orders.asked[1][0].request_id != asked.request_id


@pytest.mark.parametrize(
    ("told", "code"),
    [(REFUSED, 1), (Told(504, "no answer", TradingState.ENABLED), 1),
     (Told(400, "it is no order", TradingState.ENABLED), 2)],
)  # fmt: skip
def test_how_the_command_ends(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: Told,
    code: int,
) -> None:
    served.orders.answer = told
    assert command(served, monkeypatch, "order", "btc", "buy", "1") == code
    assert told.effect in capsys.readouterr().err
    assert command(served, monkeypatch, "cancel", "1-5") == code


def test_an_engine_that_falls_silent_leaves_the_request_to_ask_again(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_orders, "call", lambda *_: None)
    assert command(served, monkeypatch, "order", "btc", "buy", "1", "--request-id", "r9") == 1
    assert "ask again with --request-id r9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("when", "date_ms"),
    [
        ("2027-01-15T08:00Z", DATE_MS),
        ("2027-01-15T09:00:00+01:00", DATE_MS),
        ("15m", 900_000),
        ("2h", 7_200_000),
        ("1d", 86_400_000),
    ],
)
def test_a_date_is_said_as_one_or_from_now(
    served: Served, monkeypatch: pytest.MonkeyPatch, when: str, date_ms: int
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.25)
    words = ("order", "btc", "buy", "1", "--limit", "100", "--good-till", when)
    assert command(served, monkeypatch, *words) == 0
    ((asked, _),) = served.orders.asked
    from_now = date_ms < DATE_MS
    assert isinstance(asked, OrderBody)
    assert asked.good_till_ms == (1_700_000_001_000 + date_ms if from_now else date_ms)


def test_who_said_a_date_from_now_is_told_it_to_ask_again(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_orders, "call", lambda *_: None)
    monkeypatch.setattr(time, "time", lambda: DATE_MS / 1_000 - 900)
    words = ("order", "btc", "buy", "1", "--limit", "9", "--good-till", "15m", "--request-id", "r9")
    assert command(served, monkeypatch, *words) == 1
    said = "ask again with --request-id r9 --good-till 2027-01-15T08:00:00Z"
    assert said in capsys.readouterr().err


def test_both_ways_to_rest_and_to_take_exclude_each_other() -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["order", "btc", "buy", "1", "--ioc", "--post-only"])


# Parent orders.


def test_a_parent_order_says_all_its_numbers(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served.orders.answer = Told(200, "working as 1-9", TradingState.ENABLED, "1-9")
    words = ("execute", "iceberg", "btc", "buy", "2", "--limit", "99", "--display", "0.1")
    assert command(served, monkeypatch, *words, "--minutes", "30", "--cap", "0.2") == 0
    assert capsys.readouterr().out == "working as 1-9\n"
    ((asked, _),) = served.orders.asked
    assert isinstance(asked, ExecuteBody)
    assert (asked.method, asked.display, asked.limit_price) == ("iceberg", "0.1", "99")
    assert (asked.minutes, asked.cap) == (30.0, 0.2)
    assert served.audit.tail()[-1]["what"] == "execute_order iceberg btc buy 2 in 30 min"


@pytest.mark.parametrize(
    "body", [{"method": "guess"}, {"minutes": 0}, {"minutes": 1e9}, {"rate": 1.5}, {"cap": -1}]
)
def test_a_parent_that_is_not_understood_reaches_nobody(
    served: Served, body: dict[str, object]
) -> None:
    asked = {"method": "pov", "symbol": "btc", "side": "buy", "quantity": "1"} | body
    assert served.told("execute_order", asked).status == 400
    assert served.orders.asked == []


def test_progress_is_listed(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = served.ask("GET", "/v1/executions", headers={"x-aegis-token": "token-of-this-run"})
    assert answer.document["rows"][0]["order"] == "1-9"
    assert command(served, monkeypatch, "executions") == 0
    assert "twap" in capsys.readouterr().out
    monkeypatch.setattr(served.orders, "executions", list)
    assert command(served, monkeypatch, "executions") == 0
    assert capsys.readouterr().out == "no parent order was started\n"
    monkeypatch.setattr(cli_orders, "call", lambda *_: {"error": "no"})
    assert command(served, monkeypatch, "executions") == 2
    assert capsys.readouterr().err == "aegis: no\n"


def test_the_routers_table_is_listed(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = dict.fromkeys(cli_orders.ROUTE_COLUMNS, "x") | {"venue": "binance"}
    served.table = [row]
    answer = served.ask("GET", "/v1/routes", headers={"x-aegis-token": "token-of-this-run"})
    assert answer.document["rows"] == [row]
    assert command(served, monkeypatch, "routes") == 0
    assert "binance" in capsys.readouterr().out
    assert command(served, monkeypatch, "routes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [row]
    served.table = []
    assert command(served, monkeypatch, "routes") == 0
    assert capsys.readouterr().out == "the engine has no table yet\n"
