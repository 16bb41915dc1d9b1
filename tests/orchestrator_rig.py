"""A real orchestrator process on real rings; the test plays main, feed and brain."""

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np

from engine.config import Config
from engine.domain.codes import EventType, TradingState
from engine.domain.instrument_row import SEGMENT_COUNT_OFFSET, pack_row
from engine.processes import segments
from engine.processes.commands import pack_control
from engine.processes.control import RolePage, RoleState, RoleWord
from engine.store.session import session_directory
from native_ext import _native
from ringbuffer.ring import Producer
from tests.engine_process import wait_for
from tests.ring_builders import unique_name
from tests.store_builders import event_records, instrument, market_records
from tests.store_events import Row

DEADLINE_S = 60.0
SLOT_HEADER = 8


class OrchestratorRig:
    """Segments of one engine and the orchestrator attached to them."""

    def __init__(self, home: Path, config: Config | None = None, *, session: str = "s1") -> None:
        """Create the segments; `spawn` starts the role."""
        given = config or Config(name=unique_name("t").replace("aegis-", ""))
        self.config = msgspec.structs.replace(
            given, home=str(home), session_id=session, epoch=given.epoch or 1
        )
        self.parts = segments.create(self.config.name, 1, 8, home)
        rings = self.parts.rings
        self.market = Producer(rings["market"])
        self.brain = Producer(rings["events-brain"])
        self.feed = Producer(rings["events-feed"])
        self.control = Producer(rings["control-ring"])
        self.directory = session_directory(self.config)
        self.process: subprocess.Popen[bytes] | None = None
        self.events_published = 0
        self.records_published = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the role and remove the segments."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        segments.remove(self.config.name)

    def spawn(self, stderr: int | None = None) -> None:
        """Start the role and give it its configuration."""
        self.parts.control.request_stop(RolePage.ORCHESTRATOR, 0)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.processes.orchestrator"],
            stdin=subprocess.PIPE,
            stderr=stderr,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(self.config))
        self.process.stdin.close()

    def wait_ready(self) -> None:
        """Wait until the role says READY."""
        wait_for("READY", lambda: self.state() == RoleState.READY, DEADLINE_S)

    def start(self) -> None:
        """Spawn, publish the instruments and wait until the role is ready."""
        self.spawn()
        self.publish_instruments()
        self.wait_ready()

    def state(self) -> RoleState:
        """Return what the role says of itself."""
        return RoleState(self.parts.control.role(RolePage.ORCHESTRATOR, RoleWord.STATE))

    def trading_state(self) -> TradingState:
        """Return the orchestrator's own trading-state word."""
        word = self.parts.control.role(RolePage.ORCHESTRATOR, RoleWord.TRADING_STATE)
        return TradingState(word)

    def publish_instruments(self) -> None:
        """Do what the feed does after it fetched the venue's list."""
        segment = self.parts.instruments
        pack_row(instrument(), segment.buffer, 0)
        pack_row(instrument("ETHUSDT", instrument_index=1), segment.buffer, 1)
        _native.store_release(segment.address + SEGMENT_COUNT_OFFSET, 2)

    def publish_events(self, *rows: Row) -> None:
        """Publish events of the brain."""
        records = event_records(*rows)
        for i in range(len(records)):
            assert self.brain.try_publish(records[i : i + 1].tobytes()[SLOT_HEADER:]) >= 0
        self.events_published += len(records)

    def publish_market(self, count: int) -> None:
        """Publish quotes."""
        block = np.ascontiguousarray(market_records(count, self.records_published))
        assert self.market.try_publish_many(block.view(np.uint8)) >= 0
        self.records_published += count

    def command(self, event_type: EventType, state: TradingState) -> None:
        """Publish an operator's command."""
        assert self.control.try_publish(pack_control(event_type, state, "test: reason", 1)) >= 0

    def stop(self) -> int:
        """Ask the role to stop in order; return its exit status."""
        assert self.process is not None
        self.parts.control.request_stop(RolePage.ORCHESTRATOR, 1)
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        """End the role with kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)
