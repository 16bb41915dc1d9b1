"""The far end of the brain's hop: new orders are counted, each with the times of its own quote."""

import numpy as np

from bench.sides.brain_hop_kernels import DUE, HEAVY_LOTS, SENT, THIN_LOTS, send, take_orders
from engine.domain.codes import EventType
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from native_ext import _native
from ringbuffer.ring import Consumer, Producer, Ring
from tests.builders import joined, make_quote
from tests.desk_rig import make_event
from tests.loop_rig import VENUE_OFFSET_NS

CLOCK = _native.Clock()


def taken(*commands: np.ndarray, wanted: int = 3) -> tuple[int, np.ndarray]:
    """Publish commands, take them; return how many orders were seen, and their latencies."""
    ring = Ring.local("commands", 16, EVENT_DTYPE.itemsize, gating=(0,))
    producer, consumer = Producer(ring), Consumer(ring, 0)
    for command in commands:
        assert producer.try_publish(command.tobytes()[8:]) >= 0
    asked = np.array([[-1_000, -3_000], [-2_000, -6_000]], dtype=np.int64)
    latencies = np.zeros((wanted, 2), np.int64)
    orders = ring.slots(EVENT_DTYPE)
    seen = take_orders(consumer.addresses(), orders, asked, latencies, 0, wanted)
    assert consumer.lag() == 0, "what was seen was taken"
    return seen, latencies


def test_an_order_has_the_times_of_the_quote_of_its_own_instrument() -> None:
    new = [make_event(EventType.COMMAND_NEW, instrument_index=k) for k in (1, 0)]
    seen, latencies = taken(*new)
    assert seen == 2
    assert (latencies[0] - latencies[1]).tolist() == [1_000, 3_000]
    assert latencies[0, DUE] - latencies[0, SENT] == 4_000


def test_other_commands_are_no_orders_and_more_than_wanted_are_left_out() -> None:
    new = make_event(EventType.COMMAND_NEW, instrument_index=0)
    fetch = make_event(EventType.COMMAND_FETCH, instrument_index=1)
    assert taken(fetch)[0] == 0
    assert taken(fetch, new, fetch)[0] == 1
    assert taken(new, new, new, wanted=2)[0] == 2
    assert taken()[0] == 0


def test_a_quote_is_received_now_and_a_full_ring_refuses_it() -> None:
    ring = Ring.local("market", 4, MARKET_DTYPE.itemsize, gating=(0,))
    producer, reader = Producer(ring), Consumer(ring, 0)
    slots, words = ring.slots(MARKET_DTYPE), np.frombuffer(memoryview(CLOCK), np.int64)
    template = joined([make_quote(bid_qty=HEAVY_LOTS, ask_qty=THIN_LOTS, instrument_index=7)])
    before_ns = CLOCK.now_ns()
    sent = [
        send(producer.addresses(), slots, template, k, words, VENUE_OFFSET_NS) for k in range(5)
    ]
    assert sent == [True, True, True, True, False]
    assert slots["aux"].tolist() == [1, 2, 3, 4]
    assert slots["sequence"].tolist() == [0, 1, 2, 3] or (slots["sequence"] > 0).all()
    assert (slots["venue_time_ns"] - slots["receive_time_ns"] == VENUE_OFFSET_NS).all()
    assert (slots["receive_time_ns"] >= before_ns).all()
    assert reader.lag() == 4
