"""Takes a strategy or a symbol from its first word to live, and off again; a thread of main.

        onboard   -> the part is SHADOW: decisions are recorded, nothing is sent
        look      -> its market since then is played beside the engine: trades, result, fall
        judge     -> PASSES: live; FAILS: off        (`onboard_rules`)
        live      -> the account's own record is judged by the same rule; data that stay bad: off
        offboard  -> off, by word

Modes are given through the panel, so gates, journal and arming switches are what they always are;
where orders leave for a third party, live needs a second word. A mode that somebody gave a part by
hand is left alone. Each step is a line in the audit trail. A symbol that this run does not have is
asked of the feed (ADR 0041). Standard library, msgspec and ringbuffer only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from engine.config import Config
from engine.domain.codes import Mode
from engine.processes.commands import Outcome
from engine.processes.onboard_file import (
    ONBOARD_FILE,
    ROWS_MAX,
    LiveRecord,
    OnboardingUnreadableError,
    OnboardRow,
    Stage,
    read_onboarding,
    write_onboarding,
)
from engine.processes.onboard_parts import Parts
from engine.processes.onboard_played import RecordAsked
from engine.processes.onboard_rules import Evidence, SessionRecord, Verdict, evidence_of, judge

LOOK_S: Final = 5.0  # modes, data; records are asked for every onboard.look_s
REASON_LENGTH_MIN: Final = 3
MODE_OF: Final = {
    Stage.BOOTSTRAP: Mode.SHADOW,
    Stage.SHADOW: Mode.SHADOW,
    Stage.PASSED: Mode.SHADOW,
    Stage.LIVE: Mode.LIVE,
    Stage.OFFBOARDED: Mode.OFF,
}
JUDGED: Final = (Stage.SHADOW, Stage.PASSED)
Replace = msgspec.structs.replace


class ModePanel(Protocol):
    """What the options panel does for it."""

    def mode(self, part: str) -> Mode:
        """Return the mode a part was given itself."""

    def set_mode(
        self, part: str, word: str, who: str, reason: str, *, may_come: bool = False
    ) -> Outcome:
        """Give a part a mode."""


class Run(NamedTuple):
    """What is read of the run, each from any thread."""

    instruments: Callable[[], list[dict[str, Any]]]  # symbol and liveness, as in the status
    strategies: frozenset[str]  # that this run has
    made: Callable[[str, str], tuple[int, float] | None]  # column, name -> trades, net; None: later
    played: Callable[[RecordAsked], tuple[dict[str, SessionRecord], str]]  # or why there is none
    note: Callable[[dict[str, Any]], None]  # into the audit trail
    state: Callable[[], Any]  # TradingState in force
    follow: Callable[[], Outcome]  # have the feed follow the symbols of the file


class Onboarding:
    """Every part that is or was onboarded on one account; any thread may ask."""

    def __init__(self, config: Config, panel: ModePanel, run: Run) -> None:
        """Go on where an earlier run of this account ended."""
        self._config = config
        self._panel = panel
        self._run = run
        self._parts = Parts(config, run.strategies, run.instruments)
        self._path = Path(config.state_dir) / ONBOARD_FILE
        self._lock = threading.Lock()
        self._bad_since_s: dict[str, float] = {}
        self._due_s: dict[str, float] = {}  # when a record is asked for
        self._wake = threading.Event()
        self._is_feed_behind = False  # it was not told yet of what changed
        self._feed_said = ""  # when it did not take the word
        self._unreadable = ""
        try:
            self._rows = read_onboarding(self._path)
        except OnboardingUnreadableError as error:
            self._rows, self._unreadable = {}, str(error)

    # -- what people ask ---------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """Return every part, the newest step first."""
        with self._lock:
            rows = sorted(self._rows.values(), key=lambda row: -row.stage_ns)
        unread = [{"part": "", "stage": "unreadable", "why": self._unreadable}]
        return (unread if self._unreadable else []) + [
            _shown(row, self._waits(row)) for row in rows
        ]

    def stage(self, word: str) -> str:
        """Return the stage of a part by any word for it."""
        row = self._rows.get(self._parts.part(word))
        return (row.stage if row else Stage.NONE).value

    def onboard(self, word: str, who: str, reason: str) -> Outcome:
        """Begin with a strategy or a symbol, or say the second word on one that has passed."""
        part = self._parts.part(word)
        refusal = self._unreadable or self._parts.refusal(part)
        if refusal:
            return self._no(refusal)
        if len(reason.strip()) < REASON_LENGTH_MIN:
            return self._no("onboarding needs a reason (3 characters)")
        with self._lock:
            before = self._rows.get(part)
            if before is not None and before.stage is Stage.PASSED and not before.is_confirmed:
                failure = self._put(Replace(before, is_confirmed=True))
                return self._no(failure) if failure else self._yes(f"{part} has passed: confirmed")
            if before is not None and before.stage is not Stage.OFFBOARDED:
                return self._no(f"{part} is at stage {before.stage} already")
            if not self._has_room(part):
                return self._no(f"{ROWS_MAX} parts are onboarded already")
            stage = Stage.SHADOW if self._parts.can_be_played(part) else Stage.BOOTSTRAP
            now_ns = time.time_ns()
            row = OnboardRow(
                part=part, stage=stage, who=who, reason=reason, begun_ns=now_ns, stage_ns=now_ns
            )
            failure = self._put(row)
            if failure:
                return self._no(failure)
            self._due_s.pop(part, None)
            later = self._tell(row)
        when = "" if self._parts.is_here(part) else f"; {self._parts.comes(part)}"
        return self._yes(f"{part} is at stage {stage}{when}{later}")

    def offboard(self, word: str, who: str, reason: str) -> Outcome:
        """Take a part off: its mode is OFF, and the next start does without it."""
        part = self._parts.part(word)
        with self._lock:
            row = self._rows.get(part)
            if row is None or row.stage is Stage.OFFBOARDED:
                return self._no(f"{word!r} is not onboarded")
            moved = self._moved(row, Stage.OFFBOARDED, reason or "by word", who=who)
            failure = self._put(moved)
            if failure:
                return self._no(failure)
            later = self._tell(moved)
        return self._yes(f"{part} is offboarded, was {row.stage}{later}")

    # -- the thread --------------------------------------------------------------------------------

    def start(self) -> None:
        """Look every LOOK_S for as long as the process lives."""
        threading.Thread(target=self._run_on, name="aegis-onboard", daemon=True).start()

    def look(self, now_s: float) -> None:
        """Do what is due, in order; at most one record is played, which may take minutes.

        Args:
            now_s: monotonic.
        """
        self._tell_feed()
        for part in list(self._rows):
            self._step(part, now_s)
        judged = [row for row in list(self._rows.values()) if row.stage in JUDGED]
        next_s = now_s + self._config.onboard.look_s
        # The first record comes a period after the word, or after the start: no market, no record.
        due = {row.part: self._due_s.setdefault(row.part, next_s) for row in judged}
        row = min(judged, key=lambda each: due[each.part], default=None)
        if row is not None and due[row.part] <= now_s:
            self._due_s[row.part] = next_s
            self._judge_shadow(row)

    def _run_on(self) -> None:
        while True:
            self._wake.wait(LOOK_S)
            self._wake.clear()
            self.look(time.monotonic())

    def _tell_feed(self) -> None:
        """Have the feed follow the file when symbols came or went; a feed that is away hears later.

        Not in the operator's thread: a feed that hangs would keep a HALT waiting.
        """
        if not self._is_feed_behind:
            return
        self._is_feed_behind = False
        heard = self._run.follow()
        with self._lock:
            self._feed_said = "" if heard.accepted else heard.effect
            self._is_feed_behind |= not heard.accepted

    def _step(self, part: str, now_s: float) -> None:
        """Give a mode that was not given, let in what has come, take off what went bad."""
        with self._lock:
            row = self._rows[part]
            if not row.is_told:
                self._tell(row)
            elif row.stage is Stage.BOOTSTRAP and self._parts.can_be_played(part):
                self._go(row, Stage.SHADOW, "it has come")
            elif row.stage is Stage.PASSED:
                self._let_live(row)
            elif row.stage is Stage.LIVE:
                self._judge_live(row)
            if row.is_symbol and self._rows[part].stage not in {Stage.BOOTSTRAP, Stage.OFFBOARDED}:
                self._judge_data(self._rows[part], now_s)

    def _judge_shadow(self, row: OnboardRow) -> None:
        """Ask for a record and judge it; the lock is not held while it is played."""
        config = self._config
        over = tuple(name for name in row.sessions if name != config.session_id)
        asked = RecordAsked(
            state_dir=config.state_dir,
            session_id=config.session_id,
            home=config.home,
            name=row.name,
            is_symbol=row.is_symbol,
            since_ns=row.begun_ns,
            known=over,
        )
        found, failure = self._run.played(asked)
        with self._lock:
            now = self._rows.get(row.part)
            if now is None or now.begun_ns != row.begun_ns or now.stage not in JUDGED:
                return  # somebody said another word meanwhile
            if failure:
                self._put(Replace(now, why=f"no record: {failure}"))
                return
            known = {name: now.sessions[name] for name in over}
            now = Replace(now, sessions=known | found)
            verdict, why = judge(evidence_of(now.sessions.values()), config.onboard)
            if verdict is Verdict.FAILS:
                self._go(now, Stage.OFFBOARDED, f"out of sample: {why}")
            elif verdict is Verdict.PASSES and now.stage is Stage.SHADOW:
                self._go(now, Stage.PASSED, f"out of sample: {why}")
            else:
                self._put(Replace(now, why=why))

    def _let_live(self, row: OnboardRow) -> None:
        """Give what has passed the mode LIVE, if nothing speaks against it; the lock is held."""
        made = self._run.made(*_column(row))
        if made is not None and not self._waits(row):
            base = LiveRecord(trades=made[0], net=made[1])
            self._go(Replace(row, live=base), Stage.LIVE, "it passed the gate")

    def _waits(self, row: OnboardRow) -> str:
        """Return what one that has passed waits for; empty: nothing."""
        mode = self._panel.mode(row.part)
        if row.stage is Stage.BOOTSTRAP:
            return (
                self._feed_said or "the feed brings it when the venue lists it; its log says more"
            )
        if row.stage is not Stage.PASSED:
            return ""
        if not self._parts.is_here(row.part):
            return "live with the next start"
        if mode is not Mode.SHADOW:
            return f"not live: somebody made it {mode.name.lower()}"
        if self._config.orders_leave and not row.is_confirmed:
            return "real money: live by a second `onboard`"
        return ""

    def _judge_live(self, row: OnboardRow) -> None:
        made = self._run.made(*_column(row))
        if made is None:
            return
        trades, net, live = made[0] - row.live.trades, made[1] - row.live.net, row.live
        peak = max(live.peak, net)
        live = Replace(live, peak=peak, fall=max(live.fall, peak - net))
        size = evidence_of(row.sessions.values()).size
        verdict, why = judge(Evidence(trades, net, live.fall, size), self._config.onboard)
        if verdict is Verdict.FAILS:
            self._go(row, Stage.OFFBOARDED, f"decayed: {why}")
        elif live != row.live or why != row.why:
            self._put(Replace(row, live=live, why=why))

    def _judge_data(self, row: OnboardRow, now_s: float) -> None:
        if self._parts.has_live_quotes(row.name):
            self._bad_since_s.pop(row.part, None)
            return
        bad_s = now_s - self._bad_since_s.setdefault(row.part, now_s)
        if bad_s >= self._config.onboard.bad_data_s:
            self._go(row, Stage.OFFBOARDED, f"bad data: no live quote for {bad_s:.0f} s")

    # -- steps; the lock is held -------------------------------------------------------------------

    def _go(self, row: OnboardRow, stage: Stage, why: str) -> None:
        """Take a step by itself: on the disk, then its mode, then into the audit trail."""
        before = self._rows[row.part].stage
        moved = self._moved(row, stage, why)
        if self._put(moved):
            return  # the disk does not take it: the next look tries again
        self._bad_since_s.pop(row.part, None)
        later = self._tell(moved)
        self._run.note(
            {
                "who": f"onboarding for {row.who}",
                "from": "engine",
                "what": f"onboarding {row.part}",
                "reason": why,
                "before": before,
                "after": stage,
                "done": True,
                "effect": f"{row.part} is at stage {stage}{later}",
            }
        )

    def _moved(self, row: OnboardRow, stage: Stage, why: str, who: str = "") -> OnboardRow:
        keeps = MODE_OF[stage] is MODE_OF[row.stage] and row.is_told
        return Replace(
            row,
            stage=stage,
            why=why,
            who=who or row.who,
            stage_ns=time.time_ns(),
            is_told=keeps,
        )

    def _tell(self, row: OnboardRow) -> str:
        """Give the mode of a stage; return what to add where it was not given yet."""
        if row.is_told:
            return ""
        mode = MODE_OF[row.stage]
        reason = f"onboarding: {row.stage}"
        who = row.who
        outcome = self._panel.set_mode(row.part, mode.name.lower(), who, reason, may_come=True)
        if not outcome.accepted:
            return f"; its mode waits: {outcome.effect}"
        self._put(Replace(row, is_told=True))
        return ""

    def _put(self, row: OnboardRow) -> str:
        """Keep a row, on the disk first; return why it could not be written: nothing changed."""
        rows = self._rows | {row.part: row}
        try:
            write_onboarding(self._path, rows)
        except OSError as error:
            return f"{self._path}: not written ({error.strerror})"
        before, self._rows = self._rows.get(row.part), rows
        was_in = before is not None and before.stage is not Stage.OFFBOARDED
        if row.is_symbol and was_in != (row.stage is not Stage.OFFBOARDED):
            self._is_feed_behind = True
            self._wake.set()
        return ""

    def _has_room(self, part: str) -> bool:
        if part in self._rows or len(self._rows) < ROWS_MAX:
            return True
        gone = [row for row in self._rows.values() if row.stage is Stage.OFFBOARDED and row.is_told]
        if not gone:
            return False
        oldest = min(gone, key=lambda row: row.stage_ns)
        self._rows = {name: row for name, row in self._rows.items() if name != oldest.part}
        return True

    def _no(self, effect: str) -> Outcome:
        return Outcome(effect, False, self._run.state())

    def _yes(self, effect: str) -> Outcome:
        return Outcome(effect, True, self._run.state())


def _column(row: OnboardRow) -> tuple[str, str]:
    return "instrument" if row.is_symbol else "strategy", row.name


def _shown(row: OnboardRow, waits: str) -> dict[str, Any]:
    found = evidence_of(row.sessions.values())
    return {
        "part": row.part,
        "stage": row.stage.value,
        "trades": found.trades,
        "net": round(found.net, 8),
        "fall": round(found.fall, 8),
        "why": "; ".join(filter(None, (row.why, waits))),
        "who": row.who,
        "reason": row.reason,
        "begun_ns": row.begun_ns,
        "stage_ns": row.stage_ns,
        "is_told": row.is_told,
    }
