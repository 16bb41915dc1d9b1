"""What is given up first when memory runs short: scorers that are optional, long before entries.

        memory of all roles >= SHED_SHARE of its limit   strategies that rest on a score are SHADOW
                            <  BACK_SHARE                 as the operator left them
                            >  limit                      the gate MEMORY_STATE is shut to entries
                            <= limit                      it is open

Rows of rules need no scorer and trade on. Above the limit the orchestrator's own word pauses too,
which takes quotes from the market; the gate says in each refusal why. A thread of main that sleeps;
standard library only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from engine.processes.panel import Panel

SCORED: Final = "module:orderflow"  # rows that rest on a score
SHED_SHARE: Final = 0.9  # of limits.max_memory_mb
BACK_SHARE: Final = 0.8
LOOK_S: Final = 1.0
TOLD_LOOKS: Final = 60  # a brain that was restarted in place hears of it within so many


class MemoryShed:
    """Watches the memory of all roles."""

    def __init__(self, panel: Panel, memory_mb: Callable[[], int], limit_mb: int) -> None:
        """Shed through `panel`, as `memory_mb` nears `limit_mb`."""
        self._panel = panel
        self._memory_mb = memory_mb
        self._limit_mb = limit_mb
        self._looks = 0
        self.is_shed = False
        self.is_shut = False

    def start(self) -> None:
        """Look every LOOK_S for as long as the process lives."""
        threading.Thread(target=self._run, name="aegis-shed", daemon=True).start()

    def look(self) -> None:
        """Shed or give back, shut or open the gate, by the memory of now."""
        used_mb = self._memory_mb()
        why = f"memory {used_mb} of {self._limit_mb} MB"
        share = used_mb / self._limit_mb
        self._looks += 1
        is_due = self._looks % TOLD_LOOKS == 0
        # What a full ring does not take is said again at the next look.
        shed = share >= (BACK_SHARE if self.is_shed else SHED_SHARE)
        if (shed != self.is_shed or (shed and is_due)) and self._panel.shed(SCORED, why, on=shed):
            self.is_shed = shed
        shut = used_mb > self._limit_mb
        if (shut != self.is_shut or (shut and is_due)) and self._panel.shut_entries(why, on=shut):
            self.is_shut = shut

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            self.look()
