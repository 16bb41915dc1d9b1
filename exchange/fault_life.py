"""When faults begin and end: the register of everything armed, and of what is over.

A fault that lasts waits, acts and ends: by its duration, by its own count, or by hand. What was
armed is told under its number until it is over, and for a while afterwards.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from exchange.errors import ApiError
from exchange.fault_orders import Lasting

MAX_FAULTS = 1_000  # waiting or active at a time
ENDED_KEPT = 256

WAITING = "waiting"
ACTIVE = "active"
ENDED = "ended"
REFUSED = "refused"  # it waited, and when its time came there was no room for it

Undo = Callable[[], None]


def _nothing() -> None:
    return None


@dataclass(slots=True, eq=False)
class Fault:
    """One fault that lasts."""

    fault_id: int
    kind: str
    order: Lasting
    state: str = WAITING
    uses: int = 0  # how often it acted, where that can be counted
    undo: Undo = _nothing
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def view(self) -> dict[str, object]:
        """Return the fault as the control routes tell it."""
        words = msgspec.to_builtins(self.order)
        told = {"id": self.fault_id, "kind": self.kind, "state": self.state, "uses": self.uses}
        return told | {"order": words}


Begin = Callable[[Fault], Undo]
Given = TypeVar("Given", bound=Lasting)


def listed(entries: list[tuple[Given, Fault]], order: Given) -> Begin:
    """Return a fault that stands in a list with its order for as long as it lasts."""

    def begin(fault: Fault) -> Undo:
        entry = (order, fault)
        entries.append(entry)
        return lambda: entries.remove(entry)

    return begin


class FaultRegister:
    """All faults that last, by number."""

    def __init__(self) -> None:
        """Start without any."""
        self._faults: dict[int, Fault] = {}
        self._ended: deque[Fault] = deque(maxlen=ENDED_KEPT)
        self._serial = 0

    def launch(self, kind: str, order: Lasting, begin: Begin) -> Fault:
        """Let a fault begin now or after its delay, and end after its duration.

        Args:
            kind: its name, for the record.
            order: its times.
            begin: makes it act and returns what undoes that; called once. When it raises, it
                has left nothing behind.

        Raises:
            ApiError: -1000 when too many are armed.
        """
        if len(self._faults) >= MAX_FAULTS:
            raise ApiError(-1000, "too many faults are armed")
        self._serial += 1
        fault = self._faults[self._serial] = Fault(self._serial, kind, order)
        if order.after_ms:
            self._later(fault, order.after_ms, lambda: self._begin_late(fault, begin))
            return fault
        try:
            self._begin(fault, begin)
        except ApiError:
            del self._faults[fault.fault_id]
            raise
        return fault

    def _later(self, fault: Fault, delay_ms: int, action: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        fault.timers.append(loop.call_later(delay_ms / 1000, action))

    def _begin_late(self, fault: Fault, begin: Begin) -> None:
        try:
            self._begin(fault, begin)
        except ApiError:
            self.end(fault)
            fault.state = REFUSED

    def _begin(self, fault: Fault, begin: Begin) -> None:
        fault.undo = begin(fault)
        fault.state = ACTIVE
        if fault.order.duration_ms:
            self._later(fault, fault.order.duration_ms, lambda: self.end(fault))

    def end(self, fault: Fault) -> None:
        """End a fault; one that is over stays so."""
        if self._faults.pop(fault.fault_id, None) is None:
            return
        for timer in fault.timers:
            timer.cancel()
        fault.timers.clear()
        fault.state = ENDED
        self._ended.append(fault)
        fault.undo()

    def end_id(self, fault_id: int) -> bool:
        """End a fault by its number; tell whether there was one."""
        fault = self._faults.get(fault_id)
        if fault is not None:
            self.end(fault)
        return fault is not None

    def clear(self) -> int:
        """End everything; return how many there were."""
        faults = list(self._faults.values())
        for fault in faults:
            self.end(fault)
        return len(faults)

    def view(self) -> dict[str, object]:
        """Return what is armed and what is over."""
        return {
            "armed": [fault.view() for fault in self._faults.values()],
            "ended": [fault.view() for fault in self._ended],
        }
