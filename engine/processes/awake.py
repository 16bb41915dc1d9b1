"""An event loop that never sleeps, for a role whose core never halts, its own or a shared one.

Waking a process on a halted virtual core goes through the hypervisor and takes tens of
microseconds, as long as everything else between a tick and its order. A loop that looks at its
sockets and rings, gives the core away and looks again is never woken at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable


def _nothing() -> None:
    pass


def stay_awake(
    call_soon: Callable[[Callable[[], None]], object], look: Callable[[], object] = _nothing
) -> Callable[[], None]:
    """Let each turn of a loop be followed by another; the core is given away between two.

    Args:
        call_soon: the loop's.
        look: called in each turn, for what does not come through the loop's sockets.

    Returns:
        What lets the loop sleep again.
    """
    awake = True

    def turn() -> None:
        if awake:
            look()
            os.sched_yield()
            call_soon(turn)

    def rest() -> None:
        nonlocal awake
        awake = False

    call_soon(turn)
    return rest
