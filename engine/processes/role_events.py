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
    record = np.zeros(1, dtype=EVENT_DTYPE)
    record["time_ns"] = time.monotonic_ns()
    record["event_type"] = EventType.ROLE_FAULT
    record["role"] = Role.ORCHESTRATOR
    record["instrument_index"] = -1
    record["strategy_index"] = -1
    record["reason"] = reason
    record["text"] = text.encode("ascii", "replace")[:TEXT_BYTES]
    return record.tobytes()[SEQUENCE_BYTES:]
