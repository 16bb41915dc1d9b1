"""`aegis shadow show`: a decision with everything that stood around it, from journal and store."""

from __future__ import annotations

import json
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import exit_codes
from engine.domain.codes import OrderStatus, RecordType
from engine.domain.records import MARKET_DTYPE, VECTOR_DTYPE
from engine.processes import shadow_context
from engine.processes.shadow import shadow_command
from engine.store.projection import project_all
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from tests.store_builders import as_bytes, open_features, open_market, session_document
from tests.store_builders import write_session as write_events
from tests.store_events import decision, fill, request, update
from tests.vector_builders import PLAN

KEY = "practice-practice-paper"
S = 1_000_000_000
START_NS = 1_000  # monotonic, of tests.store_builders.session_document
VENUE_NS = 1_600_000_000 * S


def at(seconds: int) -> dict[str, int]:
    return {"time_ns": START_NS + seconds * S}


def write_quotes(directory: Path, *rows: tuple[int, int, int]) -> None:
    """Write quotes (seconds since the start, bid, ask), of 7 and 9 lots."""
    records = np.zeros(len(rows), dtype=MARKET_DTYPE)
    records["sequence"] = np.arange(len(rows)) + 1
    records["record_type"] = RecordType.QUOTE
    records["bid_qty_lots"], records["ask_qty_lots"] = 7, 9
    for place, (seconds, bid, ask) in enumerate(rows):
        records["receive_time_ns"][place] = START_NS + seconds * S
        records["venue_time_ns"][place] = VENUE_NS + seconds * S
        records["bid_price_ticks"][place], records["ask_price_ticks"][place] = bid, ask
    writer = open_market(directory)
    writer.append(0, as_bytes(records))
    writer.close(is_end=False)


def write_vectors(directory: Path, starts_s: list[int], *, plan: int = PLAN.word) -> None:
    """Write a vector for each bar of a second: its start, twice it, and no number."""
    vectors = np.zeros(len(starts_s), dtype=VECTOR_DTYPE)
    vectors["sequence"] = np.arange(len(starts_s)) + 1
    vectors["timeframe_s"] = 1
    vectors["start_ns"] = VENUE_NS + np.array(starts_s) * S
    vectors["plan"] = plan
    vectors["value_count"] = len(PLAN.names)
    vectors["values"][:, 0] = starts_s
    vectors["values"][:, 1] = np.array(starts_s) * 2
    vectors["values"][:, 2] = math.nan
    writer = open_features(directory)
    writer.append(0, as_bytes(vectors))
    writer.close(is_end=False)


@pytest.fixture
def show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:  # noqa: ANN401  a function of any answer
    """Return what writes a traded session and shows the decision with a number."""
    monkeypatch.setattr(shadow_context, "present_plan", lambda: PLAN)
    directory = write_events(
        tmp_path / "state" / KEY,
        decision(cause_sequence=2, **at(5)),
        request(1, cause_sequence=2, **at(5)),
        update(1, OrderStatus.NEW, cause_sequence=2, **at(5)),
        fill(1, 501, 5, order_status_after=OrderStatus.FILLED, fee_e8=10, **at(6)),
        decision(cause_sequence=3, side=-1, flags=0, reason=52, **at(25)),
        request(2, side=-1, flags=0, cause_sequence=3, **at(25)),
        fill(2, 502, 5, side=-1, fee_e8=10, realised_pnl_e8=700, **at(26)),
        fill(3, 503, 5, side=-1, **at(40)),
    )
    write_quotes(directory, (0, 990, 1_010), (5, 1_000, 1_020), (25, 1_040, 1_060), (99, 5, 6))
    with closing(SqliteDatabase(tmp_path / "state" / KEY / DATABASE_NAME)) as database:
        project_all(database, tmp_path / "state" / KEY)

    def run(number: int, *vectors_s: int, plan: int = PLAN.word) -> dict[str, Any]:
        write_vectors(directory, list(vectors_s), plan=plan)
        which = f"{session_document().session_id}/{number}"
        code = shadow_command(tmp_path, "show", which, None, limit=1, as_json=True)
        assert code == exit_codes.DONE
        shown: dict[str, Any] = json.loads(capsys.readouterr().out)
        return shown

    return run


def test_an_entry_is_shown_with_book_features_fills_and_grade(show: Any) -> None:  # noqa: ANN401
    shown = show(0, 3, 4, 5, 6)
    assert shown["book"] == {
        "bid": "100.0",
        "bid_quantity": "0.007",
        "ask": "102.0",
        "ask_quantity": "0.009",
    }
    names = PLAN.names
    assert shown["features"] == {names[0]: 4.0, names[1]: 8.0, names[2]: None}, "bar 5 is not over"
    assert [(row["side"], row["quantity"], row["pnl"]) for row in shown["fills"]] == [
        ("BUY", "0.005", 0.0),
        ("SELL", "0.005", 7e-06),
    ], "the third came after the trade was over"
    trade = shown["trade"]
    assert (trade["entry_rule"], trade["exit_rule"]) == ("FVG_RETURN", "MAX_HOLD")
    assert trade["pnl"] == pytest.approx((700 - 20) / 1e8)
    assert shown["after_10s_bps"] is not None, "it is graded before it is shown"


def test_an_exit_opened_no_trade(show: Any) -> None:  # noqa: ANN401
    shown = show(4, 3)
    assert (shown["fills"], shown["trade"]) == ([], None)
    assert shown["book"]["bid"] == "104.0"


def test_features_of_another_version_are_not_known(
    show: Any,  # noqa: ANN401
) -> None:
    assert show(0, 3, 4, plan=1)["features"] is None


def test_before_the_first_bar_ended_no_features_are_known(show: Any) -> None:  # noqa: ANN401
    assert show(0, 5, 6)["features"] is None
