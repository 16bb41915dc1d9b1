"""What an order costs before its write, part by part, and what a garbage collection would add.

Question: how much of tick-to-order is Python and signature, what is left of it on a session that
was logged on (`frame`), and does the collector matter?
Load: one command, in a loop and with everything hot; `tick_to_order` shows it in its real
surroundings, where caches are cold. The collector is run over a heap as large as an executor's,
with and without `gc.freeze()`.

The baseline of each case is the usual way of the same thing: struct and a NamedTuple, hmac and
hashlib with string formatting, and a heap that is not frozen. That of a session's frame, which is
not signed, is a request of the same key that is.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
import struct
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench import harness
from bench.harness import Bench, Pass
from engine.domain.codes import EventType, OrderType, Side, TimeInForce
from engine.domain.instrument_row import Instrument, unit_e8
from engine.venues.binance.order_wire import Account, OrderEncoder, frame_wire
from engine.venues.order_records import Command, read_command

ROUNDS: Final = 2_000
CALLS: Final = 20  # between two looks at the clock
COLLECTIONS: Final = 30
KEY: Final = "practice"  # the practice exchange's own, key and secret
USUAL_COMMAND: Final = struct.Struct("<8xqHBBiibBBBqqqq24xqq16xi3xB32xqq24x40sq")

BENCH = Bench(
    name="order_path",
    question="what do command, request, signature and a garbage collection cost?",
    load=f"{ROUNDS} x {CALLS} calls with hot caches; {COLLECTIONS} collections a pass",
    worry="a case above half of its usual way",
    units=dict.fromkeys((*dict(harness.PERCENTILES), "max"), "us") | {"count": "samples"},
    baselines={
        "command": "command, usual way",
        "request": "request, usual way",
        "signature": "signature, usual way",
        "frame, session": "request, Ed25519",
        "collection, frozen": "collection, not frozen",
    },
)


def timed(call: Callable[[], object]) -> Pass:
    """Return percentiles of one call in us, from the mean of each round."""
    samples = np.empty(ROUNDS)
    for k in range(ROUNDS):
        start_ns = time.perf_counter_ns()
        for _ in range(CALLS):
            call()
        samples[k] = (time.perf_counter_ns() - start_ns) / CALLS / 1_000
    return harness.percentiles(samples)


def collected(*, is_frozen: bool) -> Pass:
    """Return percentiles of a full collection in us."""
    gc.collect()
    if is_frozen:
        gc.freeze()
    samples = np.empty(COLLECTIONS)
    for k in range(COLLECTIONS):
        start_ns = time.perf_counter_ns()
        gc.collect()
        samples[k] = (time.perf_counter_ns() - start_ns) / 1_000
    gc.unfreeze()
    return harness.percentiles(samples)


def usual_command(payload: bytes) -> Command:
    """Return a command with what the standard library has."""
    *fields, text, request_id = USUAL_COMMAND.unpack(payload)
    return Command._make((*fields, text.rstrip(b"\0").decode(), request_id))


def usual_request(command: Command, instrument: Instrument, venue_ms: int) -> bytes:
    """Return the request of an order with what the standard library has."""
    params: dict[str, Any] = {
        "symbol": instrument.symbol,
        "side": Side(command.side).name,
        "type": OrderType(command.order_type).name,
        "timeInForce": TimeInForce(command.time_in_force).name,
        "quantity": f"{command.qty_lots * instrument.lot_scaled / 10**instrument.qty_exponent:.3f}",
        "price": f"{command.price_ticks * instrument.tick_scaled / 10**instrument.price_exponent}",
        "newClientOrderId": f"a1-1-{command.order_sequence}-{command.cause_sequence}",
        "recvWindow": 5_000,
        "timestamp": venue_ms,
    }
    query = urlencode(params)
    signature = hmac.new(KEY.encode(), query.encode(), hashlib.sha256).hexdigest()
    head = f"POST /fapi/v1/order?{query}&signature={signature} HTTP/1.1\r\n"
    return f"{head}Host: localhost\r\nX-MBX-APIKEY: {KEY}\r\n\r\n".encode()


def private_key() -> str:
    """Return an Ed25519 key as PEM text."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def cases() -> dict[str, Callable[[], Pass]]:
    """Return every case."""
    instrument = Instrument(
        symbol="BTCUSDT",
        price_exponent=1,
        qty_exponent=3,
        tick_scaled=1,
        lot_scaled=1,
        unit_e8=unit_e8("0.1", "0.001"),
    )
    account = Account("http://localhost", "", KEY, KEY, "a", 1, 1_000)
    encoder = OrderEncoder(account, [instrument])
    fields = dict.fromkeys(Command._fields, 0) | {
        "event_type": EventType.COMMAND_NEW,
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "order_sequence": 77,
        "cause_sequence": 123_456,
        "price_ticks": 618_001,
        "qty_lots": 4,
        "epoch_low": 1,
        "client_order_id": "",
    }
    command = Command(**fields)  # type: ignore[arg-type]
    payload = bytes(USUAL_COMMAND.size)
    pair = account._replace(api_secret=private_key())
    frames, signing = frame_wire(pair, [instrument]), OrderEncoder(pair, [instrument])
    query = b"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.004&price=61800.1" * 2
    secret = KEY.encode()
    venue_ms = 1_723_000_000_123
    return {
        "command": lambda: timed(lambda: read_command(payload)),
        "command, usual way": lambda: timed(lambda: usual_command(payload)),
        "request": lambda: timed(lambda: encoder.encode_order(command, venue_ms)),
        "request, usual way": lambda: timed(lambda: usual_request(command, instrument, venue_ms)),
        "signature": lambda: timed(lambda: encoder.signature(query)),
        "signature, usual way": lambda: timed(
            lambda: hmac.new(secret, query, hashlib.sha256).hexdigest()
        ),
        "frame, session": lambda: timed(lambda: frames.order(command, venue_ms)),
        "request, Ed25519": lambda: timed(lambda: signing.encode_order(command, venue_ms)),
        "collection, frozen": lambda: collected(is_frozen=True),
        "collection, not frozen": lambda: collected(is_frozen=False),
    }


def main() -> None:
    """Run the bench."""
    asked = harness.arguments(__doc__.split("\n")[0])
    about = harness.machine()
    # What an executor's process has loaded is what a collection has to look through.
    import engine.processes.brain

    assert engine.processes.brain is not None
    results = harness.measure(cases(), asked)
    harness.finish(BENCH, results, about, asked.json)


if __name__ == "__main__":
    main()
