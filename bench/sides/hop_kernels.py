"""Kernels of the hop bench: ticks in one ring, decided upon in another process, orders in the next.

        edge   --market-->   relay   --orders-->   edge

The edge is one thread at both ends, so one clock reading stands at each end of a hop, and it never
waits for an answer: a tick goes out when it is due, whatever has come back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.sides.ring_kernels import announce, stamp
from ringbuffer import kernels
from ringbuffer.atomics import kernel, load_acquire, pause
from ringbuffer.layout import HANDLE_MASK, READER_HEARTBEAT

Handle = NDArray[np.int64]
Slots = NDArray[np.void]

BATCH = 32
SENT, DUE, WRITTEN = 0, 1, 2  # columns: order seen since tick sent, since due; written since sent


@kernel
def send(ring: Handle, slots: Slots, due: int) -> bool:
    """Publish one tick, stamped with its actual and its due time; False when the ring is full."""
    sequence = kernels.try_claim(ring, 1)
    if sequence < 0:
        return False
    i = kernels.begin(ring, sequence)
    slots["word2"][i] = sequence * 2
    slots["word3"][i] = sequence * 3
    slots["word4"][i] = sequence * 4
    slots["word5"][i] = sequence * 5
    slots["word6"][i] = sequence * 6
    slots["due"][i] = due
    slots["sent"][i] = stamp()
    kernels.commit(ring, sequence)
    kernels.publish(ring)
    return True


@kernel
def edge(
    market: Handle,
    ticks: Slots,
    orders: Handle,
    answers: Slots,
    end: int,
    gap: int,
    latencies: NDArray[np.int64],
) -> int:
    """Send a tick per `gap`, take every order; return how many orders are wrong.

    Fills `latencies`, int64[count, 3], in clock units.
    """
    # MEMORY: acquire; the relay is at its loop. Pairs with the release in announce.
    while load_acquire(kernels.reader_address(market, 0) + READER_HEARTBEAT) != end:
        pause()
    count = latencies.shape[0]
    first = end - count
    sent, taken, wrong = 0, 0, 0
    due = stamp() + gap
    while taken < count:
        if sent < count and stamp() >= due and send(market, ticks, due):
            due += gap
            sent += 1
        ready = kernels.poll(orders, 0, BATCH)
        if ready == 0:
            pause()
            continue
        following = kernels.next_sequence(orders, 0)
        for sequence in range(following, following + ready):
            i = sequence & orders[HANDLE_MASK]
            now = stamp()
            tick = first + taken
            side = 1 if tick & 1 else -1
            if answers["word2"][i] != tick or answers["word4"][i] != tick * 4 + side:
                wrong += 1
            latencies[taken, SENT] = now - answers["sent"][i]
            latencies[taken, DUE] = now - answers["due"][i]
            latencies[taken, WRITTEN] = answers["word5"][i] - answers["sent"][i]
            taken += 1
        kernels.advance(orders, 0, following + ready)
    return wrong


@kernel
def relay(market: Handle, ticks: Slots, orders: Handle, answers: Slots, end: int) -> int:
    """Take every tick up to `end`, decide, and publish one order at once for each."""
    announce(market, end)
    following = kernels.next_sequence(market, 0)
    while following < end:
        ready = kernels.poll(market, 0, BATCH)
        if ready == 0:
            pause()
        for sequence in range(following, following + ready):
            i = sequence & market[HANDLE_MASK]
            number = ticks["word2"][i] // 2
            side = 1 if number & 1 else -1
            place = kernels.try_claim(orders, 1)
            while place < 0:
                pause()
                place = kernels.try_claim(orders, 1)
            k = kernels.begin(orders, place)
            answers["sent"][k] = ticks["sent"][i]
            answers["due"][k] = ticks["due"][i]
            answers["word2"][k] = number
            answers["word3"][k] = side
            answers["word4"][k] = ticks["word4"][i] + side
            answers["word5"][k] = stamp()
            kernels.commit(orders, place)
            kernels.publish(orders)
        if ready > 0:
            kernels.advance(market, 0, following + ready)
        following += ready
    return following
