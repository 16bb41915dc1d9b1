"""An order's story: found by each of its names, whole, in order, and nobody else's."""

from pathlib import Path

import pytest

from engine.domain.records import EVENT_DUPLICATE, EventType, OrderStatus
from engine.store.errors import StoreError
from engine.store.journal import SOURCE_EVENTS_BRAIN, segment_paths
from engine.store.story import find_story, newest_orders
from tests.store_builders import as_bytes, market_records, open_market, write_session
from tests.store_events import Row, decision, event, fill, repeated, request, update

FIRST = "20260101t000000-1"
SECOND = "20260102t000000-2"
THIRD = "20260103t000000-3"
CAUSE = 3  # the word of market record 2


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "practice-practice-paper"


def trading() -> list[Row]:
    """Return two orders whose events lie between each other's."""
    return [
        decision(request_id=1, cause_sequence=CAUSE),
        request(1, request_id=1, cause_sequence=CAUSE),
        event(EventType.LIMITS_CHANGED, order_sequence=1, epoch_low=1),
        decision(request_id=2),
        request(2, request_id=2),
        update(1, OrderStatus.NEW),
        update(2, OrderStatus.NEW),
        fill(1, 501, 5, order_status_after=OrderStatus.FILLED),
    ]


def kinds(state: Path, text: str) -> list[EventType]:
    story = find_story(state, text)
    assert story is not None, text
    return [EventType(int(told.event["event_type"])) for told in story.events]


@pytest.mark.parametrize("name", ["a1-1-1-2d", "1-1", "9001"])
def test_an_order_is_found_by_client_id_by_number_and_by_the_venues_number(
    state: Path, name: str
) -> None:
    write_session(state, *trading(), session_id=FIRST)
    whole = [
        EventType.SIGNAL_GENERATED,
        EventType.ORDER_REQUEST,
        EventType.ORDER_UPDATE,
        EventType.FILL,
    ]
    assert kinds(state, name) == whole


@pytest.mark.parametrize("name", ["a1-1-3-2d", "1-3", "2-1", "77", "", "-", "x", "1-", "a1-1-1"])
def test_what_no_session_knows_has_no_story(state: Path, name: str) -> None:
    write_session(state, *trading(), session_id=FIRST)
    assert find_story(state, name) is None


def test_the_record_that_caused_it_is_told_where_the_market_was_journaled(state: Path) -> None:
    directory = write_session(state, *trading(), session_id=FIRST)
    story = find_story(state, "1-1")
    assert story is not None
    assert story.cause is None, "no market in this journal"
    writer = open_market(directory)
    writer.append(0, as_bytes(market_records(10)))
    writer.close(is_end=False)
    story = find_story(state, "1-1")
    assert story is not None
    assert story.cause is not None
    assert int(story.cause.event["bid_price_ticks"]) == 102, "record 2, whose word is 3"


def test_an_order_that_rests_through_a_restart_is_told_over_both_sessions(state: Path) -> None:
    write_session(state, *trading(), session_id=FIRST)
    write_session(
        state,
        event(EventType.RESTORE_ORDER, order_sequence=2, epoch_low=1, order_status=OrderStatus.NEW),
        update(2, OrderStatus.CANCELED),
        session_id=SECOND,
        epoch=2,
    )
    # 256 sessions later the low byte of the epoch is the same: another order of that number.
    write_session(state, request(2), session_id=THIRD, epoch=257)
    expected = [
        EventType.SIGNAL_GENERATED,
        EventType.ORDER_REQUEST,
        EventType.ORDER_UPDATE,
        EventType.RESTORE_ORDER,
        EventType.ORDER_UPDATE,
    ]
    assert kinds(state, "1-2") == expected
    assert kinds(state, "257-2") == [EventType.ORDER_REQUEST]


def test_a_decision_that_is_not_this_orders_is_not_told(state: Path) -> None:
    write_session(state, decision(request_id=8), request(1, request_id=9), session_id=FIRST)
    assert kinds(state, "1-1") == [EventType.ORDER_REQUEST]


def test_a_fill_that_came_twice_is_told_twice(state: Path) -> None:
    write_session(state, *trading(), repeated(fill(1, 501, 5)), session_id=FIRST)
    story = find_story(state, "1-1")
    assert story is not None
    assert int(story.events[-1].event["flags"]) == EVENT_DUPLICATE


def test_the_newest_orders_come_first_over_all_sessions(state: Path) -> None:
    write_session(state, request(1), request(2), session_id=FIRST)
    write_session(state, request(1), session_id=SECOND, epoch=2)
    found = [
        (told.document.epoch, int(told.event["order_sequence"])) for told in newest_orders(state, 2)
    ]
    assert found == [(2, 1), (1, 2)]
    assert len(newest_orders(state, 50)) == 3


def test_a_damaged_journal_is_said_and_not_told_around(state: Path) -> None:
    directory = write_session(state, *trading(), session_id=FIRST)
    write_session(state, *trading(), session_id=SECOND, epoch=2, is_end=True)
    (directory / "session.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        find_story(state, "2-1")
    assert segment_paths(directory, SOURCE_EVENTS_BRAIN)
