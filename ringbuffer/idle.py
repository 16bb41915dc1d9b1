"""What a role does when a duty cycle found no work.

Measured on two cores: more spinning processes than cores collapses throughput by 75 to 100 times,
because progress then happens once per scheduler slice. So at most cores - 1 roles may spin. A core
that gives itself away between two looks does not collapse. The kinds are:

    spin     never sleep: lowest latency, one whole core, refused when it has no core of its own
    yield    never sleep, but give the core to whoever can run between two looks: one core is always
             busy and never halts, so roles pinned to it are woken in a context switch instead of
             through the hypervisor
    hybrid   spin for a time, then sleep on the ring's futex until woken
    auto     hybrid, its time chosen by load while it runs (`load.py`); the default
    sleep    sleep between drains: for roles that are not on the message path

The spin is bounded by time, not by a count: `pause` takes 4 ns on one processor and 60 on another.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ringbuffer.errors import SpinRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

SPINNERS: Final = 3  # with `spin`: feed, brain and executor, each on a core of its own
SPIN_NS: Final = 30_000  # two to three futex wake-ups of this class of machine
SPIN_FOREVER_NS: Final = 10_000_000  # one slice: stop words and signals are seen between slices
SLEEP_NS: Final = 1_000_000
SLICE_NS: Final = 10_000_000  # longest wait before the caller looks at its stop word


class IdleKind(Enum):
    """How to wait."""

    SPIN = "spin"
    YIELD = "yield"
    HYBRID = "hybrid"
    AUTO = "auto"
    SLEEP = "sleep"


class Waiter(Protocol):
    """What an idle strategy waits on: a Consumer or an Observer."""

    def wait(self, spin_ns: int, timeout_ns: int, /) -> bool:
        """Wait for the next record; True when it is there."""
        ...


class IdleStrategy(NamedTuple):
    """A chosen way to wait. Kernels take `spin_ns` and `timeout_ns` as arguments of `wait`."""

    kind: IdleKind
    spin_ns: int
    timeout_ns: int
    reason: str

    def idle(self, waiter: Waiter) -> bool:
        """Wait one slice for the waiter's next record; True when it is there."""
        return waiter.wait(self.spin_ns, self.timeout_ns)


def available_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def choose(
    wanted: IdleKind,
    *,
    spinner_count: int,
    spin_ns: int = SPIN_NS,
    cores: Callable[[], int] = available_cores,
) -> IdleStrategy:
    """Return the strategy for one role.

    Args:
        wanted: the configured kind.
        spinner_count: roles of this engine that will spin, this one included.
        spin_ns: how long hybrid spins before it sleeps; 20 to 50 us is sensible.
        cores: how many cores there are.

    Returns:
        The wanted kind; on a single core hybrid and auto sleep at once (spin_ns 0), because there
        spinning only keeps the producer from running.

    Raises:
        SpinRefusedError: pure spin with fewer than spinner_count + 1 cores.
    """
    core_count = cores()
    if wanted is IdleKind.SLEEP:
        return IdleStrategy(wanted, 0, SLEEP_NS, "sleeps between drains")
    if wanted is IdleKind.SPIN:
        if spinner_count > core_count - 1:
            message = (
                f"{spinner_count} spinning roles need {spinner_count + 1} cores and there are "
                f"{core_count}; use hybrid"
            )
            raise SpinRefusedError(message)
        return IdleStrategy(wanted, SPIN_FOREVER_NS, SPIN_FOREVER_NS, "spins on a core of its own")
    if wanted is IdleKind.YIELD:
        reason = "yields its core between two looks and never sleeps"
        return IdleStrategy(wanted, SPIN_FOREVER_NS, SPIN_FOREVER_NS, reason)
    if core_count < 2:
        return IdleStrategy(IdleKind.HYBRID, 0, SLICE_NS, "one core: sleeps at once")
    if wanted is IdleKind.AUTO:
        reason = f"spins {spin_ns} ns or as load allows, then sleeps"
        return IdleStrategy(wanted, spin_ns, SLICE_NS, reason)
    return IdleStrategy(wanted, spin_ns, SLICE_NS, f"spins {spin_ns} ns, then sleeps")
