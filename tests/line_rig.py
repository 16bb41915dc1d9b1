"""The order line with both ends in this process; the test plays the kernel thread."""

import socket
from pathlib import Path

import numpy as np

from engine.domain.codes import (
    COMMAND_ON_LINE,
    EVENT_POST_ONLY,
    EventType,
    OrderType,
    Side,
    TimeInForce,
)
from engine.domain.records import EVENT_DTYPE
from engine.venues.binance.order_wire import Account, OrderEncoder
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
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
