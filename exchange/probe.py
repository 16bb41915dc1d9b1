"""Measures wire tick-to-order: from the write of a trigger frame to the arrival of the order.

The frame goes out by one system call right after the clock is read; the arrival is read before the
first byte of the order is looked at. One trigger is outstanding at a time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any

from exchange.errors import ApiError
from exchange.frames import TEXT, frame
from exchange.streams import Hub, Outlet, parse_stream
from exchange.venue import Venue

MAX_TRIGGERS = 100_000
DEFAULT_GAP_MS = 5.0
DEFAULT_TIMEOUT_MS = 1_000.0
ORDER_START = b"POST /fapi/v1/order"
_CLIENT_ID = b"newClientOrderId="


def client_order_id_in(data: bytes) -> str:
    """Return the client order id in the bytes of a request, or an empty text."""
    start = data.find(_CLIENT_ID)
    if start < 0:
        return ""
    start += len(_CLIENT_ID)
    end = start
    while end < len(data) and data[end : end + 1] not in {b"&", b" ", b"\r"}:
        end += 1
    return data[start:end].decode("latin-1")


def _write_now(descriptor: int, payload: bytes) -> int:
    """Write to a socket without the event loop; return how much the kernel took."""
    try:
        return os.write(descriptor, payload)
    except BlockingIOError:
        return 0


class Probe:
    """A series of trigger frames and the intervals they led to."""

    def __init__(self, hub: Hub, venue: Venue) -> None:
        """Start disarmed."""
        self._hub = hub
        self._venue = venue
        self.armed = False  # read for every chunk of bytes that arrives
        self._written_ns = 0
        self._stream = ""
        self._texts: list[str] = []
        self._left = 0
        self._gap_s = 0.0
        self._timeout_s = 0.0
        self._awake = False
        self._serial = 0
        self._timer: asyncio.TimerHandle | None = None
        self._samples: list[dict[str, object]] = []
        self._missed = 0

    def arm(self, order: Mapping[str, Any]) -> dict[str, object]:
        """Start a series: `stream`, `text` or `texts`, `count`, `gap_ms`, `timeout_ms`, `awake`.

        With `awake` the exchange does not sleep while a trigger is out; it must have a core that
        nobody who answers needs.

        In a text `{u}` becomes an update id above the last, `{ms}` the venue time and `{n}` the
        number of the trigger. Texts are used in turn.

        Raises:
            ApiError: -1000 when a series runs already or nobody listens to the stream.
        """
        if self._left or self.armed:
            raise ApiError(-1000, "a probe series is running", status=409)
        texts = order.get("texts") or [order.get("text", "")]
        self._texts = [str(text) for text in texts]
        self._stream = str(order.get("stream", ""))
        self._left = min(int(order.get("count", 1)), MAX_TRIGGERS)
        self._gap_s = float(order.get("gap_ms", DEFAULT_GAP_MS)) / 1000
        self._awake = bool(order.get("awake", False))
        self._timeout_s = float(order.get("timeout_ms", DEFAULT_TIMEOUT_MS)) / 1000
        if not self._outlets():
            self._left = 0
            raise ApiError(-1000, f"nobody listens to {self._stream!r}")
        total = self._left
        self._schedule(self._gap_s)
        return {"armed": total}

    def _outlets(self) -> list[Outlet]:
        key = parse_stream(self._stream, self._hub.index_of)
        return self._hub.outlets(key) if key else []

    def _schedule(self, delay_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._trigger)

    def _trigger(self) -> None:
        key = parse_stream(self._stream, self._hub.index_of)
        outlets = self._outlets()
        if key is None or not outlets:
            self._left = 0
            return
        market = list(self._venue.markets.values())[key[1]]
        text = self._texts[self._serial % len(self._texts)]
        self._serial += 1
        update_id = max(market.book.quote[0], market.book.update_id) + self._serial
        body = text.replace("{u}", str(update_id)).replace("{n}", str(self._serial))
        body = body.replace("{ms}", str(self._venue.clock.now_ms()))
        self._hub.flush()
        self._left -= 1
        self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._miss)
        outlet = outlets[0]
        payload = frame(TEXT, outlet.prefix + body.encode() + outlet.suffix)
        self.armed = True
        connection = outlet.connection
        if connection.idle and connection.descriptor >= 0:
            self._written_ns = time.perf_counter_ns()
            sent = _write_now(connection.descriptor, payload)
            if sent < len(payload):
                connection.write(payload[sent:])
        else:
            self._written_ns = time.perf_counter_ns()
            connection.write(payload)
        for other in outlets[1:]:
            other.send(body.encode())
        self._hub.flush()
        self._look_out()

    def _look_out(self) -> None:
        # The loop does not sleep while a trigger is out: being woken would be measured too.
        if self.armed and self._awake:
            asyncio.get_running_loop().call_soon(self._look_out)

    def order_arrived(self, arrival_ns: int, data: bytes) -> None:
        """Record an order that answers the outstanding trigger."""
        self.armed = False
        if self._timer is not None:
            self._timer.cancel()
        sample = {
            "trigger": self._serial,
            "written_ns": self._written_ns,  # both on CLOCK_MONOTONIC
            "interval_ns": arrival_ns - self._written_ns,
            "client_order_id": client_order_id_in(data),
        }
        self._samples.append(sample)
        if self._left:
            self._schedule(self._gap_s)

    def _miss(self) -> None:
        self.armed = False
        self._missed += 1
        if self._left:
            self._schedule(self._gap_s)

    def results(self, *, clear: bool) -> dict[str, object]:
        """Return samples and counts; the raw intervals are for the bench to judge."""
        answer: dict[str, object] = {
            "running": bool(self._left or self.armed),
            "missed": self._missed,
            "samples": self._samples,
        }
        if clear:
            self._samples = []
            self._missed = 0
        return answer
