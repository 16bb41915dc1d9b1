"""API v1: every name of the table answers, a request id is done once, what happened is written."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.domain.codes import TradingState
from engine.processes.commands import Outcome
from engine.store.control_audit import broken_links
from engine.store.errors import ProjectionError
from engine.web import accounts, request_memory
from engine.web.bodies import Effect
from engine.web.operations import OPERATIONS, Operation, Scope
from engine.web.request_memory import Answered, RequestMemory
from tests.api_rig import TOKEN, FeedLines, Served, serving

NAMES = (
    "submit_tick",
    "healthcheck",
    "switch_primary_feeds",
    "trigger_reconcile_gap",
    "extract_features",
    "get_historical_features",
    "patch_feature_window",
    "run_similarity_search",
    "predict",
    "blend_outputs",
    "record_live_update",
    "check_trade_signal",
    "submit_order",
    "cancel_order",
    "update_position",
    "record_slippage",
    "system_status",
    "trigger_shutdown",
    "trigger_startup",
    "set_module_state",
    "log_decision",
    "fetch_audit_trail",
    "get_trade_journal",
    "export_data",
    "submit_candidate_model",
    "trigger_shadow_mode",
    "force_model_rollback",
)
MISSING = [row for row in OPERATIONS if row.missing]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


def test_every_name_of_the_specification_is_there() -> None:
    assert set(NAMES) <= {row.name for row in OPERATIONS}


def test_what_is_not_built_names_the_missing_part(served: Served) -> None:
    for row in MISSING:
        answer = served.ask(row.method, f"/v1/{row.name}", headers={"x-aegis-token": TOKEN})
        assert answer.status == 501, row.name
        assert answer.document["missing"] == row.missing
        assert row.missing in answer.document["error"]
    assert served.operator.told == []


def test_reading_answers_what_the_engine_holds(served: Served) -> None:
    assert served.ask("GET", "/v1/positions").document["rows"] == served.board.positions()
    assert served.ask("GET", "/v1/strategies").document["rows"] == served.board.strategies()
    assert served.ask("GET", "/v1/orders").document["rows"] == served.board.orders()
    assert served.ask("GET", "/v1/system_status").document == served.board.status()
    assert served.ask("GET", "/v1/limits").document["rows"] == served.board.limits()
    assert served.ask("GET", "/v1/ledger").document == served.board.ledger()
    assert served.ask("GET", "/v1/latency").document == served.board.latency()
    assert served.ask("GET", "/v1/search_journal?text=x").document == {"rows": []}
    assert served.ask("GET", f"/v1/search_journal?text={'x' * 65}").status == 400
    served.board.alive = False
    assert served.ask("GET", "/v1/healthcheck").status == 503


def test_a_ledger_that_cannot_be_read_now_is_a_503_with_its_reason(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> dict[str, Any]:
        raise ProjectionError("sqlite aegis.db cannot be opened: it is not there yet")

    monkeypatch.setattr(served.board, "ledger", away)
    answer = served.ask("GET", "/v1/ledger")
    assert answer.status == 503
    assert "not there yet" in answer.document["error"]
    assert served.ask("GET", "/v1/ledger", headers={"Via": "1.1 x"}).status == 401


def test_features_are_asked_of_the_journal_by_instrument_and_name(served: Served) -> None:
    answer = served.ask("GET", "/v1/extract_features?symbol=BTCUSDT&names=trend.adx")
    assert (answer.status, answer.document["timeframe_s"], answer.document["asked"]) == (200, 60, 0)
    assert answer.document["rows"][0]["values"] == {"trend.adx": None}
    page = served.ask(
        "GET", "/v1/get_historical_features?symbol=BTCUSDT&timeframe_s=300&after=5&limit=7"
    ).document
    assert (page["rows"], page["after"], page["asked"], page["timeframe_s"]) == ([], 5, 7, 300)
    answer = served.ask("GET", "/v1/extract_features?symbol=NOSUCH")
    assert (answer.status, answer.document["error"]) == (404, "no instrument 'NOSUCH'")
    assert served.ask("GET", "/v1/extract_features?symbol=X", headers={"Via": "x"}).status == 401


@pytest.mark.parametrize(
    "query",
    ["", "symbol=../x", "symbol=BTCUSDT&session=../../x", "symbol=X&limit=201", "symbol=X&names="
     + "x" * 1_025],
)  # fmt: skip
def test_a_question_of_features_that_says_nonsense_is_refused(served: Served, query: str) -> None:
    assert served.ask("GET", f"/v1/get_historical_features?{query}").status == 400


def test_an_order_s_cost_is_written_down_once(served: Served) -> None:
    body = {"order": "a1-0-1-2", "reason": "monthly", "request_id": "r-1"}
    first, again = served.told("record_slippage", body), served.told("record_slippage", body)
    assert first.document["effect"] == "a1-0-1-2: against arrival +1.20 bps"
    assert again.headers["idempotent-replay"] == "true"
    (row,) = served.audit.rows(-1, 10)
    assert (row["what"], row["done"]) == ("record_slippage a1-0-1-2", True)
    assert row["effect"] == first.document["effect"]
    missing = served.told("record_slippage", {"order": "b"})
    assert (missing.status, missing.document["effect"]) == (409, "no order 'b' with a fill")
    assert served.told("record_slippage", {}).status == 400
    assert {name for name, _, _ in served.operator.told} == {"log_decision"}


def test_positions_are_updated_by_the_venue_s_word(served: Served) -> None:
    assert served.told("update_position", {"reason": "why"}).status == 409  # the rig's reconcile
    assert served.operator.told == [("reconcile", "api", "why")]
    assert served.audit.rows(-1, 10)[0]["what"] == "update_position"


def test_what_is_never_done_says_why_and_does_nothing(served: Served) -> None:
    answer = served.told("patch_feature_window", {"window": 5})
    assert answer.status == 409
    assert "never rewritten" in answer.document["error"]
    assert served.ask("POST", "/v1/patch_feature_window", {}).status == 401
    assert served.operator.told == []


def test_a_chart_is_a_page_that_may_load_nothing(served: Served) -> None:
    answer = served.ask("GET", "/v1/chart/BTCUSDT")
    assert (answer.status, answer.body) == (200, b"<p>chart")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert served.ask("GET", "/v1/chart/NOSUCH").status == 404
    assert served.ask("GET", "/v1/chart/BTCUSDT?bars=tick:9").body == b"<p>charttick:9"
    assert served.ask("GET", "/v1/chart/BTCUSDT?bar=tick:9").status == 400
    assert served.ask("GET", "/v1/chart/BTCUSDT", headers={"Via": "1.1 x"}).status == 401


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=-2", "more=1", "after=1.5"]
)
def test_a_query_that_says_nonsense_is_refused(served: Served, query: str) -> None:
    assert served.ask("GET", f"/v1/get_trade_journal?{query}").status == 400


def test_the_same_request_id_is_done_once(served: Served) -> None:
    body = {"reason": "why", "request_id": "r-1"}
    first, again = served.told("pause", body), served.told("pause", body)
    assert (first.status, again.status) == (200, 200)
    assert first.document == again.document
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    assert served.operator.told == [("pause", "api", "why")]


def test_a_request_id_is_not_used_for_something_else(served: Served) -> None:
    served.told("pause", {"request_id": "r-1"})
    assert served.told("flatten", {"request_id": "r-1"}).status == 409
    assert served.told("pause", {"request_id": "r-1", "reason": "another"}).status == 409
    assert [name for name, _, _ in served.operator.told] == ["pause"]


def test_a_request_id_belongs_to_its_caller(served: Served) -> None:
    served.ask("POST", "/v1/halt", {"request_id": "r-1"})
    served.told("halt", {"request_id": "r-1"})
    assert len(served.operator.told) == 2


def test_what_failed_is_answered_as_failed_again(served: Served) -> None:
    for _ in range(2):
        answer = served.told("reconcile", {"request_id": "r-1"})
        assert (answer.status, answer.document["effect"]) == (409, "did reconcile")
    assert len(served.operator.told) == 1


def test_a_restart_remembers_what_was_done(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.told("pause", {"reason": "why", "request_id": "r-1"})
    with serving(tmp_path) as served:
        answer = served.told("pause", {"reason": "why", "request_id": "r-1"})
        assert (answer.status, answer.headers["idempotent-replay"]) == (200, "true")
        assert served.operator.told == []


def test_the_memory_of_requests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_memory, "REQUESTS_MAX", 3)
    memory = RequestMemory()
    answered = Answered("halt", 200, Effect(effect="", trading_state=""))
    for number in range(5):
        memory.keep("me", str(number), answered)
    assert [memory.recall("me", str(number)) is None for number in range(5)] == [True] * 2 + [
        False
    ] * 3


def test_a_resume_tells_its_checks_and_does_nothing_when_one_fails(served: Served) -> None:
    answer = served.told("resume", {"reason": "looked"})
    assert answer.document["checks"] == [{"name": "books", "good": True, "found": "as asked"}]
    served.operator.good = False
    assert served.told("trigger_startup", {"reason": "looked"}).status == 409
    assert served.ask("POST", "/v1/confirm_halt", {}).status == 409


def test_a_module_that_exists_takes_its_state(served: Served) -> None:
    assert served.told("set_module_state", {"module": "trading", "state": "pause"}).status == 200
    assert served.operator.told == [("pause", "api", "")]
    answer = served.told("set_module_state", {"module": "trading", "state": "shadow"})
    assert answer.status == 400
    assert "live, pause, reduce, halt" in answer.document["error"]
    assert served.told("set_module_state", {"module": "trading"}).status == 400
    assert len(served.operator.told) == 1


def test_a_part_is_given_a_mode_and_the_trail_tells_both(served: Served) -> None:
    part = "strategy:smc_fvg_bos"
    body = {"module": part, "state": "shadow", "reason": "odd fills", "request_id": "r1"}
    assert served.told("set_module_state", body).status == 200
    again = served.told("set_module_state", body)
    assert again.headers["idempotent-replay"] == "true"
    assert served.operator.told == [(f"{part} shadow", "api", "odd fills")]
    assert served.told("set_module_state", {"module": part, "state": "loud"}).status == 409
    assert served.ask("GET", "/v1/modes").document["rows"] == [{"part": part, "mode": "shadow"}]
    row = served.ask("GET", "/v1/fetch_audit_trail").document["rows"][0]
    assert (row["before"], row["after"], row["who"]) == ("LIVE", "SHADOW", "api")
    assert row["what"] == f"set_module_state {part} shadow"


def test_market_data_goes_to_the_other_lines_once_and_the_trail_tells_both(
    served: Served,
) -> None:
    body = {"line": "second", "reason": "works on the first", "request_id": "l1"}
    assert served.told("switch_primary_feeds", body).status == 200
    again = served.told("switch_primary_feeds", body)
    assert again.headers["idempotent-replay"] == "true"
    assert served.told("switch_primary_feeds", body | {"line": "first"}).status == 409
    assert served.operator.told == [("carry by second", "", "")]
    row = served.ask("GET", "/v1/fetch_audit_trail").document["rows"][0]
    assert (row["before"], row["after"], row["who"]) == ("first", "second", "api")
    assert (row["what"], row["reason"]) == ("switch_primary_feeds second", "works on the first")


def test_a_halt_waits_behind_no_feed_that_does_not_answer(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, halted = threading.Event(), threading.Event()
    answers: list[int] = []

    def silent(_feed: FeedLines, line: str) -> Outcome:
        asked.set()
        assert halted.wait(60)
        return Outcome(f"no answer for {line}", False, TradingState.HALTED)

    monkeypatch.setattr(FeedLines, "switch", silent)
    body = {"line": "second", "reason": "works on the first"}
    switch = threading.Thread(
        target=lambda: answers.append(served.told("switch_primary_feeds", body).status)
    )
    switch.start()
    assert asked.wait(60)
    assert served.told("halt").status == 200, "while the feed is being waited for"
    assert answers == []
    halted.set()
    switch.join()
    assert answers == [409]


def test_gaps_are_looked_for_in_one_instrument_or_in_all(served: Served) -> None:
    for asked, status in (({"symbol": "BTCUSDT", "request_id": "g1"}, 200), ({}, 200),
                          ({"symbol": "NOSUCH"}, 409)):  # fmt: skip
        assert served.told("trigger_reconcile_gap", asked).status == status
    again = served.told("trigger_reconcile_gap", {"symbol": "BTCUSDT", "request_id": "g1"})
    assert again.document["effect"] == "incident 3 is open"
    asked_of_it = [what for what, _, _ in served.operator.told]
    assert asked_of_it == ["gaps of BTCUSDT", "gaps of all", "gaps of NOSUCH"]
    trail = served.ask("GET", "/v1/fetch_audit_trail").document["rows"]
    assert [row["what"] for row in trail[:2]] == [
        "trigger_reconcile_gap BTCUSDT",
        "trigger_reconcile_gap all",
    ]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("switch_primary_feeds", {}),
        ("switch_primary_feeds", {"line": "third"}),
        ("switch_primary_feeds", {"line": 2}),
        ("trigger_reconcile_gap", {"symbol": "../btc"}),
        ("trigger_reconcile_gap", {"symbol": "BTCUSDT", "from": 3}),
    ],
)
def test_nonsense_is_not_asked_of_the_feed(served: Served, name: str, body: object) -> None:
    assert served.told(name, body).status == 400
    assert served.operator.told == []


TICK = {"symbol": "BTCUSDT", "side": "buy", "price": "61800.1", "quantity": "0.010"}


def test_a_tick_is_printed_once_per_request_id_and_written_down(served: Served) -> None:
    assert served.told("submit_tick", TICK | {"request_id": "t1", "reason": "try"}).status == 200
    again = served.told("submit_tick", TICK | {"request_id": "t1", "reason": "try"})
    assert again.headers["idempotent-replay"] == "true"
    assert served.told("submit_tick", TICK | {"symbol": "NOSUCH"}).status == 409
    assert [what for what, _, _ in served.operator.told] == ["BTCUSDT 61800.1", "NOSUCH 61800.1"]
    row = served.ask("GET", "/v1/fetch_audit_trail").document["rows"][0]
    assert row["what"] == "submit_tick BTCUSDT buy 0.010 at 61800.1"


@pytest.mark.parametrize(
    "change",
    [{"price": 61_800.1}, {"price": "-1"}, {"price": "1e5"}, {"quantity": "NaN"}, {"side": "up"},
     {"symbol": ""}, {"symbol": "../x"}, {"venue_time": 3}],
)  # fmt: skip
def test_a_tick_that_is_none_is_a_400(served: Served, change: dict[str, object]) -> None:
    assert served.told("submit_tick", TICK | change).status == 400
    assert served.operator.told == []


@pytest.mark.parametrize("name", ["switch_primary_feeds", "trigger_reconcile_gap", "submit_tick"])
def test_who_may_only_look_asks_nothing_of_the_feed(
    served: Served, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("argon2", reason="argon2-cffi is not installed")
    monkeypatch.setattr(accounts, "LOOK_S", 0.0)  # each request sees the file as it is
    assert served.ask("POST", f"/v1/{name}", {"line": "second"}).status == 401
    with accounts.changed(served.home) as access:
        accounts.add_account(access, "vera", "viewer")
        secret = accounts.add_token(access, "vera", 3_600.0, frozenset())
    assert served.told(name, {"line": "second"}, secret).status == 403
    assert served.operator.told == []


@pytest.mark.parametrize("word", ["approve", "reject"])
def test_a_word_on_an_entry_that_waits(served: Served, word: str) -> None:
    (row,) = served.ask("GET", "/v1/held_intents").document["rows"]
    asked = {"number": row["number"], "reason": "looked at"}
    assert served.told(f"{word}_intent", asked).status == 200
    assert served.operator.told == [(f"4 {word}", "api", "looked at")]
    assert served.told(f"{word}_intent", {"number": 5}).status == 409
    assert served.told(f"{word}_intent", {"number": 0}).status == 400
    assert served.told(f"{word}_intent", {}).status == 400
    trail = served.ask("GET", "/v1/fetch_audit_trail").document["rows"]
    assert [(row["what"], row["done"]) for row in trail] == [
        (f"{word}_intent 4", True),
        (f"{word}_intent 5", False),
    ]


def test_each_action_is_written_down_with_before_and_after(served: Served) -> None:
    served.ask("POST", "/v1/halt", {"who": "page", "reason": "button"})
    served.ask("POST", "/v1/pause", {})
    served.told("log_decision", {"decision": "s:5", "note": "late entry"})
    rows = served.ask("GET", "/v1/fetch_audit_trail").document["rows"]
    halt, refused, note = rows
    assert (halt["who"], halt["before"], halt["after"], halt["done"]) == (
        "page",
        "ENABLED",
        "HALTED",
        True,
    )
    assert (refused["what"], refused["done"], refused["from"]) == ("pause", False, "127.0.0.1")
    assert note["what"] == "log_decision s:5: late entry"
    assert broken_links(rows) == []
    page = served.ask("GET", "/v1/fetch_audit_trail?after=0&limit=1").document
    assert (page["rows"], page["after"]) == ([refused], 1)


def test_refused_attempts_do_not_fill_the_disk(served: Served) -> None:
    for _ in range(30):
        assert served.ask("POST", "/v1/pause", {}).status == 401
    assert len(served.audit.rows(-1, 100)) == 5


def test_an_action_holds_when_it_cannot_be_written_down(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_row: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(served.audit, "record", full)
    answer = served.told("halt", {"reason": "x"})
    assert answer.status == 200
    assert "not in the audit trail (No space left on device)" in answer.document["effect"]


def test_an_export_is_json_or_csv(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"sequence": 4, "note": 'a "b", c'}, {"sequence": 9, "note": "d"}]
    asked = []

    def found(*words: object) -> list[dict[str, object]]:
        asked.append(words)
        return rows

    monkeypatch.setattr(served.pages, "rows", found)
    page = served.ask("GET", "/v1/export_data?table=decisions&after=2&limit=7&session=s").document
    assert page == {"rows": rows, "after": 9, "session": "s"}
    assert asked == [("decisions", "s", 2, 7)]
    text = served.ask("GET", "/v1/export_data?form=csv")
    assert text.headers["content-type"].startswith("text/csv")
    read = list(csv.DictReader(io.StringIO(text.body.decode())))
    assert [row["note"] for row in read] == ['a "b", c', "d"]
    assert served.ask("GET", "/v1/export_data?table=accounts").status == 400


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_every_operation_states_who_may(row: Operation) -> None:
    public = {"healthcheck", "whoami", "login", "logout"}
    assert (row.scope is Scope.NONE) == (row.name in public)
    assert row.summary.endswith(".")
    assert row.method in {"GET", "POST"}
    if row.method == "POST" and row.scope is not Scope.NONE:
        assert row.scope in {Scope.HALT, Scope.OPERATE, Scope.ADMIN}
