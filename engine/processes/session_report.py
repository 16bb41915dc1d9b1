"""`aegis report`: what the sessions of the last days came to, by account, strategy and instrument.

From the journals alone, so it can be had for any session that was kept, on any machine. Money is
in the quote currency, after fees; the fall is from the highest realised result.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.cli_views import table
from engine.domain.codes import EventType
from engine.domain.instrument_row import E8
from engine.processes.known_sessions import Known, counted, crashed
from engine.store.facts import Facts, fills_of

LINES_SHOWN: Final = 20
SESSION_COLUMNS: Final = ("session", "account", "hours", "orders", "fills", "result", "ended")


def report(known: Known) -> dict[str, Any]:
    """Return the report of some sessions as plain values."""
    facts = known.facts
    _, results = fills_of(facts)
    refusals: Counter[str] = sum((each.refusals for each in facts), Counter())
    by: Counter[tuple[str, str]] = Counter()
    for each in facts:
        by.update(each.pnl_by)
    latencies = [each.latency for each in facts if each.latency.order_count]
    count = sum(latency.order_count for latency in latencies)
    return {
        "made": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "sessions": [_session(each) for each in facts],
        "unreadable": known.problems,
        "hours": round(sum(each.span_s for each in facts) / 3_600, 3),
        "decisions": sum(each.counts[EventType.SIGNAL_GENERATED] for each in facts),
        "entries": sum(each.entries for each in facts),
        "orders": sum(each.counts[EventType.ORDER_REQUEST] for each in facts),
        "fills": len(results),
        "result": sum(each.net_e8 for each in facts) / E8,
        "fees": sum(each.fees_e8 for each in facts) / E8,
        "funding": sum(each.funding_e8 for each in facts) / E8,
        "fall_max": fall_max_e8(results) / E8,
        "by_strategy": _summed(by, 1),
        "by_instrument": _summed(by, 0),
        "refusals": dict(refusals.most_common()),
        "decision_ms": {
            "mean": sum(latency.total_ns for latency in latencies) / count / 1e6 if count else None,
            "max": max((latency.max_ns for latency in latencies), default=0) / 1e6,
            "orders": count,
        },
        "memory_mb_max": max((each.memory_mb_max or 0 for each in facts), default=0),
        "faults": sum(len(each.faults) + each.cut["faults"] for each in facts),
        "adjustments": sum(len(each.adjustments) + each.cut["adjustments"] for each in facts),
        "unexplained": sum(len(each.unexplained) + each.cut["unexplained"] for each in facts),
        "lost": sum(each.lost_count for each in facts),
    }


def fall_max_e8(results: NDArray[np.int64]) -> int:
    """Return the furthest fall of the summed results from their peak, at least from 0."""
    if not len(results):
        return 0
    curve = np.concatenate((np.zeros(1, np.int64), np.cumsum(results)))
    return int((np.maximum.accumulate(curve) - curve).max())


def report_text(found: dict[str, Any]) -> str:
    """Return a report as a person reads it."""
    latency = found["decision_ms"]
    mean = "-" if latency["mean"] is None else f"{latency['mean']:.3f} ms on average"
    lines = [
        f"{counted(len(found['sessions']))}, {_duration(found['hours'])}",
        f"  decisions   {found['decisions']:>12,}   {found['entries']:,} of them entries",
        f"  orders      {found['orders']:>12,}   {found['fills']:,} fills",
        (
            f"  result      {found['result']:>+12,.4f}   after fees {found['fees']:,.4f}, "
            f"with funding {found['funding']:+,.4f}"
        ),
        f"  fall        {found['fall_max']:>12,.4f}   furthest, from the highest result",
        f"  decided in  {mean}, at most {latency['max']:.3f} ms",
        f"  memory      {found['memory_mb_max']:>12,}   MB at most",
        (
            f"  trouble     {found['faults']:>12,}   faults, {found['adjustments']:,} adjustments, "
            f"{found['unexplained']:,} unexplained, {found['lost']:,} events lost"
        ),
    ]
    if found["refusals"]:
        listed = ", ".join(f"{name} {number:,}" for name, number in found["refusals"].items())
        lines.append(f"  refused     {sum(found['refusals'].values()):>12,}   {listed}")
    for title in ("by_strategy", "by_instrument"):
        rows = [{"name": name, "result": money} for name, money in found[title].items()]
        if rows:
            lines += ["", title.replace("_", " "), *table(rows[:LINES_SHOWN], ("name", "result"))]
    if found["sessions"]:
        lines += ["", *table(found["sessions"][-LINES_SHOWN:], SESSION_COLUMNS)]
    return "\n".join([*lines, *(f"unreadable: {problem}" for problem in found["unreadable"])])


def _duration(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1.0 else f"{hours * 60:.1f} min"


def _session(facts: Facts) -> dict[str, Any]:
    document = facts.document
    ended = "in order" if document.ended_realtime_ns else "runs"
    return {
        "session": document.session_id,
        "account": document.state_key,
        "hours": round(facts.span_s / 3_600, 3),
        "orders": facts.counts[EventType.ORDER_REQUEST],
        "fills": sum(len(part) for part in facts.fill_times_ns),
        "result": facts.net_e8 / E8,
        "ended": "not in order" if crashed(document) else ended,
    }


def _summed(by: Counter[tuple[str, str]], part: int) -> dict[str, float]:
    summed: Counter[str] = Counter()
    for key, amount in by.items():
        summed[key[part]] += amount
    return {name: amount / E8 for name, amount in summed.most_common()}
