"""A feed role as main starts it: its own process, real segments, a practice exchange."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.config import Config, VenueConfig
from engine.domain.records import EVENT_DTYPE, MARKET_DTYPE
from engine.processes import segments
from engine.processes.control import MainWord, RolePage, RoleState, RoleWord
from engine.store.reader import join_records
from engine.telemetry import FEED_COUNTERS
from ringbuffer.ring import Consumer

DEADLINE_S = 60.0


class FeedRole:
    """Segments as main creates them, the role over them, and the readers it must not overrun."""

    def __init__(self, name: str, home: Path, port: int, **config: object) -> None:
        """Create the segments and start the role."""
        # Other checkouts on this machine may run the same tests.
        self.name = name = f"{name}-{os.getpid()}"
        url = f"http://127.0.0.1:{port}"
        venue = VenueConfig(rest_url=url, stream_url=url.replace("http", "ws"))
        fields: dict[str, Any] = {"name": name, "home": str(home), "venue": venue, **config}
        self.config = Config(**fields)
        segments.remove(name)
        self.segments = segments.create(name, 1, self.config.instruments_max, home)
        self.readers = [Consumer(self.segments.rings["market"], index) for index in (0, 1)]
        self.events_reader = Consumer(self.segments.rings["events-feed"], 0)
        self.seen = np.zeros(0, MARKET_DTYPE)
        self.start()

    def start(self) -> None:
        """Start the role's process."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.processes.feed"], stdin=subprocess.PIPE
        )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(self.config))
        self.process.stdin.close()

    @property
    def state(self) -> RoleState:
        """Return the role's state."""
        return RoleState(self.segments.control.role(RolePage.FEED, RoleWord.STATE))

    def word(self, word: RoleWord) -> int:
        """Return a word of the role's page."""
        return self.segments.control.role(RolePage.FEED, word)

    def counter(self, name: str) -> int:
        """Return one of the role's counters."""
        page = self.segments.counters.page(RolePage.FEED)
        try:
            return page.counter([row.name for row in FEED_COUNTERS].index(name))
        finally:
            page.release()

    def drain(self) -> NDArray[np.void]:
        """Read what is there, keep it, and return everything kept."""
        for reader in self.readers:
            while True:
                slots = np.zeros(8192, MARKET_DTYPE)
                first, count = reader.read_into(slots)
                if count <= 0:
                    break
                reader.advance(first + count)
                if reader is self.readers[0]:
                    self.seen = join_records([self.seen, slots[:count]], MARKET_DTYPE)
        return self.seen

    def events(self) -> NDArray[np.void]:
        """Read the events the role published since the last call."""
        slots = np.zeros(256, EVENT_DTYPE)
        first, count = self.events_reader.read_into(slots)
        if count > 0:
            self.events_reader.advance(first + count)
        return slots[: max(count, 0)]

    def wait(self, what: str, condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> None:
        """Drain until a condition holds."""
        deadline = time.monotonic() + deadline_s
        while not condition():
            assert self.process.poll() is None, f"the feed ended while waiting for {what}"
            assert time.monotonic() < deadline, f"waited {deadline_s} s for {what}"
            self.drain()
            time.sleep(0.005)

    def wait_types(self, *record_types: int) -> None:
        """Drain until every record type was seen."""
        self.wait(
            f"record types {record_types}",
            lambda: set(record_types) <= set(self.seen["record_type"].tolist()),
        )

    def stop(self) -> int:
        """Ask for an orderly stop and return the exit code."""
        self.segments.control.set_main(MainWord.STOP_FEED, 1)
        return self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """End the role if it lives, and remove the segments."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in (*self.readers, self.events_reader):
            reader.close()
        for ring in self.segments.rings.values():
            ring.close()
        self.segments.control.close()
        self.segments.counters.close()
        self.segments.instruments.close()
        self.segments.sources.close()
        self.segments.depth.close()
        segments.remove(self.name)
