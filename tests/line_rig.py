"""The order line with both ends in this process; the test plays the kernel thread."""

import asyncio
import gc
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.clock import VenueClock
from engine.domain.codes import (
    COMMAND_ON_LINE,
    EVENT_POST_ONLY,
    EventType,
    OrderType,
    Side,
    TimeInForce,
)
from engine.domain.records import EVENT_DTYPE
from engine.venues.binance.order_context import Offload, OrderContext
from engine.venues.binance.order_line import KernelLine
from engine.venues.binance.order_sender import OrderSender
from engine.venues.binance.order_wire import Account, OrderEncoder
from engine.venues.order_records import Report, read_command
from native_ext._native import OrderLine, OrderWire, call_at
from tests.builders import make_instrument

EMPTY, ARMED, TAKEN, WRITTEN, UNSENT = range(5)
DEADLINE_S = 20.0
WIRE_BYTES = 65_536


def make_encoder(epoch: int = 1) -> OrderEncoder:
    """Return an encoder of two instruments, one of them coarse."""
    coarse = make_instrument("DOGEUSDT", instrument_index=1, price_exponent=5, qty_exponent=0)
    account = Account("http://localhost:9", "", "key", "secret", "a", epoch, 1_000)
    return OrderEncoder(account, [make_instrument(), coarse])


def make_command(**fields: int) -> np.ndarray:
    """Return the record of a limit order that is on the line."""
    record = np.zeros(1, EVENT_DTYPE)
    defaults = {
        "event_type": EventType.COMMAND_NEW,
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "flags": EVENT_POST_ONLY,
        "price_ticks": 618_001,
        "qty_lots": 4,
        "order_sequence": 1,
        "cause_sequence": 1_001,
        "epoch_low": 1,
        "order_status": COMMAND_ON_LINE,
    }
    for name, number in (defaults | fields).items():
        record[name] = number
    return record


def take(line: OrderLine) -> bool:
    """Take the line as the kernel thread does."""
    address, take_address, _ = line.addresses
    return call_at(take_address, address, 0) == 1


def write(line: OrderLine, record: np.ndarray) -> bool:
    """Write a record's order on a line that was taken, as the kernel thread does."""
    address, _, write_address = line.addresses
    return call_at(write_address, address, record.ctypes.data) == 1


class LineSide:
    """An order side whose ring is a list; the test is the kernel thread."""

    def __init__(
        self, account: Account, clock: VenueClock, later: Callable[[str, Callable[[], Any]], bool]
    ) -> None:
        """Make the order side of one instrument; what it puts off goes to `later`."""
        self.reports: list[Report] = []
        self.ring: deque[np.ndarray] = deque()
        self.line: Any = OrderLine()
        self.context = OrderContext(
            account,
            clock,
            [make_instrument()],
            self.reports.append,
            Offload(later, later, later),
            KernelLine(self.line, self.take_commands),
        )
        assert self.context.line is not None
        self.end = self.context.line
        self.sender = OrderSender(self.context)

    def take_commands(self) -> None:
        """Take what is in the ring, as the executor does: a place is free when it was taken."""
        while self.ring:
            self.sender.submit(read_command(self.ring[0].tobytes()[8:]))
            self.ring.popleft()

    def decide(self, number: int = 1) -> bool:
        """Decide an order as the kernel thread does; return whether it took the line."""
        record = make_command(order_sequence=number)
        taken = take(self.line)
        if not taken:
            record["order_status"] = 0
        self.ring.append(record)
        if taken:
            write(self.line, record)
        return taken

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition with a deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < deadline, f"{what}: {self.kinds()}"
            await asyncio.sleep(0.001)

    def kinds(self) -> list[EventType]:
        """Return the types of the reports about orders."""
        return [row.event_type for row in self.reports if row.event_type != EventType.VENUE_CLOCK]


def arm(line: OrderLine, wire: OrderWire, lent: socket.socket, *clock: int) -> bool:
    """Lend a socket; the clock starts at the epoch when it is not given."""
    return line.arm(wire, lent.fileno(), *(clock or (0, 0, 0, 0)))


def received(peer: socket.socket) -> bytes:
    """Return what has arrived at a socket so far."""
    try:
        return peer.recv(WIRE_BYTES, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def fill(lent: socket.socket) -> int:
    """Write to a socket until it takes no more; return how much it took."""
    lent.setblocking(False)
    total = 0
    while True:
        try:
            total += lent.send(bytes(4_096))
        except BlockingIOError:
            return total


def narrow_pair() -> tuple[socket.socket, socket.socket]:
    """Return two ends of a connection with the least of everything, so that writes end midway."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 500)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ours = socket.socket()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    return ours, theirs


def open_descriptors() -> int:
    """Return how many descriptors this process has open, without those of garbage."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))
