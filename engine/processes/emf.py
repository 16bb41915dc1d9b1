"""CloudWatch's embedded metric format: the headline metrics as one JSON line a minute.

Whoever collects standard error into CloudWatch Logs (the `awslogs` driver of ECS) has them as
metrics without an agent. What counts up is told as the difference to the line before, as CloudWatch
sums it; what stands is told as it stands. Latencies are the p99 since the start, microseconds.
"""

from __future__ import annotations

import json
from typing import Any, Final

from engine.processes.role_counters import Counters

NAMESPACE: Final = "Aegis"
PERIOD_S: Final = 60.0
TOTALS: Final = (
    ("feed", "frames_total"),
    ("feed", "rejected_total"),
    ("feed", "gaps_total"),
    ("feed", "incidents_total"),
    ("brain", "records_total"),
    ("brain", "decisions_total"),
    ("brain", "orders_total"),
    ("brain", "fills_total"),
    ("brain", "refusals_total"),
    ("brain", "orders_unknown_total"),
    ("brain", "orders_rejected_total"),
    ("brain", "adjustments_total"),
    ("brain", "fetches_failed_total"),
    ("orchestrator", "journaled_total"),
)
STANDING: Final = (  # role, counter, unit, its divisor
    ("feed", "connections_up", "Count", 1),
    ("brain", "orders_open", "Count", 1),
    ("brain", "equity_e8", "None", 100_000_000),
    ("brain", "realised_pnl_e8", "None", 100_000_000),
    ("orchestrator", "journal_lag", "Count", 1),
    ("orchestrator", "memory_mb", "Megabytes", 1),
    ("orchestrator", "disk_free_mb", "Megabytes", 1),
)
LATENCIES: Final = (("brain", "lag_ns"), ("brain", "tick_to_order_ns"), ("brain", "order_ack_ns"))


class EmfLines:
    """Makes the lines of one engine; one thread."""

    def __init__(self, counters: Counters, instance: str, account: str) -> None:
        """Read from `counters`; `instance` and `account` are the dimensions."""
        self._counters = counters
        self._dimensions = {"instance": instance, "account": account}
        self._before = {row: counters.count(*row) for row in TOTALS}

    def line(self, now_ms: int, trading_state: int) -> str:
        """Return the metrics since the line before.

        Args:
            now_ms: wall clock.
            trading_state: the one in force, by its number.
        """
        values: dict[str, float] = {"trading_state": trading_state}
        units = {"trading_state": "None"}
        for row in TOTALS:
            number = self._counters.count(*row)
            name = f"{row[0]}_{row[1].removesuffix('_total')}"
            # A page that begins again, as after a restart in place, counts from 0.
            values[name] = number - self._before[row] if number >= self._before[row] else number
            units[name] = "Count"
            self._before[row] = number
        for role, counter, unit, divisor in STANDING:
            name = f"{role}_{counter.removesuffix('_e8')}"
            values[name] = self._counters.count(role, counter) / divisor
            units[name] = unit
        for role, histogram in LATENCIES:
            name = f"{role}_{histogram.removesuffix('_ns')}_p99"
            values[name] = self._counters.percentiles(role, histogram).p99_ns / 1e3
            units[name] = "Microseconds"
        return json.dumps(self._envelope(now_ms, units) | self._dimensions | values)

    def _envelope(self, now_ms: int, units: dict[str, str]) -> dict[str, Any]:
        metrics = [{"Name": name, "Unit": unit} for name, unit in units.items()]
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [list(self._dimensions)],
            "Metrics": metrics,
        }
        return {"_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}}
