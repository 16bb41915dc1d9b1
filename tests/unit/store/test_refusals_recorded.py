"""A refusal keeps every gate that failed, in each place that tells of it, and none that did not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.domain.codes import EventType
from engine.domain.risk_reasons import RiskReason, reasons_of
from engine.store.audit import AuditRows
from engine.store.journal import SOURCE_EVENTS_BRAIN
from engine.store.pages import SessionPages
from engine.store.projection import project_all
from engine.store.reader import read_records
from engine.store.session import read_document
from engine.store.sqlite import DATABASE_NAME, SqliteDatabase
from tests.store_builders import SESSION, write_session
from tests.store_events import Row, decision, event

KEY = "practice-practice-paper"
GATES = [reason for reason in RiskReason if reason]
MASKS = st.sets(st.sampled_from(GATES), min_size=1).map(lambda gates: sum(1 << g for g in gates))


def refused(mask: int) -> tuple[Row, Row]:
    """Return what the brain writes for an entry that these gates refused."""
    first = min(reasons_of(mask))
    row = {"instrument_index": 0, "strategy_index": 0, "side": 1, "qty_lots": 5, "reason": first}
    return (
        decision(refusal_mask=mask),
        event(EventType.RISK_REFUSAL, refusal_mask=mask, **row),
    )


@settings(max_examples=25, deadline=None)
@given(masks=st.lists(MASKS, min_size=1, max_size=6))
@example(masks=[sum(1 << gate for gate in GATES)])
def test_every_gate_that_failed_is_kept_in_every_place(
    tmp_path_factory: pytest.TempPathFactory, masks: list[int]
) -> None:
    state: Path = tmp_path_factory.mktemp("home") / KEY
    directory = write_session(state, *(row for mask in masks for row in refused(mask)))
    database = SqliteDatabase(state / DATABASE_NAME)
    project_all(database, state)
    wanted = [[gate.name for gate in GATES if mask >> gate & 1] for mask in masks]

    def told(statement: str) -> list[list[str]]:
        return [str(names).split() for (names,) in database.query(f"{statement} ORDER BY sequence")]

    assert told("SELECT refusal_names FROM decisions") == wanted
    assert told("SELECT filters FROM shadow") == wanted
    first = [names[0] for names in wanted]
    assert [names[0] for names in told("SELECT reason_name FROM refusals")] == first
    kept = database.query("SELECT refusal_mask FROM refusals ORDER BY sequence")
    assert kept == [(mask,) for mask in masks]
    rows = AuditRows(read_document(directory)).rows(read_records(directory, SOURCE_EVENTS_BRAIN))
    assert [str(row["gates"]).split() for row in rows] == wanted
    database.close()
    pages = SessionPages(state / DATABASE_NAME, KEY)
    shown = pages.rows("decisions", SESSION, -1, 100)
    assert [row["refused_by"].split() for row in shown] == wanted
