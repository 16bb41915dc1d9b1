"""One thing that a command looked at: what was found, whether it will do, and the remedy."""

from __future__ import annotations

from typing import Final, NamedTuple

NAME_WIDTH: Final = 14


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


def line(finding: Finding, width: int = NAME_WIDTH) -> str:
    """Return a finding as a person reads it, with the remedy of what is not good.

    Args:
        finding: what was found.
        width: of the column of names, characters.
    """
    mark = finding.level.upper() if finding.level == "fail" else finding.level
    tail = f"  -> {finding.remedy}" if finding.remedy and not finding.good else ""
    return f"{mark:<4}  {finding.name:<{width}} {finding.found}{tail}"


def lines(findings: list[Finding]) -> str:
    """Return findings under each other, their names in one column."""
    width = max((len(finding.name) for finding in findings), default=NAME_WIDTH)
    return "\n".join(line(finding, width) for finding in findings)


def document(finding: Finding) -> dict[str, object]:
    """Return a finding as plain values."""
    return {**finding._asdict(), "level": finding.level}


def any_failed(findings: list[Finding]) -> bool:
    """Return whether a finding is a failure."""
    return any(finding.level == "fail" for finding in findings)
