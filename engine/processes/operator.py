"""What an operator asks for by name, for page, CLI and API alike: acting, and looking before it.

        halt             acts at once; `confirm_halt` then waits for the venue's word on it
        resume           looks first, in order: roles, market, warm-up, the venue's books; then
                         re-arms; the books not again where the venue has just confirmed them
        everything else  acts at once

Looking may take seconds and runs beside the operator's thread, so that a HALT never waits for it;
a resume that a HALT overtook does nothing. Standard library and ringbuffer only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from engine.domain.codes import Liveness, TradingState
from engine.processes.commands import Check, Commands, Outcome
from engine.processes.panel import Panel
from engine.processes.status import StatusBoard

LOOK_S: Final = 5.0  # for the venue to answer
NEW_S: Final = 10.0  # of a look at the books that a resume rests on; the kernel's AGREED_NS_MAX
POLL_S: Final = 0.001
RESUMES: Final = frozenset({"resume", "trigger_startup"})
CONFIRM: Final = "confirm_halt"
# What the venue says, and what we say until it lets us ask again (`LocalReason.RATE_PAUSED`).
RATE_SPENT: Final = frozenset({-1003, -1015, 9004})
FETCHED: Final = ("fetches_total", "reconciled_total", "stream_losses_total")
WAIT_A_MINUTE: Final = "the request weight of this minute is spent; ask again in the next one"


BOOKS_AGREE: Final = Check("books", True, "orders, positions and balances equal the venue's")


class Confirmed(NamedTuple):
    """The venue's last word that our books are its own, and what would make it old."""

    at_s: float
    halt_count: int
    counts: tuple[int, ...]  # of FETCHED


class Looked(NamedTuple):
    """What was found before a command acts."""

    checks: tuple[Check, ...] = ()
    halt_count: int = 0

    @property
    def failed(self) -> str:
        """Return the first thing that does not hold; an empty string: all does."""
        return next((f"{each.name}: {each.found}" for each in self.checks if not each.good), "")


class Operator:
    """Every command by its name; any thread."""

    def __init__(
        self, commands: Commands, board: StatusBoard, panel: Panel, shut_down: Callable[[], None]
    ) -> None:
        """Act through `commands` and `panel`, look through `board`, stop by `shut_down`."""
        self._commands = commands
        self._board = board
        self.panel = panel
        self._shut_down = shut_down
        self._confirmed: Confirmed | None = None
        self._acts: dict[str, Callable[[str, str], Outcome]] = {
            "halt": commands.halt,
            "pause": commands.pause,
            "reduce": commands.reduce,
            "flatten": commands.flatten,
            "cancel_all": commands.cancel_all,
            "reconcile": commands.reconcile,
            "trigger_shutdown": self._stop,
            "log_decision": self._note,
        }

    def state(self) -> str:
        """Return the name of the trading state in force."""
        return self._commands.state().name

    def looks(self, name: str) -> bool:
        """Return whether a command looks first, which may take LOOK_S."""
        return name in RESUMES or name == CONFIRM

    def look(self, name: str, who: str) -> Looked:
        """Return what holds and what does not, for a command that looks first."""
        halt_count = self._commands.halt_count
        checks = self._halt_checks(who) if name == CONFIRM else self._resume_checks(who)
        return Looked(checks, halt_count)

    def act(self, name: str, who: str, reason: str, looked: Looked | None) -> Outcome:
        """Do what a name says.

        Args:
            name: of a command.
            who: asks.
            reason: is journaled.
            looked: what was found before, for a command that looks first.
        """
        if looked is None:
            return self._acts[name](who, reason)
        if name == CONFIRM:
            effect = looked.failed or "halted, and the venue shows no open order"
            return Outcome(effect, not looked.failed, self._commands.state(), looked.checks)
        return self._resume(who, reason, looked)

    def _resume(self, who: str, reason: str, looked: Looked) -> Outcome:
        failed = looked.failed
        if not failed and self._commands.halt_count != looked.halt_count:
            failed = "halt: somebody halted while this was looked at"
        if failed:
            return Outcome(f"not resumed, {failed}", False, self._commands.state(), looked.checks)
        return self._commands.resume(who, reason)._replace(checks=looked.checks)

    def _stop(self, who: str, reason: str) -> Outcome:
        outcome = self._commands.pause(who, reason)
        self._shut_down()
        return outcome._replace(effect="stopping in order")

    def _note(self, _who: str, _reason: str) -> Outcome:
        return Outcome("written to the audit trail", True, self._commands.state())

    # -- looking -----------------------------------------------------------------------------------

    def _resume_checks(self, who: str) -> tuple[Check, ...]:
        _, document = self._board.ready()
        waiting = ", ".join(
            f"{role} {state}{self._how_far(role)}" for role, state in document["waiting"].items()
        )
        roles = Check("roles", not waiting, waiting or "every role is ready")
        if waiting:
            return (roles,)
        market = self._market()
        if not market.good:
            return roles, market
        warm = self._warm()
        if not warm.good:
            return roles, market, warm
        books = BOOKS_AGREE if self._are_books_confirmed() else self._books_agree(who)
        return roles, market, warm, books

    def _how_far(self, role: str) -> str:
        text = self._board.progress(role)
        return f" ({text})" if text else ""

    def _warm(self) -> Check:
        """Return whether the brain's kernels have decided on this run's market.

        WHY: a strategy that does not know its bars yet enters nothing by itself, and is only told
        of: bars of an hour take most of a day, and while it is HALTED no position is closed.
        """
        if not _comes_true(lambda: self._brain("records_total") > 0):
            return Check("warm", False, "the brain has decided on no market record of this run yet")
        warm, cold = self._brain("strategies_warm"), self._brain("strategies_cold")
        found = f"the kernels decide; {warm} of {warm + cold} strategies know their bars"
        return Check("warm", True, found + (", the others enter when they do" if cold else ""))

    def _market(self) -> Check:
        # A moment of silence on a busy machine is no reason to send the operator back.
        is_live = _comes_true(lambda: any(self._quotes_live()))
        quotes = self._quotes_live()
        found = f"quotes of {sum(quotes)} of {len(quotes)} instruments are live"
        return Check("market", is_live, found)

    def _quotes_live(self) -> list[bool]:
        return [row["liveness"]["QUOTE"] == Liveness.LIVE.name for row in self._board.instruments()]

    def _are_books_confirmed(self) -> bool:
        """Return whether the venue has just confirmed our books, and nothing was asked since."""
        last = self._confirmed
        if last is None or time.monotonic() - last.at_s > NEW_S:
            return False
        return (last.halt_count, last.counts) == (self._commands.halt_count, self._fetched())

    def _books_agree(self, who: str) -> Check:
        began_s, halt_count = time.monotonic(), self._commands.halt_count
        before, since_ns = self._reconciled(), time.time_ns()
        self._commands.reconcile(who, "look before resume")
        if _comes_true(lambda: self._reconciled() > before):
            self._confirmed = Confirmed(began_s, halt_count, self._fetched())
            return BOOKS_AGREE
        found = f"the venue did not confirm our books within {LOOK_S:.0f} s"
        return Check("books", False, found + self._why_not(since_ns))

    def _halt_checks(self, who: str) -> tuple[Check, ...]:
        state = self._commands.state()
        halted = Check("trading", state is TradingState.HALTED, state.name)
        if not halted.good:
            return (halted,)
        if not _comes_true(lambda: not self._open_count()):
            found = f"{self._open_count()} orders are not settled after {LOOK_S:.0f} s"
            return halted, Check("orders", False, found)
        books = self._books_agree(who)
        left = self._open_count()
        return halted, books, Check("orders", not left, f"{left} open")

    def _why_not(self, since_ns: int) -> str:
        """Return what kept the venue's word away, to be put behind a sentence."""
        failure = self._board.queries.fetch_failure(since_ns)
        if failure is None:
            return ""
        number, text = failure
        return f": {WAIT_A_MINUTE if number in RATE_SPENT else f'{text} ({number})'.strip()}"

    def _fetched(self) -> tuple[int, ...]:
        return tuple(self._brain(name) for name in FETCHED)

    def _reconciled(self) -> int:
        return self._brain("reconciled_total")

    def _open_count(self) -> int:
        return self._brain("orders_open")

    def _brain(self, name: str) -> int:
        return self._board.counters.count("brain", name)


def _comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LOOK_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
