"""What a person or a platform sees: read from counters, words and the projection, never computed.

Reading touches shared memory and a read-only database connection; the message path does not
notice. Standard library and ringbuffer only.
"""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import telemetry
from engine.domain.codes import Channel, Liveness, TradingState
from engine.domain.instrument_row import (
    INSTRUMENT_BYTES,
    LIVENESS_OFFSET,
    SEGMENT_COUNT_OFFSET,
    SEGMENT_ROWS_OFFSET,
    SYMBOL_BYTES,
)
from engine.processes.control import (
    HEARTBEAT_COUNT_MAX,
    MainWord,
    OperatorWord,
    RolePage,
    RoleState,
    RoleWord,
)
from engine.store.queries import StatusQueries
from engine.version import describe
from ringbuffer.counters import CounterPage, Percentiles

if TYPE_CHECKING:
    from engine.processes.engine_run import EngineRun

RATE_WINDOW_S = 5.0
DECISIONS_SHOWN = 12
E8 = 100_000_000
PAGES = {
    "main": (0, telemetry.MAIN_COUNTERS, telemetry.MAIN_HISTOGRAMS),
    "feed": (1, telemetry.FEED_COUNTERS, telemetry.FEED_HISTOGRAMS),
    "brain": (2, telemetry.BRAIN_COUNTERS, telemetry.BRAIN_HISTOGRAMS),
    "orchestrator": (3, telemetry.ORCHESTRATOR_COUNTERS, telemetry.ORCHESTRATOR_HISTOGRAMS),
}


class Counters:
    """Counters and histograms by name instead of by word."""

    def __init__(self, pages: dict[str, CounterPage]) -> None:
        """Take each role's page by the role's name."""
        self._pages = pages
        self._words = {
            role: {row.name: word for word, row in enumerate(rows)}
            for role, (_, rows, _) in PAGES.items()
        }
        self._histograms = {
            role: {row.name: place for place, row in enumerate(rows)}
            for role, (_, _, rows) in PAGES.items()
        }

    def count(self, role: str, name: str) -> int:
        """Return one counter."""
        return self._pages[role].counter(self._words[role][name])

    def percentiles(self, role: str, name: str) -> Percentiles:
        """Return one histogram's summary."""
        return self._pages[role].percentiles(self._histograms[role][name])

    def by_reason(self, role: str, prefix: str) -> dict[str, int]:
        """Return the non-zero counters named `<prefix><reason>_total`, by reason."""
        found = {}
        for name, word in self._words[role].items():
            is_sum = name == f"{prefix}total"
            if name.startswith(prefix) and name.endswith("_total") and not is_sum:
                number = self._pages[role].counter(word)
                if number:
                    found[name.removeprefix(prefix).removesuffix("_total")] = number
        return found

    def rows(self) -> list[tuple[str, telemetry.Counter, int]]:
        """Return every counter as (role, declaration, number)."""
        return [
            (role, row, self._pages[role].counter(word))
            for role, (_, rows, _) in PAGES.items()
            for word, row in enumerate(rows)
        ]


class StatusBoard:
    """The status document, health, readiness, metrics and the lines of `aegis run`."""

    def __init__(self, run: EngineRun) -> None:
        """Read from a run's segments; nothing is copied yet."""
        self._run = run
        parts = run.parts()
        self._control = parts.control
        self._instruments = parts.instruments.buffer
        pages = {role: parts.counters.page(page) for role, (page, _, _) in PAGES.items()}
        self.counters = Counters(pages)
        self.queries = StatusQueries(Path(run.config.state_dir) / "aegis.db")
        self._rates: deque[tuple[float, int, int]] = deque(maxlen=64)

    def status(self) -> dict[str, Any]:
        """Return the whole status document."""
        run = self._run
        config = run.config
        return {
            "name": config.name,
            "build": describe(),
            "session": config.session_id,
            "mode": {
                "trading_mode": config.trading_mode,
                "venue": config.venue.name,
                "account": config.venue.account,
                "practice": not config.orders_leave,
                "source": run.source,
            },
            "armed": self._armed(),
            "trading_state": TradingState(self._control.trading_state()).name,
            "trading_states": self._trading_states(),
            "uptime_s": round((time.monotonic_ns() - run.started_ns()) / 1e9, 3),
            "startup_ms": self._startup_ms(),
            "pids": {"main": os.getpid(), **{r.row.name: r.pid for r in run.roles}},
            "roles": self._roles(),
            "instruments": self.instruments(),
            "rates": self._measure_rates(),
            "counts": self.counts(),
            "latency_us": self.latency_us(),
            "refusals": self.refusals(),
            "rejected_records": self.rejected_records(),
            "orders_open": self.queries.orders_open(),
            "positions": self.queries.positions(),
            "decisions_recent": self.queries.decisions_recent(DECISIONS_SHOWN),
            "pnl": self._pnl(),
            "memory": {"shared_bytes": run.parts().bytes_total, "rss_bytes": self._rss_bytes()},
            "journal": {"path": f"{config.state_dir}/journal/{config.session_id}"},
            "notice": self._notice(),
        }

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the engine is alive: no role has faulted."""
        states = {role.row.name: role.state().name for role in self._run.roles}
        alive = not any(role.state() == RoleState.FAULTED for role in self._run.roles)
        ready, _ = self.ready()
        word = "ok" if ready else "starting"
        return alive, {"status": word if alive else "faulted", "roles": states}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether every role is ready, and which are not."""
        waiting = {
            r.row.name: r.state().name for r in self._run.roles if r.state() != RoleState.READY
        }
        return not waiting, {"ready": not waiting, "waiting": waiting}

    def metrics(self) -> str:
        """Return every counter and histogram in the Prometheus text format."""
        lines = []
        for role, row, number in self.counters.rows():
            name = f"aegis_{row.name}"
            lines.append(f"# HELP {name} {row.label} ({row.unit})")
            lines.append(f'{name}{{role="{role}"}} {number}')
        for role, (_, _, histograms) in PAGES.items():
            for histogram in histograms:
                found = self.counters.percentiles(role, histogram.name)
                lines += _summary_lines(role, histogram.name, found)
        state = self._control.trading_state()
        lines.append(f"aegis_trading_state {state}")
        for process in self._run.roles:
            lines.append(f'aegis_role_state{{role="{process.row.name}"}} {int(process.state())}')
        return "\n".join(lines) + "\n"

    def counts(self) -> dict[str, int]:
        """Return the totals of this run."""
        names = ("records", "decisions", "orders", "fills", "refusals")
        counts = {name: self.counters.count("brain", f"{name}_total") for name in names}
        # A decision is an entry or an exit, as in the journal; the kernel counts them apart.
        counts["decisions"] += self.counters.count("brain", "exits_total")
        return counts

    def refusals(self) -> dict[str, int]:
        """Return orders refused by risk, by reason."""
        return self.counters.by_reason("brain", "refused_")

    def rejected_records(self) -> dict[str, int]:
        """Return records refused by either firewall layer, by reason."""
        merged = self.counters.by_reason("feed", "rejected_")
        for reason, number in self.counters.by_reason("brain", "rejected_").items():
            merged[reason] = merged.get(reason, 0) + number
        return merged

    def latency_us(self) -> dict[str, dict[str, float]]:
        """Return every latency histogram's percentiles in microseconds."""
        shown = {}
        for role, name in (
            ("brain", "lag_ns"),
            ("brain", "tick_to_order_ns"),
            ("brain", "order_ack_ns"),
            ("feed", "decode_ns"),
        ):
            shown[name.removesuffix("_ns")] = _microseconds(self.counters.percentiles(role, name))
        return shown

    def instruments(self) -> list[dict[str, Any]]:
        """Return each instrument's symbol and the liveness of its channels."""
        buffer = self._instruments
        count = int.from_bytes(buffer[SEGMENT_COUNT_OFFSET : SEGMENT_COUNT_OFFSET + 8], "little")
        found = []
        for row in range(count):
            first = SEGMENT_ROWS_OFFSET + row * INSTRUMENT_BYTES
            symbol = bytes(buffer[first : first + SYMBOL_BYTES]).rstrip(b"\0").decode()
            states = bytes(buffer[first + LIVENESS_OFFSET : first + LIVENESS_OFFSET + len(Channel)])
            liveness = {
                channel.name: Liveness(state).name
                for channel, state in zip(Channel, states, strict=True)
            }
            found.append({"symbol": symbol, "liveness": liveness})
        return found

    def line(self, elapsed_s: float) -> str:
        """Return one line of progress for the terminal."""
        counts = self.counts()
        rates = self._measure_rates()
        pnl = self._pnl()
        lag = self.counters.percentiles("brain", "lag_ns")
        state = TradingState(self._control.trading_state()).name
        return (
            f"{elapsed_s:6.0f} s  {state.lower():8} records {counts['records']:>10,} "
            f"({rates['records_per_s']:>7,.0f}/s)  decisions {counts['decisions']:>6,}  "
            f"orders {counts['orders']:>5,}  fills {counts['fills']:>5,}  "
            f"PnL {pnl['realised'] + pnl['unrealised']:+.2f}  lag p99 {lag.p99_ns / 1e3:,.0f} us"
            + self._waiting()
        )

    def why_idle(self) -> str:
        """Return why nothing was traded yet; an empty string when something was."""
        counts = self.counts()
        if counts["orders"]:
            return ""
        if TradingState(self._control.trading_state()) != TradingState.ENABLED:
            return f"trading state is {TradingState(self._control.trading_state()).name}"
        _, document = self.ready()
        if document["waiting"]:
            return f"waiting for {document['waiting']}"
        if not counts["records"]:
            return "no market record has arrived"
        refused = self.refusals()
        if refused:
            worst = max(refused, key=lambda reason: refused[reason])
            return f"risk refused {counts['decisions']:,} decisions, mostly {worst}"
        if counts["decisions"]:
            return f"{counts['decisions']:,} decisions, none became an order"
        return f"{counts['records']:,} records and no strategy saw an entry"

    def _waiting(self) -> str:
        said = []
        for role in self._run.roles:
            if role.state() < RoleState.READY:
                text = self._control.progress(role.row.page)
                said.append(
                    f"{role.row.name} {role.state().name.lower()}{': ' + text if text else ''}"
                )
        return "  [" + "; ".join(said) + "]" if said else ""

    def _armed(self) -> dict[str, bool]:
        arming = self._run.config.arming
        return {
            "allow_orders": arming.allow_orders,
            "dry_run": arming.dry_run,
            "enable_order_exec": arming.enable_order_exec,
            "armed": arming.armed,
            "required": self._run.config.orders_leave,
        }

    def _trading_states(self) -> dict[str, str]:
        words = {
            "main": self._control.main(MainWord.TRADING_STATE),
            "operator": self._control.main(OperatorWord.TRADING_STATE),
        }
        for page in RolePage:
            words[page.name.lower()] = self._control.role(page, RoleWord.TRADING_STATE)
        return {name: TradingState(word).name for name, word in words.items()}

    def _startup_ms(self) -> dict[str, float]:
        start_ns = self._run.started_ns()
        stamps = {
            "socket_bound": self._control.main(MainWord.SOCKET_BOUND_NS),
            "first_health": self._run.api.first_health_ns,
        }
        for page in RolePage:
            for word in (
                RoleWord.SPAWNED_NS,
                RoleWord.ATTACHED_NS,
                RoleWord.WARM_NS,
                RoleWord.SYNCED_NS,
                RoleWord.READY_NS,
                RoleWord.FIRST_RECORD_NS,
            ):
                name = f"{page.name.lower()}_{word.name.lower().removesuffix('_ns')}"
                stamps[name] = self._control.role(page, word)
        return {name: round((at - start_ns) / 1e6, 1) for name, at in stamps.items() if at}

    def _roles(self) -> list[dict[str, Any]]:
        now_ns = time.monotonic_ns()
        found = []
        for role in self._run.roles:
            page = role.row.page
            beats = [self._control.heartbeat_ns(page, k) for k in range(HEARTBEAT_COUNT_MAX)]
            ages = [round((now_ns - beat) / 1e6, 1) for beat in beats if beat]
            found.append(
                {
                    "name": role.row.name,
                    "state": role.state().name,
                    "pid": role.pid,
                    "heartbeat_age_ms": max(ages, default=None),
                    "restarts": role.restart_count,
                    "progress": self._control.progress(page),
                }
            )
        return found

    def _measure_rates(self) -> dict[str, float]:
        now = time.monotonic()
        records = self.counters.count("brain", "records_total")
        frames = self.counters.count("feed", "frames_total")
        self._rates.append((now, records, frames))
        oldest = next(entry for entry in self._rates if now - entry[0] <= RATE_WINDOW_S)
        span_s = now - oldest[0]
        if span_s <= 0.0:
            start_s = max(now - self._run.started_ns() / 1e9, 1e-3)
            return {"records_per_s": records / start_s, "frames_per_s": frames / start_s}
        return {
            "records_per_s": round((records - oldest[1]) / span_s, 1),
            "frames_per_s": round((frames - oldest[2]) / span_s, 1),
        }

    def _pnl(self) -> dict[str, Any]:
        names = ("realised_pnl", "unrealised_pnl", "fees", "equity")
        found = {name: self.counters.count("brain", f"{name}_e8") / E8 for name in names}
        return {
            "realised": found["realised_pnl"],
            "unrealised": found["unrealised_pnl"],
            "fees": found["fees"],
            "equity": found["equity"],
            "currency": "USDT",
        }

    def _rss_bytes(self) -> int:
        pids = [os.getpid(), *(role.pid for role in self._run.roles if role.pid)]
        return sum(_resident_bytes(pid) for pid in pids)

    def _notice(self) -> str:
        faulted = [r.row.name for r in self._run.roles if r.state() == RoleState.FAULTED]
        if faulted:
            return f"{', '.join(faulted)} faulted"
        if self._control.trading_state() == TradingState.HALTED:
            return "Trading is halted: nothing new is sent, cancels pass."
        return ""


def _summary_lines(role: str, name: str, found: Percentiles) -> list[str]:
    metric = f"aegis_{name.removesuffix('_ns')}_seconds"
    quantiles = (
        (0.5, found.p50_ns),
        (0.9, found.p90_ns),
        (0.99, found.p99_ns),
        (0.999, found.p999_ns),
    )
    lines = [
        f'{metric}{{role="{role}",quantile="{quantile}"}} {value_ns / 1e9:.9f}'
        for quantile, value_ns in quantiles
    ]
    lines.append(f'{metric}_count{{role="{role}"}} {found.sample_count}')
    lines.append(f'{metric}_sum{{role="{role}"}} {found.mean_ns * found.sample_count / 1e9:.9f}')
    return lines


def _microseconds(found: Percentiles) -> dict[str, float]:
    return {
        "p50": round(found.p50_ns / 1e3, 1),
        "p99": round(found.p99_ns / 1e3, 1),
        "p999": round(found.p999_ns / 1e3, 1),
        "max": round(found.max_ns / 1e3, 1),
        "count": found.sample_count,
    }


def _resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123  read 2 Hz
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
