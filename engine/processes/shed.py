"""What is given up first when memory runs short: scorers that are optional, long before entries.

        memory of all roles >= SHED_SHARE of its limit   strategies that rest on a score are SHADOW
                            <  BACK_SHARE                 as the operator left them
                            >  limit                      no entries (the orchestrator's own word)

Rows of rules need no scorer and trade on. A thread of main that sleeps; standard library only.
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

    def start(self) -> None:
        """Look every LOOK_S for as long as the process lives."""
        threading.Thread(target=self._run, name="aegis-shed", daemon=True).start()

    def look(self) -> None:
        """Shed or give back, by the memory of now."""
        used_mb = self._memory_mb()
        share = used_mb / self._limit_mb
        wanted = share >= (BACK_SHARE if self.is_shed else SHED_SHARE)
        self._looks += 1
        is_due = wanted and self._looks % TOLD_LOOKS == 0
        if wanted != self.is_shed or is_due:
            done = self._panel.shed(SCORED, f"memory {used_mb} of {self._limit_mb} MB", on=wanted)
            self.is_shed = wanted if done else self.is_shed  # a full ring: again at the next look

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            self.look()
