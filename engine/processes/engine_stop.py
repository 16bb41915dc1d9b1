"""How main stops the roles: feed, brain, orchestrator, inside one budget of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine import exit_codes
from engine.processes.control import RolePage, RoleState
from engine.processes.roles import STOP_ORDER, RoleProcess

if TYPE_CHECKING:
    from engine.processes.segments import Segments
    from engine.processes.watchdog import Verdict

BRAIN_SHARE = 0.7  # of the drain budget, for feed and brain together
LOOK_S = 0.02


def stop_roles(
    roles: Sequence[RoleProcess],
    parts: Segments,
    verdict: Verdict,
    budget_s: float,
    is_urged: Callable[[], bool],
) -> list[str]:
    """Stop every role; return a sentence for each that did not end as it was asked to.

    Args:
        roles: one for each row of the table of roles.
        parts: through which they are asked.
        verdict: why the run ends; after a fault nothing is drained.
        budget_s: for all of them; who takes longer is killed.
        is_urged: whether a second signal asks for an end at once.
    """
    started = time.monotonic()
    by_page = {role.row.page: role for role in roles}
    is_faulted = verdict.exit_code != exit_codes.DONE
    problems = []
    for row in STOP_ORDER:
        role = by_page[row.page]
        parts.control.request_stop(row.page, 2 if is_faulted or is_urged() else 1)
        parts.rings["market"].wake()
        if role.state() < RoleState.WARM and row.page is RolePage.BRAIN:
            role.kill()  # it compiles and has sent nothing; a compiler cannot be asked to stop
            continue
        # The journal is flushed last, and what the others take must leave it its share.
        share = 1.0 if row is STOP_ORDER[-1] else BRAIN_SHARE
        problem = _end_of(role, started + share * budget_s, is_urged)
        if problem:
            problems.append(f"{row.name} {problem}")
    return problems


def _end_of(role: RoleProcess, deadline: float, is_urged: Callable[[], bool]) -> str:
    """Wait for a role's end; return what was wrong with it."""
    why = "did not stop within the drain budget and was killed"
    while time.monotonic() < deadline:
        if role.wait(LOOK_S):
            return role.how_it_ended()
        if is_urged():
            why = "was killed by a second signal; the next start settles what it left"
            break
    role.kill()
    return why
