"""`aegis readiness`: may this be trusted with real money? All of it from the journal.

Each criterion is a line. The result is kept in `AEGIS_HOME/readiness.json`, and a run that is armed
for live trading needs one that passed within READY_LIFE_S, by this version, or an override with a
reason, which the account's control audit keeps.
"""

from __future__ import annotations

import json
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.config import Config
from engine.domain.codes import EventType
from engine.processes.core_checks import TRADE_FIRST, core_checks
from engine.processes.finding import Finding, any_failed, document
from engine.processes.known_sessions import Known, counted, crashed
from engine.processes.ready_record import FILE_NAME
from engine.store.facts import Facts, fills_of
from engine.store.trade_log import rows_in_log
from engine.version import describe

LATENCY_LIMIT_MS: Final = 100.0
MEMORY_LIMIT_MB: Final = 6_000
STABLE_S: Final = 3_600.0
PAPER_S: Final = 86_400.0
TRADES_MIN: Final = 10
# Of the feed, by `feed_faults.FeedFault`: refused, late, polled, recovered from a loss.
BROKEN_LINKS: Final = frozenset(f"ROLE_FAULT {number}" for number in (6, 7, 10, 11))
LINK_LOST: Final = EventType.VENUE_DISCONNECTED.name


def readiness(config: Config, known: Known) -> list[Finding]:
    """Return each criterion as a finding; a criterion that does not hold is a failure."""
    core = core_checks(config, known)
    passed = sum(finding.good for finding in core)
    failed = ", ".join(finding.name for finding in core if not finding.good)
    found = f"{passed} of {len(core)}" + (f"; failed: {failed}" if failed else "")
    return [
        _criterion("verify", found, "`aegis verify`", good=passed == len(core)),
        decision_latency(known),
        memory_used(known),
        connection(known),
        paper_time(known),
        no_crash(known),
        pnl_trend(known),
        orders_in_log(config, known),
    ]


def keep(config: Config, findings: list[Finding]) -> bool:
    """Write the result down for a start that is armed; return whether every criterion holds."""
    passed = not any_failed(findings)
    kept = {
        "passed": passed,
        "time_ns": time.time_ns(),
        **describe(),
        "criteria": [document(finding) for finding in findings],
    }
    path = Path(config.home) / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".part")
    with staged.open("w", encoding="utf-8") as file:
        json.dump(kept, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    return passed


def decision_latency(known: Known) -> Finding:
    """Return whether decisions followed their causes soon enough, on average."""
    count = sum(each.latency.order_count for each in known.facts)
    total_ms = sum(each.latency.total_ns for each in known.facts) / 1e6
    mean_ms = total_ms / count if count else 0.0
    worst_ms = max((each.latency.max_ns for each in known.facts), default=0) / 1e6
    found = f"{mean_ms:.3f} ms on average of {count:,} orders, at most {worst_ms:.3f} ms"
    good = count > 0 and mean_ms < LATENCY_LIMIT_MS
    return _criterion("decision latency", found, TRADE_FIRST, good=good)


def memory_used(known: Known) -> Finding:
    """Return whether all roles together stayed below the bound."""
    looks = [each.memory_mb_max for each in known.facts if each.memory_mb_max is not None]
    if not looks:
        return _criterion("memory", "never journaled", TRADE_FIRST, good=False)
    found = f"at most {max(looks):,} MB, below {MEMORY_LIMIT_MB:,} asked"
    remedy = "lower instruments_max"
    return _criterion("memory", found, remedy, good=max(looks) < MEMORY_LIMIT_MB)


def connection(known: Known) -> Finding:
    """Return whether the venue's connections held for an hour without a break."""
    longest_s = max((longest_calm_s(each) for each in known.facts), default=0.0)
    found = f"{longest_s / 60:,.0f} min without a break, {STABLE_S / 60:.0f} asked"
    remedy = "run it longer; `/status` and the log name each break"
    return _criterion("connection", found, remedy, good=longest_s >= STABLE_S)


def longest_calm_s(facts: Facts) -> float:
    """Return the longest time of a session in which no connection broke, seconds."""
    breaks = [line.time_ns for line in facts.faults if line.kind in BROKEN_LINKS]
    breaks += [line.time_ns for line in facts.links if line.kind == LINK_LOST]
    if facts.cut:
        return 0.0  # more happened than was kept
    ends = sorted([facts.first_ns, *breaks, facts.last_ns])
    return max(later - earlier for earlier, later in pairwise(ends)) / 1e9


def paper_time(known: Known) -> Finding:
    """Return whether paper money was traded long and often enough."""
    span_s = sum(each.span_s for each in known.paper)
    trades = sum(each.fills_closing for each in known.paper)
    found = f"{span_s / 3_600:,.1f} h and {trades:,} closed trades, {PAPER_S / 3_600:.0f} h and "
    found += f"{TRADES_MIN} asked"
    good = span_s >= PAPER_S and trades >= TRADES_MIN
    return _criterion("paper", found, "let it trade on paper", good=good)


def no_crash(known: Known) -> Finding:
    """Return whether every session was closed in order or runs, and every journal can be read."""
    names = [each.document.session_id for each in known.facts if crashed(each.document)]
    said = [f"session {name} was not closed in order" for name in names]
    found = "; ".join([*said, *known.problems]) or f"none in {counted(len(known.facts))}"
    remedy = "find out why in the logs; then a week without one"
    return _criterion(
        "crashes", found, remedy, good=bool(known.facts) and not said + known.problems
    )


def pnl_trend(known: Known) -> Finding:
    """Return whether the paper result after fees does not fall, by its least-squares slope."""
    _, results = fills_of(known.paper)
    total = float(results.sum()) / 1e8
    slope = slope_of(np.cumsum(results)) / 1e8
    found = f"{slope:+.6f} a fill over {len(results):,} fills, {total:+,.2f} in all, after fees"
    remedy = "real money would not do better"
    return _criterion("P&L trend", found, remedy, good=len(results) >= TRADES_MIN and slope >= 0)


def slope_of(curve: Any) -> float:  # noqa: ANN401  any array of numbers
    """Return the least-squares slope of a curve over its index; 0 for fewer than two points."""
    if len(curve) < 2:
        return 0.0
    place = np.arange(len(curve), dtype=np.float64)
    place -= place.mean()
    return float((place * (curve - np.mean(curve))).sum() / (place**2).sum())


def orders_in_log(config: Config, known: Known) -> Finding:
    """Return whether the audit trail holds a row for every fill of the journals."""
    written = rows_in_log(Path(config.home))
    missing = 0
    count = 0
    for each in known.facts:
        expected = sum(len(part) for part in each.fill_times_ns)
        count += expected
        missing += max(expected - written[each.document.session_id], 0)
    found = f"{count - missing:,} of {count:,} fills stand in the audit trail"
    remedy = "`aegis journal export` makes it again from the journals"
    return _criterion("orders in audit", found, remedy, good=count > 0 and not missing)


def _criterion(name: str, found: str, remedy: str, *, good: bool) -> Finding:
    return Finding(name, good, found, remedy, fatal=True)
