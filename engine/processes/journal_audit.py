"""`aegis audit`: what a person should look at of the last day or week.

        gaps        events that were never journaled; losses of market data, by the feed's word
        drift       books that were adjusted to the venue's
        logs        lines of level error or critical
        decisions   without reason, score or strategy; opening orders that follow none
        crashes     sessions that were not closed in order, journals that cannot be read
        trail       fills without a row in the audit trail; broken links of the control audit

Whether each byte is what was written is asked by `aegis journal verify`, which reads everything.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from engine.config import Config
from engine.processes.finding import Finding
from engine.processes.known_sessions import NS_PER_DAY, Known, counted, crashed
from engine.processes.readiness import BROKEN_LINKS, orders_in_log
from engine.store.control_audit import ControlAudit, broken_links
from engine.store.facts import Line

DAILY_DAYS: Final = 1.0
WEEKLY_DAYS: Final = 7.0
GRAVE: Final = frozenset({"error", "critical"})
ROWS_MAX: Final = 10_000_000  # of a control audit; it is bounded by its files
NAMED_MAX: Final = 5  # of each kind in one line


def audit(config: Config, known: Known, days: float) -> list[Finding]:
    """Return what is found, gravest kinds failing.

    Args:
        config: for the home whose logs and trails are read.
        known: the sessions of the span.
        days: the span of the log lines that count, back from now.
    """
    home = Path(config.home)
    unexplained = [line for each in known.facts for line in each.unexplained]
    adjusted = [line for each in known.facts for line in each.adjustments]
    return [
        *_gaps(known),
        _kind("drift", "adjustments of our books", adjusted, "see the runbook, books differ"),
        _logs(home, days),
        _kind("decisions", "unexplained", unexplained, "keep the journal", fatal=True),
        _crashes(known),
        *_trails(config, known),
    ]


def _gaps(known: Known) -> list[Finding]:
    lost = sum(each.lost_count for each in known.facts)
    breaks = [line for each in known.facts for line in each.faults if line.kind in BROKEN_LINKS]
    remedy = "find out what held the recorder back: disk, CPU"
    return [
        Finding("gaps", not lost, f"{lost:,} events were never journaled", remedy, fatal=True),
        _kind("market", "losses of market data", breaks, "see docs/market_data.md"),
    ]


def _crashes(known: Known) -> Finding:
    said = [each.document.session_id for each in known.facts if crashed(each.document)]
    found = f"{counted(len(said))} not closed in order{': ' if said else ''}{', '.join(said[:5])}"
    found = "; ".join([found, *known.problems])
    remedy = "find out why in the logs"
    return Finding("crashes", not said + known.problems, found, remedy, bool(known.problems))


def _logs(home: Path, days: float) -> Finding:
    since = datetime.fromtimestamp((time.time_ns() - days * NS_PER_DAY) / 1e9, UTC)
    found = grave_lines(home / "logs", since.isoformat())
    said = ", ".join(f"{event} {number:,}" for event, number in found.most_common(NAMED_MAX))
    text = f"{sum(found.values()):,} of level error or critical{': ' if said else ''}{said}"
    return Finding("logs", not found, text, f"read them: {home / 'logs'}")


def grave_lines(folder: Path, since: str) -> Counter[str]:
    """Return the number of grave lines in the logs of a folder, by role and event.

    Args:
        folder: of `*.log` and their rotated files; lines that are no JSON count for nothing.
        since: ISO time, UTC; lines before it are left out.
    """
    found: Counter[str] = Counter()
    for path in sorted(folder.glob("*.log*")):
        with path.open("rb") as file:
            for text in file:
                try:
                    row = json.loads(text)
                    counts = row["level"] in GRAVE and str(row["timestamp"]) >= since
                except (ValueError, KeyError, TypeError):
                    continue
                if counts:
                    found[f"{row.get('role', '?')} {row.get('event', '?')}"] += 1
    return found


def _trails(config: Config, known: Known) -> list[Finding]:
    home = Path(config.home)
    fills = sum(len(part) for each in known.facts for part in each.fill_times_ns)
    trail = orders_in_log(config, known)
    broken = []
    count = 0
    # The home's own trail says who was let in.
    for folder in (home, *sorted({each.directory.parents[1] for each in known.facts})):
        rows = ControlAudit(folder).rows(-1, ROWS_MAX)
        count += len(rows)
        broken += [f"{folder.name} line {number}" for number in broken_links(rows)]
    found = f"{count:,} lines, {len(broken)} broken links {', '.join(broken[:NAMED_MAX])}".strip()
    remedy = f"somebody changed a trail under {home}/state"
    return [
        trail._replace(name="trail", good=trail.good or not fills),
        Finding("control", not broken, found, remedy, fatal=True),
    ]


def _kind(name: str, what: str, lines: list[Line], remedy: str, *, fatal: bool = False) -> Finding:
    kinds = Counter(f"{line.role} {line.text or line.kind}" for line in lines)
    said = ", ".join(f"{text} ({number})" for text, number in kinds.most_common(NAMED_MAX))
    found = f"{len(lines):,} {what}{': ' if said else ''}{said}"
    return Finding(name, not lines, found, remedy, fatal)
