"""Operator commands without an engine: ordinary memory for the segment, a list for the ring."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.domain.records import EVENT_DTYPE
from engine.processes.commands import Commands
from engine.processes.control import CONTROL_BYTES, ControlSegment


class FakeSegment:
    """Ordinary memory in the place of a mapped segment."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(CONTROL_BYTES))

    def close(self) -> None:
        """Nothing to unmap."""


class FakeRing:
    """Keeps what is published; full after `room` records."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.payloads: list[bytes] = []
        self.wake_count = 0

    def try_publish(self, payload: bytes) -> int:
        if len(self.payloads) >= self.room:
            return -1
        self.payloads.append(payload)
        return len(self.payloads) - 1

    def wake(self) -> None:
        self.wake_count += 1

    def types(self) -> list[int]:
        return [int(decode(payload)["event_type"]) for payload in self.payloads]


def decode(payload: bytes) -> np.void:
    """Return what was published as an event record."""
    return np.frombuffer(b"\0" * 8 + payload, EVENT_DTYPE)[0]


def fake_control() -> ControlSegment:
    """Return a control segment in ordinary memory."""
    return ControlSegment(FakeSegment())  # type: ignore[arg-type]  # buffer and close suffice


def build(control: ControlSegment, tmp_path: Path, room: int = 100) -> tuple[Commands, FakeRing]:
    """Return commands over a control segment, and the ring they publish on."""
    ring = FakeRing(room)
    return Commands(control, ring, ring, tmp_path / "trading_state.json"), ring
