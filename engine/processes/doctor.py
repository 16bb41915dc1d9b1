"""`aegis doctor`: look at the machine, the venue and what the last run left, and say what to do.

Each line is ok, warn or fail, with its remedy; a failure is what stops the engine or its trading.
Nothing is changed, except that `--warm` compiles the kernels into the cache (the image build and
the first `make run` do that).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from engine import exit_codes
from engine.config import Config
from engine.processes.doctor_machine import kernels, look_at_machine, warm_kernels
from engine.processes.doctor_state import look_at_state
from engine.processes.doctor_venue import look_at_account, look_at_venue
from engine.processes.finding import Finding, any_failed, document, line


def examine(config: Config, *, warm: bool, as_json: bool) -> int:
    """Print every finding as it is made; return 0, or 3 when something failed."""
    findings: list[Finding] = []
    for look in looks(config, warm=warm):
        for finding in look():
            findings.append(finding)
            if not as_json:
                print(line(finding), flush=True)  # noqa: T201  the command's own output
    if as_json:
        print(json.dumps([document(finding) for finding in findings]))  # noqa: T201
    return exit_codes.ENVIRONMENT if any_failed(findings) else exit_codes.DONE


def looks(config: Config, *, warm: bool) -> Iterable[Callable[[], list[Finding]]]:
    """Return what is looked at, in order; each may take its time."""
    compiled = warm_kernels if warm else kernels
    return (
        lambda: look_at_machine(config),
        lambda: [compiled(config)],
        lambda: look_at_state(config),
        lambda: _look_outside(config),
    )


def _look_outside(config: Config) -> list[Finding]:
    if not config.venue.rest_url:
        return [Finding("venue", good=True, found="practice exchange; each run starts its own")]
    reached = look_at_venue(config)
    return [*reached, *(look_at_account(config) if all(each.good for each in reached) else [])]
