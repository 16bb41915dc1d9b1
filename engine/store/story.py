"""The story of one order, from the journals of its account: every event that names it, in order.

An order is named by its client id, by `<epoch>-<order_sequence>` as the projection calls it, or by
the venue's number. What an order did may stand in several sessions: it may rest through a restart.
Reads only what is on the disk; a session that still runs is read as far as it was written.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.client_id import parse_client_id
from engine.domain.codes import EventType
from engine.domain.strategy_table import EXECUTION, HAND, StrategyReason
from engine.store.errors import JournalError
from engine.store.event_names import Event
from engine.store.journal import SOURCE_EVENTS_BRAIN, SOURCE_MARKET
from engine.store.reader import SourceReader, read_batches
from engine.store.session import SessionDocument, sessions

# Events whose `order_sequence` is no order's name.
_NAMES_NO_ORDER: Final = (EventType.DRAIN_MARK, EventType.LIMITS_CHANGED, EventType.RESTORE_LIMITS)

Session = tuple[Path, SessionDocument]


class OrderName(NamedTuple):
    """Which order, over all sessions of an account."""

    epoch: int
    order_sequence: int


class StoryEvent(NamedTuple):
    """One event of an order, and the session it happened in."""

    document: SessionDocument
    event: Event


class Story(NamedTuple):
    """What is known of an order."""

    name: OrderName
    directory: Path  # of the session that asked for it
    cause: StoryEvent | None  # the market record that caused it, where the journal holds the market
    events: tuple[StoryEvent, ...]  # the decision first


def find_story(state_directory: Path, text: str) -> Story | None:
    """Return the story of the order that `text` names; None: no session knows it.

    Raises:
        StoreError: a journal or a session's document is damaged.
    """
    known = sessions(state_directory)
    name = _named(known, text)
    if name is None:
        return None
    own = [session for session in known if session[1].epoch == name.epoch]
    later = [session for session in known if session[1].epoch > name.epoch]
    events: list[StoryEvent] = []
    for session in (*own, *later):
        events += _events(session, name)
    if not events or not own:
        return None
    directory, document = own[0]
    first = events[0].event
    if document.strategy(int(first["strategy_index"])) in {HAND, EXECUTION}:
        return Story(name, directory, None, tuple(events))  # no record of the market caused it
    # A cause is named by the word of its slot, one above its place.
    record = _record_at(directory, SOURCE_MARKET, int(first["cause_sequence"]) - 1)
    cause = None if record is None else StoryEvent(document, record)
    return Story(name, directory, cause, tuple(events))


def newest_orders(state_directory: Path, count: int) -> list[StoryEvent]:
    """Return the newest requests for an order, newest first.

    Raises:
        StoreError: a journal or a session's document is damaged.
    """
    found: list[StoryEvent] = []
    for directory, document in reversed(sessions(state_directory)):
        requests: deque[Event] = deque(maxlen=count - len(found))
        for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
            is_request = batch.records["event_type"] == EventType.ORDER_REQUEST
            requests.extend(batch.records[is_request])
        found += [StoryEvent(document, event) for event in reversed(requests)]
        if len(found) >= count:
            break
    return found


def _named(known: list[Session], text: str) -> OrderName | None:
    for _, document in known:
        identity = parse_client_id(document.engine_tag, text)
        if identity is not None:
            return OrderName(identity.epoch, identity.order_sequence)
    epoch, dash, order_sequence = text.partition("-")
    if dash and epoch.isdecimal() and order_sequence.isdecimal():
        return OrderName(int(epoch), int(order_sequence))
    return _named_by_venue(known, int(text)) if text.isdecimal() else None


def _named_by_venue(known: list[Session], venue_order_id: int) -> OrderName | None:
    for directory, document in reversed(known):
        for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
            records = batch.records
            ours = (records["venue_order_id"] == venue_order_id) & _names_an_order(records)
            for event in records[ours][:1]:
                epoch = document.order_epoch(int(event["epoch_low"]))
                return OrderName(epoch, int(event["order_sequence"]))
    return None


def _names_an_order(records: NDArray[np.void]) -> NDArray[np.bool_]:
    kinds = records["event_type"]
    return (records["order_sequence"] > 0) & ~np.isin(kinds, _NAMES_NO_ORDER)


def _events(session: Session, name: OrderName) -> list[StoryEvent]:
    """Return a session's events of an order, in front of them the decision that asked for it.

    Behind a decision to leave at a stop that trails: where that stop was last told to be.
    """
    directory, document = session
    found: list[StoryEvent] = []
    trails: dict[tuple[int, int], Event] = {}
    for batch in read_batches(directory, SOURCE_EVENTS_BRAIN):
        records = batch.records
        low = records["epoch_low"] == name.epoch % 256
        ours = low & (records["order_sequence"] == name.order_sequence) & _names_an_order(records)
        for event in records[ours | (records["event_type"] == EventType.STOP_TRAILED)]:
            holder = (int(event["instrument_index"]), int(event["strategy_index"]))
            if event["event_type"] == EventType.STOP_TRAILED:
                trails[holder] = event
                continue
            if document.order_epoch(int(event["epoch_low"])) != name.epoch:
                continue
            if event["event_type"] == EventType.ORDER_REQUEST:
                decided = _decision(directory, document, event)
                found += decided
                if decided and decided[0].event["reason"] == StrategyReason.TRAILING_STOP:
                    found += [StoryEvent(document, trails[holder])] if holder in trails else []
            found.append(StoryEvent(document, event))
    return found


def _decision(directory: Path, document: SessionDocument, request: Event) -> list[StoryEvent]:
    """Return the decision that a request follows; what an operator asked for follows none."""
    place = int(request["sequence"]) - 2  # a record's own word is one above its place
    event = _record_at(directory, SOURCE_EVENTS_BRAIN, place)
    if event is None or event["event_type"] != EventType.SIGNAL_GENERATED:
        return []
    return [StoryEvent(document, event)] if event["request_id"] == request["request_id"] else []


def _record_at(directory: Path, source: str, place: int) -> Event | None:
    """Return one record of a source; None: it was never there, or retention removed it."""
    if place < 0:
        return None
    try:
        batches = SourceReader(directory, source, place).poll()
    except JournalError:
        return None
    records = next((batch.records for batch in batches if len(batch.records)), None)
    if records is None or int(records["sequence"][0]) != place + 1:
        return None
    found: Event = records[0]
    return found
