"""One thing that a command looked at: what was found, whether it will do, and the remedy."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing looked at."""

    name: str
    good: bool
    found: str
    remedy: str = ""
    fatal: bool = False

    @property
    def level(self) -> str:
        """Return ok, warn, or fail: with a failure the engine does not start or cannot trade."""
        if self.good:
            return "ok"
        return "fail" if self.fatal else "warn"


def line(finding: Finding) -> str:
    """Return a finding as a person reads it, with the remedy of what is not good."""
    mark = finding.level.upper() if finding.level == "fail" else finding.level
    tail = f"  -> {finding.remedy}" if finding.remedy and not finding.good else ""
    return f"{mark:<4}  {finding.name:<14} {finding.found}{tail}"


def document(finding: Finding) -> dict[str, object]:
    """Return a finding as plain values."""
    return {**finding._asdict(), "level": finding.level}


def any_failed(findings: list[Finding]) -> bool:
    """Return whether a finding is a failure."""
    return any(finding.level == "fail" for finding in findings)
