"""One run: an exchange, engines, the acts of a plan, and the end that everything must come to.

exchange ------------------------------------------------------------.
engine 1 --- acts --- killed    engine 2 --- acts --- calm --- stopped in order -> laws
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bench.chaos.laws import broken_laws
from bench.chaos.lives import SHM, Life, segments_of
from bench.chaos.machine_clock import MachineClock
from bench.chaos.plan import DISK_ACTS, ENDING_ACTS, VENUE_ACTS, Act, Plan, settings
from bench.chaos.venue import ChaosVenue
from engine import exit_codes

DISK_MB: Final = 512  # above the floor below which an engine opens nothing
DATABASE: Final = "state/practice-practice-paper/aegis.db"
LIVES_MAX: Final = 8  # engines of one run
RESTART_S: Final = 0.3
KILLED: Final = f"died (exit status {-signal.SIGKILL})"  # as main names a role that we ended
AMID_S: Final = 1.0  # in which an engine that trades sends orders


class Stage:
    """What a run needs while it lasts."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        """Start the exchange; the engine follows with `play`."""
        self.plan = plan
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.name = f"chaos{plan.seed}"
        self._settings = folder / "aegis.toml"
        self._settings.write_text(settings(guarded=plan.guarded, trailing=plan.trailing), "utf-8")
        self.seconds: defaultdict[str, float] = defaultdict(float)  # by phase
        self._machine_clock = MachineClock(folder)
        with self._timed("exchange"):
            self.venue = ChaosVenue(
                folder, instruments=plan.instruments, seed=plan.seed, speed=plan.speed
            )
        self.lives: list[Life] = []
        self.unexpected: list[str] = []
        self.sent_count = 0  # new orders that came to the exchange, of all lives
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._actions: dict[str, Callable[[Any], None]] = {
            "position_by_hand": self._position,
            "deposit": lambda w: self.venue.call("POST", "/practice/deposit", w),
            "exchange_restart": self._restart_exchange,
            "database_locked": self._lock_database,
            "hang": self._hang,
            "machine_clock": lambda w: self._machine_clock.set(w["offset_s"]),
            "kill_role": lambda w: self._end(w["role"], signal.SIGKILL),
            "kill_all": lambda _w: self._kill_all(),
            "kill_starting": self._kill_starting,
            "kill_amid_orders": self._kill_amid_orders,
            "sigterm": lambda _w: self._end("main", signal.SIGTERM),
            "disk_full": self._fill_disk,
        }

    @property
    def life(self) -> Life:
        """Return the engine that runs now."""
        return self.lives[-1]

    # -- the run -------------------------------------------------------------------------------

    def play(self) -> list[str]:
        """Carry the plan out; return the laws that were broken, each as a sentence."""
        self._start()
        with self._timed("play"):
            self._act()
        with self._timed("settle"):
            self.life.wait_ready()  # a role that was killed is back before it is asked to stop
            self.life.settle()
            self.life.wait_looked()
        with self._timed("stop"):
            code = self.life.terminate()
        with self._timed("laws"):
            self.sent_count = len(self.venue.sent())
            return [*self.unexpected, *broken_laws(self, code)]

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Count what a block takes towards its phase, but for what a phase inside it takes."""
        began, inner = time.monotonic(), sum(self.seconds.values())
        try:
            yield
        finally:
            inside = sum(self.seconds.values()) - inner
            self.seconds[phase] += time.monotonic() - began - inside

    def _act(self) -> None:
        began = time.monotonic()
        for act in self.plan.acts:
            self._wait(began + act.at_ms / 1e3)
            self._perform(act)
        self._wait(began + self.plan.end_ms / 1e3)
        self._wait(max((due for due, _ in self._later), default=0.0))
        self.venue.calm()
        if self.life.ended:
            self._start()

    def _start(self) -> None:
        with self._timed("start"):
            self._start_until_ready()

    def _start_until_ready(self) -> None:
        more = ("--on-role-death", "restart") if self.plan.restart_in_place else ()
        for _ in range(LIVES_MAX - len(self.lives)):
            self._begin_life(*more)
            if self.life.wait_ready():
                return
            self._note_end("while it started")
            time.sleep(RESTART_S)  # a platform waits too, and a full disk may be emptied meanwhile
            self._undo_due()
        message = f"not ready in {LIVES_MAX} lives; the last said: {self.life.said()}"
        raise AssertionError(message)

    def _begin_life(self, *more: str) -> None:
        words = ["--exchange", self.venue.url, "--config", str(self._settings), *more]
        environment = self._machine_clock.environment
        self.lives.append(Life(self.home, self.name, len(self.lives), words, environment))

    def _wait(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self._undo_due()
            time.sleep(min(left, 0.01))
            if self.life.ended:
                self._note_end("while it traded")
                self._start()
        self._undo_due()

    def _undo_due(self) -> None:
        for entry in [one for one in self._later if one[0] <= time.monotonic()]:
            self._later.remove(entry)
            entry[1]()

    def _note_end(self, when: str) -> None:
        code = self.life.wait_end(self._undo_due)
        # Killed while it made its segments: the next start waits until nobody can be at it.
        half_made = code == exit_codes.ENVIRONMENT and "not a finished segment" in self.life.said()
        if not half_made and not self._has_disk_act():
            self.unexpected.append(
                f"life {len(self.lives) - 1} ended with {code} {when}: {self.life.said()}"
            )

    def _has_disk_act(self) -> bool:
        return any(act.kind in DISK_ACTS for act in self.plan.acts)

    def _perform(self, act: Act) -> None:
        if act.kind in VENUE_ACTS:
            self.venue.fault(**self._in_lots(act.words))
        else:
            self._actions[act.kind](act.words)

    def _in_lots(self, words: dict[str, Any]) -> dict[str, Any]:
        if "lots" not in words:
            return words
        symbol = self.venue.symbols[0]
        qty = words["lots"] * self.venue.lot(symbol)
        return {k: v for k, v in words.items() if k != "lots"} | {"symbol": symbol, "qty": str(qty)}

    # -- acts beside the protocol --------------------------------------------------------------

    def _position(self, words: dict[str, Any]) -> None:
        symbol = self.venue.symbols[words["symbol"] % len(self.venue.symbols)]
        amount = self.venue.position(symbol) + words["lots"] * self.venue.lot(symbol)
        order = {"symbol": symbol, "positionAmt": str(amount)}
        self.venue.call("POST", "/practice/position", order)

    def _restart_exchange(self, words: dict[str, Any]) -> None:
        self.venue.stop()
        time.sleep(words["away_ms"] / 1e3)
        self.venue.resume()

    def _lock_database(self, words: dict[str, Any]) -> None:
        with suppress(sqlite3.OperationalError):  # the projector holds it just now
            lock = sqlite3.connect(self.home / DATABASE, timeout=0.2, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
            self._later.append((time.monotonic() + words["for_ms"] / 1e3, lock.close))

    def _hang(self, words: dict[str, Any]) -> None:
        life, role = self.life, str(words["role"])
        life.status()
        life.signal(role, signal.SIGSTOP)
        due = time.monotonic() + words["for_ms"] / 1e3
        self._later.append((due, lambda: life.signal(role, signal.SIGCONT)))

    def _fill_disk(self, words: dict[str, Any]) -> None:
        ballast = self.home / "ballast"
        with suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        due = time.monotonic() + words["for_ms"] / 1e3
        self._later.append((due, lambda: ballast.unlink(missing_ok=True)))

    # -- acts that end an engine ---------------------------------------------------------------

    def _end(self, role: str, number: int) -> None:
        life = self.life
        life.status()
        restarts = self.plan.restart_in_place and role != "main"
        life.signal(role, number)
        if restarts:
            return
        code = life.wait_end(self._undo_due)  # a role that hangs is let go meanwhile
        if number == signal.SIGTERM and not self._stopped_well(life, code):
            self.unexpected.append(f"SIGTERM ended with {code}: {_differences(life)}")
        self._start()

    def _stopped_well(self, life: Life, code: int) -> bool:
        """Tell whether a stop amid faults ended as it may: in agreement, or saying that it is not.

        An order whose absence is not proven yet, a hand at the account since the last look, or a
        role that we ended and nobody has brought back, is settled by the next engine: the laws look
        at the last one.
        """
        was_ended = code == exit_codes.ROLE_DIED and KILLED in life.said()
        told = code in {exit_codes.DONE, exit_codes.HALTED}
        return told or was_ended or self._has_disk_act()

    def _kill_amid_orders(self, words: dict[str, Any]) -> None:
        """End a role while orders of its are at the exchange and none is answered yet."""
        self.venue.fault(**{k: v for k, v in words.items() if k not in {"role", "orders"}})
        due = len(self.venue.sent()) + words["orders"]
        deadline = time.monotonic() + AMID_S
        while len(self.venue.sent()) < due and time.monotonic() < deadline:
            time.sleep(0.002)  # it may be paused or halted: then it is ended all the same
        self._end(words["role"], signal.SIGKILL)

    def _kill_all(self) -> None:
        self.life.kill_all()
        self.life.wait_end()
        self._start()

    def _kill_starting(self, words: dict[str, Any]) -> None:
        self.life.kill_all()
        self.life.wait_end()
        self._begin_life()
        time.sleep(words["after_ms"] / 1e3)
        self.life.kill_all()
        self.life.wait_end()
        self._start()

    def clean(self) -> None:
        """End everything that still runs."""
        for _, undo in self._later:
            undo()
        for life in self.lives:
            if not life.ended:
                life.kill_all()
                life.process.wait()
        for segment in segments_of(self.name):  # of engines that had to be killed
            (SHM / segment).unlink(missing_ok=True)
        self.venue.kill()


def _differences(life: Life) -> str:
    summary = life.summary()
    state = summary.get("trading_state")
    return f"{state}; {'; '.join(summary.get('differences', [])[:4])} {life.said()}"


assert not VENUE_ACTS.keys() & ENDING_ACTS.keys()


@contextmanager
def _disk(folder: Path, *, small: bool) -> Iterator[None]:
    home = folder / "home"
    if not small:
        yield
        return
    home.mkdir()
    words = ["/usr/bin/env", "mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(home)]
    subprocess.run(words, check=True)
    try:
        yield
    finally:
        subprocess.run(["/usr/bin/env", "umount", "-l", str(home)], check=True)


def perform(plan: Plan, keep: Path | None = None) -> tuple[list[str], dict[str, Any]]:
    """Perform a plan in a folder of its own; return broken laws and what the last engine summed up.

    Args:
        plan: what happens.
        keep: where the folder of a run that broke a law is left; None: nowhere.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"aegis-chaos-{plan.seed}-"))
    began = time.monotonic()
    broken: list[str] = []
    told: dict[str, Any] = {}
    sent_count = 0
    try:
        with _disk(folder, small=plan.small_disk):
            stage = Stage(plan, folder)
            try:
                broken = stage.play()
            except (AssertionError, OSError) as fault:
                broken = [f"{type(fault).__name__}: {fault}", *stage.unexpected]
            finally:
                stage.clean()
            told = stage.life.summary() if stage.lives else {}
            sent_count = stage.sent_count
            if broken and keep is not None:
                _keep(folder, keep / str(plan.seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = round(time.monotonic() - began, 2)
    counts = {name: told.get(name) for name in ("orders", "fills", "trading_state")}
    phases = {name: round(part, 2) for name, part in stage.seconds.items()}
    lives = {"lives": len(stage.lives), "sent": sent_count}
    return broken, {"seconds": seconds, "phases": phases, **lives, **counts}


def _keep(folder: Path, kept: Path) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept, symlinks=True, ignore=shutil.ignore_patterns("ballast"))
