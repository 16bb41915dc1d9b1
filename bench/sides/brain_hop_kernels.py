"""The kernel at both ends of the brain's loop: quotes go out when due, new orders are taken.

        edge   --market-->   brain   --commands-->   edge

One thread is at both ends, so one clock reading stands at each end of a hop, and it never waits for
an answer: a quote goes out when it is due, whatever has come back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.sides.ring_kernels import stamp
from engine.domain.codes import EventType
from ringbuffer import kernels
from ringbuffer.atomics import kernel, load_acquire, pause
from ringbuffer.layout import HANDLE_MASK, READER_HEARTBEAT

Handle = NDArray[np.int64]
Records = NDArray[np.void]

BATCH = 32
HEAVY_LOTS, THIN_LOTS = 9_900, 100  # at the bid, beside THIN_LOTS at the ask
SENT, DUE = 0, 1  # columns of what is measured
_COMMAND_NEW = int(EventType.COMMAND_NEW)


@kernel
def send(
    ring: Handle, slots: Records, template: Records, number: int, clock: Handle, offset_ns: int
) -> bool:
    """Publish the instrument's quote, received now; False when the ring is full."""
    sequence = kernels.try_claim(ring, 1)
    if sequence < 0:
        return False
    received_ns = kernels.now_ns(clock)
    template["sequence"][0] = -1  # a busy slot stays busy until commit
    template["aux"][0] = number + 1
    template["receive_time_ns"][0] = received_ns
    template["venue_time_ns"][0] = received_ns + offset_ns
    slots[kernels.begin(ring, sequence)] = template[0]
    kernels.commit(ring, sequence)
    kernels.publish(ring)
    return True


@kernel
def take_orders(
    ring: Handle, orders: Records, asked: Handle, latencies: Handle, seen: int, wanted: int
) -> int:
    """Take the commands that are there; return how many new orders were seen in all.

    Args:
        asked: int64[instruments, 2], when the quote that asks was sent and due.
        latencies: int64[wanted, 2], filled in.
        seen: new orders seen before.
    """
    ready = kernels.poll(ring, 0, BATCH)
    if ready == 0:
        pause()
        return seen
    now = stamp()
    following = kernels.next_sequence(ring, 0)
    for sequence in range(following, following + ready):
        i = sequence & ring[HANDLE_MASK]
        if orders["event_type"][i] == _COMMAND_NEW and seen < wanted:
            k = orders["instrument_index"][i]
            latencies[seen, SENT] = now - asked[k, SENT]
            latencies[seen, DUE] = now - asked[k, DUE]
            seen += 1
    kernels.advance(ring, 0, following + ready)
    return seen


@kernel
def edge(
    market: Handle,
    quotes: Records,
    commands: Handle,
    orders: Records,
    templates: Records,
    end: int,
    gap: int,
    every: int,
    patience: int,
    clock: Handle,
    offset_ns: int,
    latencies: Handle,
) -> int:
    """Send a quote per `gap`; each `every`th asks for an order of an instrument that has none.

    Args:
        templates: MARKET_DTYPE[instruments], the quote that asks for nothing.
        end: the market sequence after the pass; the brain shows it when it is at its loop.
        patience: clock units to wait beyond the time that all quotes need.
        latencies: int64[orders wanted, 2] in clock units, since sent and since due; filled in.

    Returns:
        How many orders were seen; fewer than wanted when the patience was not enough.
    """
    # MEMORY: acquire; the brain is at its loop. Pairs with the release in Consumer.beat.
    while load_acquire(kernels.reader_address(market, 0) + READER_HEARTBEAT) != end:
        pause()
    wanted = latencies.shape[0]
    total = wanted * every
    instruments = templates.shape[0]
    asked = np.zeros((instruments, 2), np.int64)
    sent, asks, seen = 0, 0, 0
    due = stamp() + gap
    give_up = due + gap * total + patience
    while (seen < wanted or sent < total) and stamp() < give_up:
        if sent < total and stamp() >= due:
            asks_now = sent % every == every - 1
            k = asks % instruments if asks_now else sent % instruments
            template = templates[k : k + 1]
            template["bid_qty_lots"][0] = HEAVY_LOTS if asks_now else THIN_LOTS
            if asks_now:
                asked[k, SENT] = stamp()
                asked[k, DUE] = due
            if send(market, quotes, template, sent, clock, offset_ns):
                due += gap
                sent += 1
                asks += asks_now
        seen = take_orders(commands, orders, asked, latencies, seen, wanted)
    return seen
