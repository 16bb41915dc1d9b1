"""The kernel thread writes a new order itself: which one, when, and how the executor knows."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from engine.domain.codes import COMMAND_ON_LINE, EventType
from engine.domain.desk import OUT_COMMANDS, OUT_EVENTS
from engine.processes.brain_publish import publish_step
from engine.processes.brain_words import LINE_ARMED, LoopWord
from engine.venues.order_records import read_command
from tests.desk_rig import make_event
from tests.line_rig import ARMED, EMPTY, WRITTEN, arm, make_command, make_encoder, received
from tests.loop_rig import SHOWN_SYNCED, LoopRig

ENTRY = {"bid_lots": 99_000, "ask_lots": 1_000}
ENCODER = make_encoder()


class Lent:
    """A loop whose order line has a connection, and the venue's end of that connection."""

    def __init__(self, rig: LoopRig) -> None:
        self.rig = rig
        self.line = rig.rings.line
        self.ours, self.theirs = socket.socketpair()
        assert arm(self.line, ENCODER.wire, self.ours)

    def publish(self, *commands: np.ndarray) -> np.ndarray:
        """Let the loop publish one event and these commands; return the commands as published."""
        out = self.rig.out
        out.events[0] = make_event(EventType.POSITION_CHANGED)
        for k, command in enumerate(commands):
            out.commands[k] = command
            out.commands["order_status"][k] = 0
        out.counts[OUT_EVENTS], out.counts[OUT_COMMANDS] = 1, len(commands)
        publish_step(self.rig.ports, out)
        return self.rig.drain_commands()

    def close(self) -> None:
        """Close both ends."""
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def lent() -> Iterator[Lent]:
    rig = LoopRig()
    made = Lent(rig)
    yield made
    made.close()
    rig.close()


def test_a_decided_order_is_on_the_wire_and_in_the_command_ring(lent: Lent) -> None:
    rig = lent.rig
    rig.sync()
    rig.drain_commands()
    rig.drain_events()
    assert rig.rings.commands_read.arm()
    rig.publish_market(rig.quote(**ENTRY))
    rig.run()
    commands = rig.drain_commands()
    assert commands["event_type"].tolist() == [EventType.COMMAND_NEW]
    assert commands["order_status"].tolist() == [COMMAND_ON_LINE]
    assert rig.doorbell_rang(), "the executor has an order to follow"
    assert lent.line.state == WRITTEN
    sent, write_ns, venue_ms, rest = lent.line.collect()
    command = read_command(commands[0].tobytes()[8:])
    request = received(lent.theirs)
    assert request == ENCODER.encode_order(command, venue_ms)
    assert (sent, rest) == (len(request), b"")
    assert write_ns >= command.decision_time_ns
    requests = rig.drain_events()
    requests = requests[requests["event_type"] == EventType.ORDER_REQUEST]
    assert requests["order_status"].tolist() == [0], "the journal has no trace of who wrote it"


def test_the_loop_and_the_line_call_a_lent_line_the_same(lent: Lent) -> None:
    assert lent.line.state == LINE_ARMED
    assert lent.publish(make_command())["order_status"].tolist() == [COMMAND_ON_LINE]
    assert lent.line.state != LINE_ARMED


def test_without_a_connection_the_order_is_the_executors(lent: Lent) -> None:
    assert lent.line.disarm()
    assert lent.publish(make_command())["order_status"].tolist() == [0]
    assert lent.line.state == EMPTY
    assert received(lent.theirs) == b""


def test_a_line_serves_one_order_until_it_is_lent_again(lent: Lent) -> None:
    assert lent.publish(make_command())["order_status"].tolist() == [COMMAND_ON_LINE]
    assert lent.publish(make_command())["order_status"].tolist() == [0]
    assert received(lent.theirs).count(b"POST ") == 1
    lent.line.collect()
    assert arm(lent.line, ENCODER.wire, lent.ours)
    assert lent.publish(make_command())["order_status"].tolist() == [COMMAND_ON_LINE]


@pytest.mark.parametrize(
    "kinds",
    [
        (EventType.COMMAND_NEW, EventType.COMMAND_NEW),
        (EventType.COMMAND_NEW, EventType.COMMAND_CANCEL),
        (EventType.COMMAND_CANCEL, EventType.COMMAND_NEW),
        (EventType.COMMAND_CANCEL,),
        (EventType.COMMAND_CANCEL_ALL,),
        (EventType.COMMAND_FETCH,),
    ],
)
def test_what_is_not_one_new_order_is_the_executors(
    lent: Lent, kinds: tuple[EventType, ...]
) -> None:
    commands = lent.publish(*(make_command(event_type=kind) for kind in kinds))
    assert commands["event_type"].tolist() == list(kinds)
    assert not commands["order_status"].any()
    assert lent.line.state == ARMED
    assert received(lent.theirs) == b""


def test_an_order_does_not_overtake_a_command_that_was_not_taken(lent: Lent) -> None:
    rings = lent.rig.rings
    assert rings.commands.try_publish(make_command().tobytes()[8:]) >= 0
    assert lent.publish(make_command())["order_status"].tolist() == [COMMAND_ON_LINE, 0]
    assert lent.line.state == ARMED
    assert received(lent.theirs) == b""


@pytest.fixture
def on_disk() -> Iterator[Lent]:
    rig = LoopRig(disk=True)
    made = Lent(rig)
    yield made
    made.close()
    rig.close()


def test_no_byte_leaves_before_the_journal_has_the_events(on_disk: Lent) -> None:
    rig = on_disk.rig
    rig.shown[SHOWN_SYNCED] = 1 << 40
    rig.run()
    rig.sync()
    rig.drain_commands()
    rig.shown[SHOWN_SYNCED] = published = rig.rings.events.ring.published()
    rig.publish_market(rig.quote(**ENTRY))
    rig.run_behind()
    rig.wait_for(lambda: rig.rings.events.ring.published() > published, "the intent is published")
    assert on_disk.line.state == ARMED
    assert received(on_disk.theirs) == b""
    rig.shown[SHOWN_SYNCED] = 1 << 40
    rig.wait_for(lambda: on_disk.line.state == WRITTEN, "the order is written")
    rig.stop()
    assert received(on_disk.theirs).startswith(b"POST ")


def test_a_stop_that_ends_the_wait_for_the_journal_sends_nothing(on_disk: Lent) -> None:
    on_disk.rig.ports.words[LoopWord.STOP] = 1
    assert on_disk.publish(make_command())["order_status"].tolist() == [0]
    assert on_disk.line.state == ARMED
    assert received(on_disk.theirs) == b""
