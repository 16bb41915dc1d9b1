"""A shaped line at work: bytes given to it leave by timer, as its shaper says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from exchange.shaping import NS_PER_S, Shaper


@dataclass(slots=True, eq=False)
class SlowLine:
    """One connection's way out while it is shaped."""

    shaper: Shaper
    send: Callable[[bytes], None]
    on_drained: Callable[[], None]
    _timer: asyncio.TimerHandle | None = None

    def put(self, payload: bytes) -> bool:
        """Take bytes; False when the buffer is full."""
        taken = self.shaper.put(payload, time.monotonic_ns())
        self._wait()
        return taken

    def _wait(self) -> None:
        due_ns = self.shaper.next_due_ns
        if due_ns is None or self._timer is not None:
            return
        delay_s = max(0, due_ns - time.monotonic_ns()) / NS_PER_S
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        payload = self.shaper.take(time.monotonic_ns())
        if payload:
            self.send(payload)
        if self.shaper.next_due_ns is None:
            self.on_drained()
        else:
            self._wait()

    def finish(self) -> None:
        """Let everything under way arrive now; the line is slow no more."""
        self.stop()
        payload = self.shaper.take_all()
        if payload:
            self.send(payload)
        self.on_drained()

    def stop(self) -> None:
        """Forget the timer: the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
