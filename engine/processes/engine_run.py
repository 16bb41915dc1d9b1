"""One run of the engine: what main does between the first turn of its API and its exit code."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine import exit_codes
from engine.domain.codes import TradingState
from engine.processes import segments
from engine.processes.commands import STATE_FILE, Commands
from engine.processes.control import MainWord, OperatorWord, RolePage, RoleState, RoleWord
from engine.processes.engine_start import (
    StartError,
    account_config,
    check_access,
    claim_segments,
    open_exchange,
    read_config,
    require_readiness,
    session_config,
    take_instance,
)
from engine.processes.engine_stop import stop_roles
from engine.processes.lease import Lease
from engine.processes.practice import Market, PracticeError, PracticeExchange
from engine.processes.roles import START_ORDER, RoleProcess
from engine.processes.runfile import RunFile
from engine.processes.status import StatusBoard
from engine.processes.terminal import Terminal
from engine.processes.tls import tls_options
from engine.processes.watchdog import Verdict, Watchdog
from ringbuffer.ring import Producer

if TYPE_CHECKING:
    import argparse
    import subprocess
    from collections.abc import Mapping

    from engine.processes.api import ApiThread

WATCH_PERIOD_S = 0.02
REPORT_PERIOD_S = 5.0
IDLE_NOTICE_S = 30.0
TAPE_POLL_S = 0.5


class EngineRun:
    """Owns everything main owns, from the configuration to the last segment."""

    def __init__(
        self,
        options: argparse.Namespace,
        environment: Mapping[str, str],
        api: ApiThread,
        *,
        exec_start_ns: int,
        bound_ns: int,
        feed: subprocess.Popen[bytes],
    ) -> None:
        """Read the configuration and take the instance; `feed` waits for its configuration.

        Raises:
            StartError: usage, configuration or environment; nothing is left behind.
        """
        self.options = options
        self._terminal = Terminal(json_only=options.json)
        self._say = self._terminal.say
        self.api = api
        self._exec_start_ns = exec_start_ns
        self._bound_ns = bound_ns
        self._waiting = {RolePage.FEED: feed}
        self._stop = threading.Event()
        self._signal_count = 0
        self._playing_since = 0.0  # time.monotonic() when the brain was ready; 0: not yet
        self.exchange: PracticeExchange | None = None
        self.market = _market(options)
        self.config = read_config(options, environment, self.market)
        check_access(self.config, is_public=api.is_public)
        self._lock = take_instance(self.config)

    # -- start ---------------------------------------------------------------------------------

    def run(self) -> int:
        """Start, watch, stop; return the exit code."""
        try:
            self._start()
        except StartError as error:
            print(f"aegis: {error}", file=sys.stderr, flush=True)  # noqa: T201
            self._abandon()
            return error.exit_code
        verdict = self._watch()
        return self._finish(verdict)

    def _start(self) -> None:
        self._install_signals()
        self.exchange = open_exchange(self.config, self.options, self.market)
        self.config = account_config(self.config, self.options, self.exchange)
        self._lease = Lease(self.config)
        self._lease.stand_by(self._is_over, self.api.tell, self._say)
        self.config = session_config(self.config)
        self._readiness = require_readiness(self.config, self.options.unready)
        self._segments = claim_segments(self.config, self._say)
        try:
            self._wire()
        except OSError as error:
            message = f"{error.filename or self.config.home}: cannot be written ({error.strerror})"
            raise StartError(message) from error
        self._announce()
        self._spawn_all()
        self.api.serve(self._load_app, tls_options(self.config.access))

    def _wire(self) -> None:
        parts = self._segments
        control = parts.control
        control.set_main(MainWord.EXEC_START_NS, self._exec_start_ns)
        control.set_main(MainWord.SOCKET_BOUND_NS, self._bound_ns)
        control.set_main(MainWord.API_PORT, self.api.port)
        control.set_main(MainWord.EPOCH, self.config.epoch)
        arming = self.config.arming
        armed = arming.allow_orders | (not arming.dry_run) << 1 | arming.enable_order_exec << 2
        control.set_main(MainWord.ARMED, armed)
        control.set_main(MainWord.MARKET_HELD, int(self._holds_market()))
        self.commands = Commands(
            control,
            Producer(parts.rings["control-ring"]),
            parts.rings["market"],
            Path(self.config.state_dir) / STATE_FILE,
        )
        self._restored = self.commands.restore()
        self.token = secrets.token_urlsafe(24)
        self.run_file = RunFile(Path(self.config.home) / "run", self.config.name)
        self.run_file.write(self.config, self.api.host, self.api.port, self.token)
        self.roles = [RoleProcess(row, control, self._waiting.get(row.page)) for row in START_ORDER]
        self.board = StatusBoard(self)
        self.watchdog = Watchdog(self.config, control, self.roles)

    def _announce(self) -> None:
        config = self.config
        practice = not config.orders_leave
        self._say(f"market   {self.source}")
        self._say(
            "money    practice money: no order leaves this machine"
            if practice
            else f"money    {config.trading_mode.upper()} at {config.venue.name}, account "
            f"{config.venue.account}; armed: {'yes' if config.arming.armed else 'no'}"
        )
        host = f"[{self.api.host}]" if ":" in self.api.host else self.api.host
        scheme = "https" if config.access.tls_certificate else "http"
        self._say(f"page     {scheme}://{host}:{self.api.port}/")
        self._say(f"journal  {config.state_dir}/journal/{config.session_id}")
        self._say(f"token    {self.run_file.token_path} (mode 0600)")
        if self._readiness:
            self._say(f"ready    {self._readiness}")
        if self._restored:
            self._say(f"trading  still {self._restored.name}; `aegis resume --reason ...` re-arms")

    @property
    def source(self) -> str:
        """Return which market this run trades."""
        if self.config.venue.name != "practice":
            return f"live market data of {self.config.venue.name}"
        if self.options.exchange:
            return f"practice exchange at {self.options.exchange}"
        return self.market.described()

    def _spawn_all(self) -> None:
        document = msgspec.json.encode(self.config)
        for role in self.roles:
            role.spawn(document, self.config.pin.get(role.row.name))

    def _load_app(self) -> Any:  # noqa: ANN401  uvicorn takes any ASGI application
        from engine.processes.api_reach import create

        parts = self._segments
        return create(self.config, self.board, self.commands, self.token, self._shut_down, parts)

    def _shut_down(self) -> None:
        # As a signal does: the main thread sees it within a period.
        self._signal_count = max(self._signal_count, 1)

    def _install_signals(self) -> None:
        signals = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` ignores it on purpose
            signals.append(signal.SIGHUP)
        for number in signals:
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        # WHY: nothing but a count. A handler runs between two steps of the main thread, which may
        # be inside the event's own lock, or inside this handler for an earlier signal.
        self._signal_count += 1

    def _is_over(self) -> bool:
        """Wait for a period in the main thread; tell whether it is time to stop."""
        if self._signal_count > 0:
            self._stop.set()
        return self._stop.wait(WATCH_PERIOD_S)

    # -- watch ---------------------------------------------------------------------------------

    def _watch(self) -> Verdict:
        control = self._segments.control
        started = reported = time.monotonic()
        threading.Thread(target=self._follow_market, name="aegis-market", daemon=True).start()
        while not self._is_over():
            now = time.monotonic()
            control.set_main(MainWord.HEARTBEAT_NS, time.monotonic_ns())
            control.set_main(MainWord.API_HEARTBEAT_NS, self.api.heartbeat_ns)
            verdict = self.watchdog.check()
            if verdict is not None and not self._recovered(verdict):
                return verdict
            if self._lease.lost:
                return Verdict(exit_codes.HALTED, self._lease.lost)
            playing_s = now - self._playing_since if self._playing_since else 0.0
            if self.options.seconds is not None and playing_s >= self.options.seconds:
                break
            if now - reported >= REPORT_PERIOD_S:
                reported = now
                self._report(now - started)
        return Verdict(exit_codes.DONE, "")

    def _recovered(self, verdict: Verdict) -> bool:
        if self.config.on_role_death != "restart" or verdict.role is None:
            return False
        return self.watchdog.restart(verdict.role, msgspec.json.encode(self.config), self._segments)

    def _brain_state(self) -> RoleState:
        return RoleState(self._segments.control.role(RolePage.BRAIN, RoleWord.STATE))

    def _holds_market(self) -> bool:
        return self.exchange is not None and self.exchange.pid != 0

    def _ends_with_tape(self) -> bool:
        options = self.options
        return not (options.loop or options.exchange or options.seconds is not None)

    def _follow_market(self) -> None:
        # In a thread of its own: an exchange that does not answer must not stall the watchdog.
        while self._brain_state() < RoleState.READY:
            if self._stop.wait(WATCH_PERIOD_S):
                return
        if self.exchange is not None:
            self._play(self.exchange)
        self._segments.control.set_main(MainWord.MARKET_HELD, 0)
        self._playing_since = time.monotonic()
        if self.exchange is None or not self._ends_with_tape():
            return
        while not self._stop.wait(TAPE_POLL_S):
            with contextlib.suppress(PracticeError):
                if self.exchange.ended or self.exchange.fetch("/practice/state").get("tape_ended"):
                    self._say("the tape has ended")
                    self._stop.set()

    def _play(self, exchange: PracticeExchange) -> None:
        # The recorded market waits for a brain that can see it.
        said = ""
        while not self._stop.is_set():
            try:
                exchange.play()
            except PracticeError as error:
                if str(error) != said:
                    self._say(f"the market has not started: {error}")
                said = str(error)
                self._stop.wait(TAPE_POLL_S)
            else:
                return

    def _report(self, elapsed_s: float) -> None:
        self._say(self.board.line(elapsed_s))
        if elapsed_s >= IDLE_NOTICE_S:
            reason = self.board.why_idle()
            self._terminal.notice(f"no order yet: {reason}" if reason else "", elapsed_s)

    # -- stop ----------------------------------------------------------------------------------

    def _finish(self, verdict: Verdict) -> int:
        control = self._segments.control
        control.set_main(MainWord.STOPPING, 1)
        if verdict.exit_code != exit_codes.DONE:
            self._say(f"aegis: {verdict.reason}")
        self.commands.stop_intents(keep_resting=self.config.keep_resting_orders)
        clean = self._stop_roles(verdict)
        self._drain_events()
        exit_code = verdict.exit_code
        if exit_code == exit_codes.DONE and not clean:
            exit_code = exit_codes.ROLE_DIED
        summary = self._summarise()
        halted = (
            summary["trading_state"] == TradingState.HALTED.name and not self._operator_halted()
        )
        if exit_code == exit_codes.DONE and (summary["exchange_agrees"] is False or halted):
            exit_code = exit_codes.HALTED
        self._close()
        return exit_code

    def _stop_roles(self, verdict: Verdict) -> bool:
        budget_s, parts = self.config.drain_budget_s, self.parts()
        problems = stop_roles(self.roles, parts, verdict, budget_s, lambda: self._signal_count > 1)
        for problem in problems:
            if problem not in verdict.reason:  # else it was told as the reason
                self._say(f"aegis: {problem}")
        return not problems

    def _summarise(self) -> dict[str, Any]:
        from engine.domain import kernel

        kernel.leave_plain()  # the summary folds what kernels said: none runs in this process
        from engine.processes.summary import summarise, table

        since = self._playing_since or (0.0 if self._holds_market() else time.monotonic())
        summary = summarise(self, time.monotonic() - since if since else None)
        if self.options.json:
            self._terminal.document(json.dumps(summary))
        else:
            self._say(table(summary))
        return summary

    def _operator_halted(self) -> bool:
        # A halt that the operator pressed is not a limit that tripped.
        words = (MainWord.TRADING_STATE, OperatorWord.TRADING_STATE)
        return any(self._segments.control.main(word) == TradingState.HALTED for word in words)

    def _close(self) -> None:
        self.api.stop(1.0)
        if self.exchange is not None:
            self.exchange.stop()
        segments.remove(self.config.name)
        self.run_file.remove()
        self._lease.close()
        self._lock.close()

    def _drain_events(self) -> None:
        # Nothing to do after an orderly stop; a killed orchestrator leaves records in its rings.
        from engine.store.leftovers import drain_events

        rings = self.parts().rings
        kept = ("events-", "features")
        names = [ring.name for kind, ring in rings.items() if kind.startswith(kept)]
        for problem in drain_events(self.config, names):
            self._say(f"aegis: {problem}")

    def _abandon(self) -> None:
        for role in getattr(self, "roles", []):
            role.kill()
        if self.exchange is not None:
            self.exchange.stop()
        if hasattr(self, "_segments"):
            segments.remove(self.config.name)
        if hasattr(self, "run_file"):
            self.run_file.remove()
        if hasattr(self, "_lease"):
            self._lease.close()
        self._lock.close()

    def parts(self) -> segments.Segments:
        """Return the mapped segments, for status and summary."""
        return self._segments

    def started_ns(self) -> int:
        """Return when the process started, CLOCK_MONOTONIC."""
        return self._exec_start_ns


def _market(options: argparse.Namespace) -> Market:
    return Market(
        tapes=tuple(options.tape),
        generate=options.generate,
        seed=options.seed,
        rate=options.rate,
        speed=options.speed,
        loop=options.loop,
    )
