"""The brain's ends of its rings.

        market, control-ring  --reader 0-->  kernel thread  --producer-->  events-brain, features
        report (local)        --reader 0-->  kernel thread  --producer-->  command (local)
        executor thread: producer of report, reader 0 of command, doorbell of command
        executor thread  --lends a connection-->  order line  --kernel thread-->  venue

No numpy here: the role attaches before anything heavy is imported.
"""

from __future__ import annotations

import gc
import os
from typing import Final

from engine.domain.codes import VECTOR_SLOT_BYTES
from native_ext import _native
from ringbuffer.ring import Consumer, Producer, Ring

READER: Final = 0  # the brain's reader block in every ring it reads
COMMAND_SLOTS: Final = 1_024
REPORT_SLOTS: Final = 4_096
EVENT_SLOT_BYTES: Final = 256
VECTOR_SLOTS_LEAST: Final = 16


class Rings:
    """Every ring of the brain, with its own ends of them."""

    def __init__(
        self, market: Ring, control: Ring, events: Ring, features: Ring | None = None
    ) -> None:
        """Join attached rings and make the local ones; without `features` nobody keeps vectors.

        Raises:
            ReaderTakenError: another living process has the brain's place.
        """
        self.market_ring = market
        self.market = Consumer(market, READER)
        self.control = Consumer(control, READER)
        self.events = Producer(events)
        self.features = Producer(
            features or Ring.local("features", VECTOR_SLOTS_LEAST, VECTOR_SLOT_BYTES, gating=(0,))
        )
        self.command_ring = Ring.local("command", COMMAND_SLOTS, EVENT_SLOT_BYTES, gating=(0,))
        self.report_ring = Ring.local("report", REPORT_SLOTS, EVENT_SLOT_BYTES, gating=(0,))
        self.commands = Producer(self.command_ring)
        self.commands_read = Consumer(self.command_ring, READER)
        self.reports = Producer(self.report_ring)
        self.reports_read = Consumer(self.report_ring, READER)
        self.doorbell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.commands.set_doorbell(self.doorbell)
        self.line = _native.OrderLine()

    def close(self) -> None:
        """Leave every ring; ports of it must be gone."""
        ends = (
            self.market,
            self.control,
            self.events,
            self.features,
            self.commands,
            self.commands_read,
            self.reports,
            self.reports_read,
        )
        gc.collect()
        for end in ends:
            end.close()
        for ring in {self.market_ring, self.control.ring, self.events.ring, self.features.ring}:
            ring.close()
        self.command_ring.close()
        self.report_ring.close()
        os.close(self.doorbell)
