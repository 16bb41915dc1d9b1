"""The step is a function of its inputs, and the events of a session contain them."""

import os
import subprocess

import numpy as np
import pytest

from engine.domain.codes import EVENT_POST_ONLY, EventType
from engine.domain.decide import events_least
from engine.domain.derived import inputs_of
from engine.domain.orders import TERMINAL
from engine.domain.strategy_table import StrategyReason
from engine.domain.words import Tally, Word
from tests.desk_rig import of_type
from tests.ring_builders import ROOT, child_command
from tests.step_runs import (
    BATCH_MAX,
    Session,
    digest,
    fresh_state,
    play_session,
    recovered,
    rerun,
)

T = EventType
COUNT = 2_500
DEADLINE_S = 540


@pytest.fixture(scope="module")
def session() -> Session:
    return play_session(COUNT)


def test_the_session_is_worth_replaying(session: Session) -> None:
    counts = session.state.desk.counts
    for tally in (Tally.DECISIONS, Tally.EXITS, Tally.ORDERS, Tally.FILLS, Tally.REFUSALS,
                  Tally.RECONCILED, Tally.CONTROLS, Tally.REJECTED_RECORDS, Tally.ROUND_TRIPS,
                  Tally.REPORTS_DUPLICATE, Tally.QUERIES):  # fmt: skip
        assert counts[tally] > 0, tally.name
    quotes = of_type(session.events(), T.ORDER_REQUEST)
    quotes = quotes[quotes["flags"] & EVENT_POST_ONLY != 0]
    assert set(quotes["side"].tolist()) == {-1, 1}
    assert len(of_type(session.events(), T.STOP_TRAILED)) > 10
    assert StrategyReason.TRAILING_STOP in of_type(session.events(), T.ORDER_REQUEST)["reason"]
    withdrawn = of_type(session.events(), T.COMMAND_CANCEL)["order_sequence"]
    assert np.isin(withdrawn, quotes["order_sequence"]).any(), "quotes were moved"


def test_the_same_batches_write_the_same_bytes(session: Session) -> None:
    again = rerun(session, session.batches)
    assert digest(again) == digest(session)


def test_the_events_give_the_inputs_back(session: Session) -> None:
    again = rerun(session, recovered(session))
    for first, second in zip(session.written, again.written, strict=True):
        assert first.events.tobytes() == second.events.tobytes()
        assert first.commands.tobytes() == second.commands.tobytes()


def test_another_session_writes_other_bytes(session: Session) -> None:
    assert digest(play_session(COUNT, seed=2)) != digest(session)


@pytest.mark.parametrize("seed", [1, 5])
def test_a_small_out_slices_and_loses_nothing(seed: int) -> None:
    small = play_session(800, seed=seed, out_events=512)
    assert sum(written.consumed[2] for written in small.written) >= 800
    assert max(len(written.events) for written in small.written) <= 512
    again = rerun(small, small.batches, out_events=512)
    assert digest(again) == digest(small)


def test_a_step_ends_early_rather_than_overflow() -> None:
    least = events_least(fresh_state().desk)
    narrow = play_session(1_500, seed=3, out_events=least)
    assert narrow.state.desk.counts[Tally.SLICED] > 0
    for written in narrow.written:
        assert len(written.events) <= least
        assert written.consumed[2] <= BATCH_MAX


def test_each_echo_carries_only_what_is_derived(session: Session) -> None:
    events = session.events()
    controls, reports = inputs_of(events)
    given = np.concatenate([b.reports["event_type"] for b in session.batches])
    assert sorted(reports["event_type"]) <= sorted(given)
    assert (reports["order_status_after"] == 0).all()
    assert (reports["sequence"] == 0).all()
    assert len(controls) == session.state.desk.counts[Tally.CONTROLS]


def test_every_command_was_recorded_before_it_left(session: Session) -> None:
    for written in session.written:
        recorded = {
            (int(e["event_type"]), int(e["order_sequence"]), int(e["request_id"]))
            for e in written.events
        }
        for command in written.commands:
            kind = int(command["event_type"])
            kind = int(T.ORDER_REQUEST) if kind == T.COMMAND_NEW else kind
            key = (kind, int(command["order_sequence"]), int(command["request_id"]))
            assert key in recorded


def test_money_and_positions_balance_at_the_end(session: Session) -> None:
    desk = session.state.desk
    word = desk.words
    events = session.events()
    lots = desk.positions["lots"]
    assert (lots[:, :-1].sum(axis=1) == lots[:, -1]).all()
    applied = of_type(events, T.FILL)
    applied = applied[(applied["flags"] & 4 != 0) & (applied["flags"] & 8 == 0)]
    filled = np.zeros(2, dtype=np.int64)
    flow_e8 = 0
    for fill in applied:
        signed = int(fill["side"]) * int(fill["last_qty_lots"])
        filled[fill["instrument_index"]] += signed
        flow_e8 -= signed * int(fill["last_price_ticks"]) * 10_000
    assert (filled == lots[:, -1]).all()
    net = desk.positions[:, -1]
    assert net["realised_e8"].sum() - net["cost_e8"].sum() == flow_e8
    assert net["fee_e8"].sum() == applied["fee_e8"].sum() == word[Word.FEE_E8]
    columns = desk.positions[:, :-1]
    assert columns["realised_e8"].sum() - columns["cost_e8"].sum() == flow_e8


def test_fills_sum_to_what_orders_say(session: Session) -> None:
    desk = session.state.desk
    events = session.events()
    applied = of_type(events, T.FILL)
    applied = applied[(applied["flags"] & 4 != 0) & (applied["flags"] & 8 == 0)]
    for row in desk.orders[desk.orders["key"] > 0]:
        own = applied[applied["order_sequence"] == row["order_sequence"]]
        assert own["last_qty_lots"].sum() == row["filled_lots"]
        assert row["filled_lots"] <= row["cum_qty_lots"] <= row["qty_lots"]
        if TERMINAL[int(row["status"])] and row["open_place"] < 0:
            assert row["filled_lots"] == row["cum_qty_lots"]


def test_compiled_and_uncompiled_steps_agree_bit_for_bit(session: Session) -> None:
    done = subprocess.run(
        child_command("tests.step_runs", COUNT),
        cwd=ROOT,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == digest(session)
