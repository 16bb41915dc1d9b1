"""What `aegis --help` lists, by what a person wants, and what a word that is no command is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.nearest import did_you_mean

# Every command stands in one group; a test holds that.
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "start and stop": (
        "demo",
        "run",
        "stop",
        "doctor",
        "config",
        "version",
        "completion",
        "exchange",
    ),
    "look at a running engine": (
        "status",
        "top",
        "positions",
        "orders",
        "executions",
        "routes",
        "approvals",
    ),
    "tell it what to do": (
        "halt",
        "resume",
        "pause",
        "reduce",
        "flatten",
        "cancel-all",
        "reconcile",
        "order",
        "cancel",
        "execute",
        "mode",
        "onboard",
        "offboard",
        "lines",
        "gaps",
    ),
    "ask what happened, and why": (
        "why",
        "chart",
        "report",
        "ledger",
        "strategies",
        "shadow",
        "replay",
        "journal",
        "audit",
        "verify",
        "readiness",
    ),
    "keep and fetch market data": ("record", "tape", "features", "download"),
    "say who may, and who is told": ("access", "alert"),
}
NAME_WIDTH: Final = 11


def listing(summaries: Mapping[str, str]) -> str:
    """Return every command with its summary, group by group."""
    lines = []
    for title, names in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:{NAME_WIDTH}} {summaries[name]}" for name in names]
    return "\n".join(lines) + "\n"


def is_command(word: str) -> bool:
    """Return whether a word is a command of `aegis`."""
    return any(word in names for names in GROUPS.values())


def no_command(word: str) -> str:
    """Return what somebody is told who typed a command that does not exist."""
    known = [name for names in GROUPS.values() for name in names]
    return f"no command {word!r}; `aegis --help` lists them{did_you_mean(word, known)}"
