"""What a person or a platform sees: read from counters, words and the projection, never computed.

Reading touches shared memory and a read-only database connection; the message path does not
notice. Standard library and ringbuffer only.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.domain.codes import TradingState
from engine.processes.board import read_board
from engine.processes.control import (
    HEARTBEAT_COUNT_MAX,
    MainWord,
    OperatorWord,
    RolePage,
    RoleState,
    RoleWord,
)
from engine.processes.depth_view import DepthView
from engine.processes.held_page import read_held
from engine.processes.instrument_view import InstrumentView
from engine.processes.role_counters import PAGES, Counters, declared, edges, microseconds
from engine.processes.shown import Picture, Shown
from engine.processes.used_limits import used_limits
from engine.store.pages import SessionPages
from engine.store.queries import StatusQueries
from engine.version import describe

if TYPE_CHECKING:
    from engine.processes.engine_run import EngineRun

RATE_WINDOW_S = 5.0
RATE_SAMPLE_S = 0.1  # samples closer than this tell nothing more
RATE_SAMPLES_MAX = 64  # more than a window of them
DECISIONS_SHOWN = 12
E8 = 100_000_000
STAMPS = tuple(
    (page, word, f"{page.name.lower()}_{name}")
    for page in RolePage
    for word, name in (
        (RoleWord.SPAWNED_NS, "spawned"),
        (RoleWord.ATTACHED_NS, "attached"),
        (RoleWord.WARM_NS, "warm"),
        (RoleWord.SYNCED_NS, "synced"),
        (RoleWord.READY_NS, "ready"),
        (RoleWord.FIRST_RECORD_NS, "first_record"),
    )
)


class StatusBoard:
    """The status document, health, readiness, metrics and the lines of `aegis run`."""

    def __init__(self, run: EngineRun) -> None:
        """Read from a run's segments; nothing is copied yet."""
        self._run = run
        parts = run.parts()
        self._control = parts.control
        self._instruments = InstrumentView(parts.instruments, parts.rings["market"])
        self._sources = parts.sources
        self.depth = DepthView(parts.instruments, parts.depth)
        pages = {role: parts.counters.page(page) for role, (page, _, _) in PAGES.items()}
        self.counters = Counters(pages)
        state_dir = Path(run.config.state_dir)
        self.queries = StatusQueries(state_dir / "aegis.db")
        self._build = describe()
        self._shared_bytes = parts.bytes_total
        self._pages = SessionPages(state_dir / "aegis.db", state_dir.name)
        self._rates: deque[tuple[float, int, int]] = deque(maxlen=RATE_SAMPLES_MAX)
        self._rates_lock = threading.Lock()  # the terminal and every reader of the API measure
        self.shown = Shown(self._look)

    def status(self) -> dict[str, Any]:
        """Return the whole status document; nothing in it is waited for."""
        run, picture = self._run, self.shown.picture
        config = run.config
        return {
            "name": config.name,
            "build": self._build,
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
            "sources": self.sources(),
            "rates": self._measure_rates(),
            "counts": self.counts(),
            "latency_us": picture.latency_us,
            "refusals": self.refusals(),
            "rejected_records": self.rejected_records(),
            **picture.rows,
            "pnl": self.pnl(),
            "memory": {"shared_bytes": self._shared_bytes, "rss_bytes": picture.rss_bytes},
            "journal": {"path": f"{config.state_dir}/journal/{config.session_id}"},
            "held_intents": len(read_held(self._control)),
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

    def progress(self, role: str) -> str:
        """Return how far a role is in its own words; empty: it says nothing."""
        pages = {each.row.name: each.row.page for each in self._run.roles}
        return self._control.progress(pages[role]) if role in pages else ""

    def metrics(self) -> str:
        """Return every counter and histogram in the Prometheus text format."""
        lines = self.counters.exposition()
        build = ",".join(f'{name}="{text}"' for name, text in self._build.items())
        lines += declared("aegis_build_info", "What runs, in its labels")
        lines.append(f"aegis_build_info{{{build}}} 1")
        state = self._control.trading_state()
        states = "0 ENABLED, 1 PAUSED, 2 REDUCING, 3 HALTED"
        lines += declared("aegis_trading_state", f"The state in force: {states}")
        lines.append(f"aegis_trading_state {state}")
        lines += declared("aegis_role_state", f"How far a role is; {int(RoleState.READY)}: ready")
        for process in self._run.roles:
            lines.append(f'aegis_role_state{{role="{process.row.name}"}} {int(process.state())}')
        lines += self._connection_lines()
        return "\n".join(lines) + "\n"

    def counts(self) -> dict[str, int]:
        """Return the totals of this run."""
        # A decision is an entry opportunity that reached risk; journal and replay list exits too.
        names = ("records", "decisions", "exits", "orders", "fills", "refusals")
        return {name: self.counters.count("brain", f"{name}_total") for name in names}

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
            shown[name.removesuffix("_ns")] = microseconds(self.counters.percentiles(role, name))
        return shown

    def instruments(self) -> list[dict[str, Any]]:
        """Return each instrument's symbol, liveness of its channels and newest quote."""
        return self._instruments.rows()

    def sources(self) -> dict[str, Any]:
        """Return the feed's table of connections, clock and losses; empty: not written yet."""
        text = read_board(self._sources)
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def book(self, symbol: str, level_count: int) -> tuple[int, dict[str, Any]]:
        """Return an HTTP status and a whole book, asked of the feed."""
        return self.depth.answer(symbol, level_count)

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders that may still fill, oldest first."""
        return self.queries.orders_open()

    def latency(self) -> dict[str, Any]:
        """Return every latency histogram: percentiles, and counts below each power of two of ns."""
        return {
            histogram.name.removesuffix("_ns"): {
                "label": histogram.label,
                "us": microseconds(self.counters.percentiles(role, histogram.name)),
                "below_ns": edges(self.counters.words(role, histogram.name)),
            }
            for role, (_, _, histograms) in PAGES.items()
            for histogram in histograms
        }

    def limits(self) -> list[dict[str, Any]]:
        """Return how much of each limit is used, the fullest first."""
        return used_limits(self._run.config.limits, self.counters, self._pages)

    def ledger(self) -> dict[str, Any]:
        """Return the account's ledger, what is open at mids of now.

        Raises:
            ProjectionError: the database cannot be read now.
        """
        from engine.processes.ledger_page import account_ledger  # not before the API answers

        return account_ledger(Path(self._run.config.state_dir), self.book)

    def positions(self) -> list[dict[str, Any]]:
        """Return the positions by strategy, open ones first."""
        return self.queries.positions()

    def strategies(self) -> list[dict[str, Any]]:
        """Return what each strategy has made on this account, the most first."""
        return self.queries.strategies()

    def line(self, elapsed_s: float) -> str:
        """Return one line of progress for the terminal."""
        counts = self.counts()
        rates = self._measure_rates()
        pnl = self.pnl()
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
        state = TradingState(self._control.trading_state())
        if state != TradingState.ENABLED:
            return f"trading state is {state.name}; `aegis resume --reason ...` re-arms"
        if waiting := self._not_ready():
            return f"not ready: {'; '.join(waiting)}"
        if not counts["records"]:
            return "no market record has arrived"
        refused = self.refusals()
        if refused:
            worst = max(refused, key=lambda reason: refused[reason])
            return f"risk refuses the decisions, mostly by {worst}"
        if counts["decisions"]:
            return "no decision became an order"
        return "no strategy has seen an entry"

    def _connection_lines(self) -> list[str]:
        rows = self.sources().get("connections", [])
        lines = declared("aegis_connection_up", "1: the connection carries the market")
        lines += [
            f'aegis_connection_up{{connection="{row["name"]}"}} {int(row["state"] == "up")}'
            for row in rows
            if row["state"] != "unwanted"  # a second line that nobody needs is not one that is down
        ]
        lines += declared("aegis_connection_lag_seconds", "Lag of its data of late, by percentile")
        for row in rows:
            name = f'aegis_connection_lag_seconds{{connection="{row["name"]}",kind='
            lines += [f'{name}"{kind}"}} {lag_ms / 1e3}' for kind, lag_ms in row["lag_ms"].items()]
        return lines

    def _waiting(self) -> str:
        said = self._not_ready()
        return "  [" + "; ".join(said) + "]" if said else ""

    def _not_ready(self) -> list[str]:
        """Return each role that is not ready, with how far it is in its own words."""
        said = []
        for role in self._run.roles:
            if role.state() < RoleState.READY:
                text = self._control.progress(role.row.page)
                said.append(
                    f"{role.row.name} {role.state().name.lower()}{': ' + text if text else ''}"
                )
        return said

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
        for page, word, name in STAMPS:
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
        with self._rates_lock:
            if not self._rates or now - self._rates[-1][0] >= RATE_SAMPLE_S:
                self._rates.append((now, records, frames))
            recent = (entry for entry in self._rates if now - entry[0] <= RATE_WINDOW_S)
            oldest = next(recent, (now, records, frames))
        span_s = now - oldest[0]
        if span_s <= 0.0:
            start_s = max(now - self._run.started_ns() / 1e9, 1e-3)
            return {"records_per_s": records / start_s, "frames_per_s": frames / start_s}
        return {
            "records_per_s": round((records - oldest[1]) / span_s, 1),
            "frames_per_s": round((frames - oldest[2]) / span_s, 1),
        }

    def pnl(self) -> dict[str, Any]:
        """Return the account's result so far; realised is after fees and funding."""
        names = ("realised_pnl", "unrealised_pnl", "fees", "funding", "equity")
        found = {name: self.counters.count("brain", f"{name}_e8") for name in names}
        return {
            "realised": (found["realised_pnl"] - found["fees"] + found["funding"]) / E8,
            "unrealised": found["unrealised_pnl"] / E8,
            "fees": found["fees"] / E8,
            "equity": found["equity"] / E8,
            "currency": "USDT",
        }

    def _look(self) -> Picture:
        pids = [os.getpid(), *(role.pid for role in self._run.roles if role.pid)]
        rss_bytes = sum(_resident_bytes(pid) for pid in pids)
        return Picture(self.queries.shown(DECISIONS_SHOWN), self.latency_us(), rss_bytes)

    def _notice(self) -> str:
        faulted = [r.row.name for r in self._run.roles if r.state() == RoleState.FAULTED]
        if faulted:
            return f"{', '.join(faulted)} faulted"
        if self._control.trading_state() == TradingState.HALTED:
            return "Trading is halted: nothing new is sent, cancels pass."
        return ""


def _resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123  often
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
