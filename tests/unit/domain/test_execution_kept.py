"""What a journal leaves of parent orders, from its records alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EVENT_APPLIED, EVENT_DUPLICATE, EventType
from engine.domain.execution.asked import Asked, Method
from engine.domain.execution.kept import TAKEN_UP_MAX, Identity, Kept, KeptParents, begun, told
from engine.domain.execution.profile import Shape
from engine.domain.execution.work import StopReason, WorkState
from engine.domain.fold import Fold
from engine.domain.records import EVENT_DTYPE
from engine.store.reader import join_records
from tests.desk_rig import make_event

TO_WALL_NS = 1_000_000
ONE = Kept(
    Identity(number=7, epoch_low=3, instrument_index=0, column=4),
    Asked(Method.TWAP, 1, 100, limit_ticks=900, span_s=60.5, detail=0.25, cap=0.1),
    start_ns=5_000_000,
    mid_ticks=880.5,
    filled_lots=10,
    child_count=4,
    traded_lots=50,
)
NO_ORDERS = np.zeros(0, dtype=EVENT_DTYPE)


def said(kept: Kept) -> np.ndarray:
    """Return the record that tells a parent."""
    words: dict[str, Any] = kept.words() | {"flags": EVENT_APPLIED}
    return make_event(EventType.PARENT_STATE, **words)


def asked(**words: int) -> np.ndarray:
    """Return the echo of a person's request for a parent."""
    given = {"order_sequence": 7, "epoch_low": 3, "strategy_index": 4, "time_ns": 9}
    given |= {"order_type": Method.TWAP, "side": 1, "qty_lots": 100, "input_0": 60}
    given["flags"] = EVENT_APPLIED
    return make_event(EventType.CONTROL_EXECUTE, **(given | words))


def mark(kind: EventType, **words: int) -> np.ndarray:
    return make_event(kind, flags=EVENT_APPLIED, **words)


def left(*records: np.ndarray, lost: frozenset[int] = frozenset()) -> list[Kept]:
    """Return what is handed on after some records."""
    parents = KeptParents()
    parents.add(join_records(records, EVENT_DTYPE), TO_WALL_NS)
    found = parents.records({}, NO_ORDERS, lost)
    assert (found["event_type"] == EventType.PARENT_STATE).all()
    return [told(record) for record in found]


@given(
    st.builds(
        Kept,
        st.builds(
            Identity, st.integers(1, 2**50), st.integers(0, 255), st.integers(0, 300),
            st.integers(0, 60),
        ),
        st.builds(
            Asked, st.sampled_from(Method), st.sampled_from([1, -1]), st.integers(1, 2**40),
            st.integers(0, 2**40), st.floats(0.1, 6e5), st.floats(0, 1e3), st.floats(0, 60),
            st.floats(0, 1),
        ),
        st.integers(1, 2**61),
        st.floats(0, 1e9),
        st.sampled_from(Shape),
        st.sampled_from([WorkState.WORKING, WorkState.STOPPING]),
        st.sampled_from(StopReason),
        st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 10_000),
        st.integers(0, 2**50), st.integers(0, 2**50), st.integers(0, TAKEN_UP_MAX),
    )
)  # fmt: skip
def test_a_parent_is_read_as_it_was_told(kept: Kept) -> None:
    assert told(said(kept)[0]) == kept


def test_the_newest_word_is_enough() -> None:
    later = ONE._replace(filled_lots=20, child_count=9, traded_lots=70)
    (found,) = left(said(ONE), said(later))
    assert found == later._replace(filled_lots=0, taken_up=1)  # filled is what orders say


@pytest.mark.parametrize("state", [WorkState.DONE, WorkState.ENDED])
def test_what_is_over_is_not_handed_on(state: WorkState) -> None:
    assert left(said(ONE), said(ONE._replace(state=state))) == []


def test_a_request_alone_begins_one_when_it_was_made() -> None:
    (found,) = left(asked())
    assert found.start_ns == 9 + TO_WALL_NS
    assert found == begun(asked()[0], 9 + TO_WALL_NS)._replace(taken_up=1)
    assert left(asked(flags=0)) == []
    assert left(asked(flags=EVENT_APPLIED | EVENT_DUPLICATE)) == []


def test_what_was_cancelled_stays_so_whatever_comes_after() -> None:
    cancel = mark(EventType.CONTROL_CANCEL, order_sequence=7, epoch_low=3)
    (found,) = left(said(ONE), cancel, said(ONE._replace(filled_lots=11)))
    assert (found.state, found.reason) == (WorkState.STOPPING, StopReason.OPERATOR)
    other = mark(EventType.CONTROL_CANCEL, order_sequence=7, epoch_low=4)
    (found,) = left(said(ONE), other)
    assert found.state is WorkState.WORKING


def test_one_of_a_version_that_kept_none_is_left_out() -> None:
    assert left(asked(), said(ONE._replace(start_ns=0))) == []


def test_what_a_session_was_handed_replaces_what_was_before() -> None:
    begin, end = mark(EventType.RESTORE_LIMITS), mark(EventType.RESTORE_END)
    handed = ONE._replace(settled_lots=30, taken_up=1)
    (found,) = left(said(ONE), begin, said(handed), end)
    assert (found.settled_lots, found.taken_up) == (30, 2)
    assert left(said(ONE), begin, end) == []
    (found,) = left(said(ONE), begin, said(handed))  # it died before that ended
    assert found.settled_lots == 0


def test_too_often_taken_up_or_in_steps_that_changed_it_is_stopped() -> None:
    (found,) = left(said(ONE._replace(taken_up=TAKEN_UP_MAX)))
    assert (found.state, found.reason) == (WorkState.STOPPING, StopReason.SESSION)
    (found,) = left(said(ONE), lost=frozenset({0}))
    assert (found.state, found.reason) == (WorkState.STOPPING, StopReason.SESSION)


def test_children_that_are_not_handed_on_are_summed_up() -> None:
    fold = Fold()
    for number, lots in ((8, 3), (9, 4), (10, 5)):
        words = {"order_sequence": number, "epoch_low": 3, "side": 1, "qty_lots": lots}
        child = words | {"strategy_index": 4, "cause_sequence": 7 if number < 10 else 6}
        fold.add(make_event(EventType.ORDER_REQUEST, **child))
        fill = words | {"last_qty_lots": lots, "cum_qty_lots": lots, "trade_id": number}
        after = {"order_status": 4, "order_status_after": 4, "flags": EVENT_APPLIED}
        fold.add(make_event(EventType.FILL, **fill, **after))
    parents = KeptParents()
    parents.add(said(ONE._replace(settled_lots=20)), TO_WALL_NS)
    restored = fold.restore_records()
    handed_on = restored[restored["order_sequence"] != 8]
    (found,) = parents.records(fold.known.orders, handed_on, frozenset())
    assert told(found).filled_lots == 27
    assert told(found).settled_lots == 23
    assert told(found).child_count == 4
