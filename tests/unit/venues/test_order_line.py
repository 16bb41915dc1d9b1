"""The order line by itself: the bytes it writes, its states, and who owns the socket."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.codes import EVENT_POST_ONLY, EVENT_REDUCE_ONLY, OrderType, Side, TimeInForce
from engine.venues.order_records import read_command
from native_ext._native import OrderLine, OrderWire
from tests.line_rig import (
    ARMED,
    DEADLINE_S,
    EMPTY,
    TAKEN,
    UNSENT,
    WRITTEN,
    arm,
    fill,
    make_command,
    make_encoder,
    narrow_pair,
    open_descriptors,
    received,
    take,
    write,
)

ENCODER = make_encoder()
ROUNDS = 2_000
REST_S = 0.05
COUNT = st.integers(0, 2**62)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def commands() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "side": st.sampled_from([Side.BUY, Side.SELL]),
            "order_type": st.sampled_from(OrderType),
            "time_in_force": st.sampled_from([0, *TimeInForce, 9]),
            "flags": st.sampled_from(
                [0, EVENT_REDUCE_ONLY, EVENT_POST_ONLY, EVENT_REDUCE_ONLY | EVENT_POST_ONLY, 255]
            ),
            "instrument_index": st.integers(-1, 2),
            "strategy_index": st.integers(-2, 299),
            "price_ticks": st.one_of(st.integers(-1, 10**7), COUNT),
            "qty_lots": st.one_of(st.integers(-1, 10**7), COUNT),
            "order_sequence": st.integers(-1, 2**40),
            "cause_sequence": st.integers(-1, 2**50),
            "epoch_low": st.sampled_from([0, 1, 255]),
        }
    )


@given(commands())
def test_the_line_writes_the_encoders_bytes_or_none(fields: dict[str, int]) -> None:
    line, record = OrderLine(), make_command(**fields)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert arm(line, ENCODER.wire, ours, time.monotonic_ns(), 1_723_000_000_000_000_000, 0, 0)
        assert take(line)
        write(line, record)
        sent, _, venue_ms, rest = line.collect()
        try:
            expected = ENCODER.encode_order(read_command(record.tobytes()[8:]), venue_ms)
        except AssertionError:
            expected = b""  # the executor, asked to send it, says what is wrong with it
        assert received(theirs) == expected
        assert (sent, rest) == (len(expected) or -1, b"")


def test_an_order_goes_through_the_states_and_leaves_the_line_empty(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    line = OrderLine()
    assert line.state == EMPTY
    assert not take(line), "nothing is lent"
    assert arm(line, ENCODER.wire, ours)
    assert line.state == ARMED
    assert not arm(line, ENCODER.wire, ours), "one at a time"
    assert take(line)
    assert line.state == TAKEN
    assert not take(line), "taken once"
    before_ns = time.monotonic_ns()
    assert write(line, make_command())
    assert line.state == WRITTEN
    assert not line.disarm(), "the kernel thread was first"
    sent, write_ns, _, rest = line.collect()
    assert before_ns <= write_ns <= time.monotonic_ns()
    assert (sent, rest) == (len(received(theirs)), b"")
    assert line.state == EMPTY
    with pytest.raises(AssertionError, match="nobody took"):
        line.collect()


def test_a_line_given_back_is_not_written_to(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    line = OrderLine()
    assert line.disarm(), "an empty line is nobody's"
    arm(line, ENCODER.wire, ours)
    assert line.disarm()
    assert not take(line)
    assert received(theirs) == b""


def test_the_line_keeps_no_descriptor_when_it_is_over(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = pair
    line, before = OrderLine(), open_descriptors()
    for over in ("disarm", "collect", "drop"):
        arm(line, ENCODER.wire, ours)
        assert open_descriptors() == before + 1, "a duplicate: the socket's own may be closed"
        if over == "disarm":
            line.disarm()
        elif over == "collect":
            take(line)
            write(line, make_command())
            line.collect()
        else:
            del line
        assert open_descriptors() == before, over


def test_a_descriptor_that_is_used_again_is_never_written_to() -> None:
    line = OrderLine()
    ours, theirs = socket.socketpair()
    arm(line, ENCODER.wire, ours)
    number = ours.fileno()
    ours.close()
    other, peer = socket.socketpair()
    assert number in {other.fileno(), peer.fileno()}, "the lowest number is given out again"
    take(line)
    assert write(line, make_command())
    assert received(other) + received(peer) == b""
    assert received(theirs).startswith(b"POST ")
    for one in (other, peer, theirs):
        one.close()


def test_nothing_leaves_to_a_peer_that_is_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    line = OrderLine()
    arm(line, ENCODER.wire, ours)
    theirs.close()
    take(line)
    assert not write(line, make_command()), "EPIPE, and no signal"
    assert line.state == UNSENT
    assert line.collect()[0] == 0


def test_nothing_leaves_to_a_full_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    line = OrderLine()
    waiting = fill(ours)
    arm(line, ENCODER.wire, ours)
    take(line)
    assert not write(line, make_command())
    assert line.collect()[0] == 0
    ours.close()
    found = 0
    while chunk := theirs.recv(65_536):
        found += len(chunk)
    assert found == waiting


def test_what_a_nearly_full_socket_leaves_over_is_told() -> None:
    ours, theirs = narrow_pair()
    line, whole, left, rest = OrderLine(), b"", 0, b""
    while not rest:
        arm(line, ENCODER.wire, ours)
        take(line)
        assert write(line, make_command()), "a write ended midway before one ended at once"
        sent, _, venue_ms, rest = line.collect()
        request = ENCODER.encode_order(read_command(make_command().tobytes()[8:]), venue_ms)
        assert request[sent:] == rest
        whole += request
        left += sent
    assert 0 < sent < len(request)
    ours.close()
    found = b""
    while chunk := theirs.recv(65_536):
        found += chunk
    theirs.close()
    assert found == whole[:left], "exactly what the line says has left"


@pytest.mark.parametrize("how", ["disarm", "collect"])
def test_who_is_late_waits_until_the_other_is_done(
    how: str, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    line, done = OrderLine(), threading.Event()
    arm(line, ENCODER.wire, ours)
    take(line)

    def late() -> None:
        if how == "disarm":
            assert not line.disarm()
        else:
            assert line.collect()[0] > 0
        done.set()

    thread = threading.Thread(target=late)
    thread.start()
    assert not done.wait(REST_S), "the order is being written"
    write(line, make_command())
    thread.join(DEADLINE_S)
    assert done.is_set()
    assert received(theirs).startswith(b"POST ")
    if how == "disarm":
        line.collect()
    assert line.written_count == 1


def test_a_wire_that_is_lent_changes_no_more(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    wire = make_encoder().wire
    line = OrderLine()
    arm(line, wire, ours)
    with pytest.raises(AssertionError, match="lent"):
        wire.add_instrument(b"symbol=A", 1, 0, 1, 0)
    with pytest.raises(AssertionError, match="lent"):
        OrderWire.__init__(wire, b"", b"", b"", b"", b"", 1, ())


def test_a_line_is_armed_with_a_wire_and_an_open_socket_only() -> None:
    line = OrderLine()
    with pytest.raises(TypeError, match="OrderWire"):
        line.arm(b"", 0, 0, 0, 0, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="arm takes"):
        line.arm(ENCODER.wire, 0)  # type: ignore[call-arg]
    assert not line.arm(ENCODER.wire, -1, 0, 0, 0, 0), "no such descriptor"
    assert line.state == EMPTY
    with pytest.raises(TypeError):
        OrderLine(1)  # type: ignore[call-arg]


def test_two_threads_never_both_have_the_line() -> None:
    """One lends and takes back, one takes and writes; each order is somebody's, once."""
    line, before = OrderLine(), open_descriptors()
    ours, theirs = socket.socketpair()
    stop, taken = threading.Event(), 0

    def decide() -> None:
        nonlocal taken
        while not stop.is_set():
            if take(line):
                taken += 1
                write(line, make_command(order_sequence=taken))

    thread = threading.Thread(target=decide)
    thread.start()
    collected, given_back, requests = 0, 0, b""
    deadline = time.monotonic() + DEADLINE_S
    while (collected < ROUNDS or given_back < ROUNDS // 100) and time.monotonic() < deadline:
        assert arm(line, ENCODER.wire, ours)
        if line.disarm():
            given_back += 1
        else:
            sent, _, _, rest = line.collect()
            assert sent > 0
            assert rest == b""
            collected += 1
        requests += received(theirs)
    stop.set()
    thread.join(DEADLINE_S)
    if line.state != EMPTY:
        line.collect()
    requests += received(theirs)
    ours.close()
    theirs.close()
    assert collected > 0
    assert given_back > 0
    found = re.findall(rb"newClientOrderId=a1-1-(\w+)-rt&", requests)
    assert [int(number, 36) for number in found] == list(range(1, taken + 1))
    assert open_descriptors() == before
