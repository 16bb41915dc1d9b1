"""How soon a thread that wakes gets a core that others want too.

Linux gives a core to whom its deadline comes first, and the deadline of a thread is as near as its
time slice is short (EEVDF). A thread that works for microseconds and sleeps again loses nothing by
a short one, and no longer waits until a program that burns has used up its own. Shares stay equal.
Kernels before 6.12 take no notice, and a thread with another policy (`chrt`) keeps it.

What nothing that trades waits for may take a smaller share besides (`step_aside`, ADR 0038).
"""

from __future__ import annotations

import os
from typing import Final

from engine.processes.control import RolePage

USUAL_NS: Final = 0  # what the kernel gives everybody
PATH_NS: Final = 100_000  # the least that Linux grants
API_NS: Final = 300_000  # after the path, before everybody else

OF_ROLE: Final = {
    RolePage.FEED: PATH_NS,
    RolePage.BRAIN: PATH_NS,
    RolePage.ORCHESTRATOR: USUAL_NS,
}

ASIDE: Final = 10  # niceness; beside a thread of niceness 0 it has a tenth of a core


def step_aside() -> None:
    """Let others go first from now on: before this thread, and those that it starts."""
    os.nice(ASIDE)
