"""Records a role writes about itself into its own event ring: faults and changes of state."""

from __future__ import annotations

import time

import numpy as np

from engine.domain.codes import EventType, Role
from engine.domain.records import EVENT_DTYPE, TEXT_BYTES
from engine.processes.guard import GuardReason

SEQUENCE_BYTES = 8  # the ring stamps them


def fault_payload(reason: GuardReason, text: str) -> bytes:
    """Return a ROLE_FAULT of the orchestrator: the slot less its sequence."""
    return _payload(EventType.ROLE_FAULT, reason, text)


def look_payload(memory_mb: int, disk_free_mb: int) -> bytes:
    """Return the orchestrator's look at memory and disk; `engine.store.facts` reads it again."""
    text = f"memory_mb={memory_mb} disk_free_mb={disk_free_mb}"
    return _payload(EventType.ROLE_STATE_CHANGED, GuardReason.NONE, text)


def _payload(event_type: EventType, reason: GuardReason, text: str) -> bytes:
    record = np.zeros(1, dtype=EVENT_DTYPE)
    record["time_ns"] = time.monotonic_ns()
    record["event_type"] = event_type
    record["role"] = Role.ORCHESTRATOR
    record["instrument_index"] = -1
    record["strategy_index"] = -1
    record["reason"] = reason
    record["text"] = text.encode("ascii", "replace")[:TEXT_BYTES]
    return record.tobytes()[SEQUENCE_BYTES:]
