"""The kernel at both ends of the brain's loop: quotes go out when due, new orders are taken."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.sides.ring_kernels import announce, stamp
from engine.domain.codes import EventType
from ringbuffer import kernels
from ringbuffer.atomics import kernel, load_acquire, pause
from ringbuffer.layout import HANDLE_MASK, READER_HEARTBEAT

Handle = NDArray[np.int64]
Records = NDArray[np.void]

BATCH = 32
BUSY_LOTS, THIN_LOTS = 9_900, 100
_COMMAND_NEW = int(EventType.COMMAND_NEW)

__all__ = ["announce", "edge"]


@kernel
def send(
    ring: Handle, slots: Records, template: Records, k: int, clock: Handle, offset_ns: int
) -> int:
    """Publish quote k of the instrument that `template` is of; return its slot, -1 when full."""
    sequence = kernels.try_claim(ring, 1)
    if sequence < 0:
        return -1
    receive_ns = kernels.now_ns(clock)
    template["sequence"][0] = -1  # a busy slot stays busy until commit
    template["update_id"][0] = k + 1
    template["receive_time_ns"][0] = receive_ns
    template["venue_time_ns"][0] = receive_ns + offset_ns
    i = kernels.begin(ring, sequence)
    slots[i] = template[0]
    kernels.commit(ring, sequence)
    kernels.publish(ring)
    return i


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
    clock: Handle,
    offset_ns: int,
    latencies: NDArray[np.int64],
) -> int:
    """Send a quote per `gap`; each `every`th asks for an order of an instrument that has none.

    Fills `latencies`, int64[orders wanted, 2], since sent and since due; returns the orders seen.
    """
    # MEMORY: acquire; the brain is at its loop. Pairs with the release in announce.
    while load_acquire(kernels.reader_address(market, 0) + READER_HEARTBEAT) != end:
        pause()
    wanted = latencies.shape[0]
    total = wanted * every
    instruments = templates.shape[0]
    asked = np.zeros((instruments, 2), np.int64)
    sent, asks, seen = 0, 0, 0
    due = stamp() + gap
    give_up = due + gap * total * 4
    while (seen < wanted or sent < total) and stamp() < give_up:
        now = stamp()
        if sent < total and now >= due:
            asks_now = sent % every == every - 1
            k = asks % instruments if asks_now else sent % instruments
            template = templates[k : k + 1]
            template["bid_qty_lots"][0] = BUSY_LOTS if asks_now else THIN_LOTS
            if asks_now:
                asked[k, 0] = stamp()
                asked[k, 1] = due
            if send(market, quotes, template, sent, clock, offset_ns) >= 0:
                due += gap
                sent += 1
                asks += asks_now
        ready = kernels.poll(commands, 0, BATCH)
        if ready == 0:
            pause()
            continue
        following = kernels.next_sequence(commands, 0)
        now = stamp()
        for sequence in range(following, following + ready):
            i = sequence & commands[HANDLE_MASK]
            if orders["event_type"][i] == _COMMAND_NEW and seen < wanted:
                k = orders["instrument_index"][i]
                latencies[seen, 0] = now - asked[k, 0]
                latencies[seen, 1] = now - asked[k, 1]
                seen += 1
        kernels.advance(commands, 0, following + ready)
    return seen
