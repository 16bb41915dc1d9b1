"""What operations do: reading in any thread, acting one after another in the operator's thread.

What waits for another process has a thread of its own, so that a HALT waits for none. Each action
is done once per request id, its effect is told, and who did it is written down with what was before
and after. Nothing here knows HTTP.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from engine.store.errors import ProjectionError
from engine.web.asked import memory_key, too_late, who_asks, words_of
from engine.web.bodies import (
    CancelBody,
    CommandBody,
    CostsBody,
    Effect,
    ExecuteBody,
    ExportQuery,
    FeatureHistoryQuery,
    FeatureQuery,
    FeedLineBody,
    GapsBody,
    Listing,
    NewestQuery,
    OnboardBody,
    OrderBody,
    OrderEffect,
    PageQuery,
    Problem,
    Rows,
    SearchQuery,
    TickBody,
)
from engine.web.panel import command_of, decided, state_of, wrong_state
from engine.web.reach import Reach
from engine.web.request_memory import Answered, RequestMemory
from engine.web.sessions import Caller

if TYPE_CHECKING:
    from engine.processes.commands import Outcome
    from engine.processes.operator import Looked
    from engine.store.control_audit import ControlAudit

CHECK: Final = "check_trade_signal"
ONBOARD: Final = "onboard"
NO_ORDER: Final = 400  # what was asked cannot be said exactly
TOO_LATE: Final = 412  # its caller gave up before it was carried out


Come = TypeVar("Come", Effect, OrderEffect)  # what an action came to


class Costed(NamedTuple):
    """What an order's execution cost, or why nobody knows."""

    good: bool
    found: str


class Answer(NamedTuple):
    """What an operation came to."""

    status: int
    document: Struct | dict[str, Any]
    text: str = ""  # instead of the document
    replayed: bool = False


OTHER_USE: Final = Answer(409, Problem(error="this request id was used for something else"))


class Desk:
    """Does what the table of operations names."""

    def __init__(self, reach: Reach) -> None:
        """Take the engine; what an earlier run of it answered is remembered."""
        self._reach = reach
        self._memory = RequestMemory()
        self._reads: dict[str, Callable[[Any], Answer]] = {
            "healthcheck": self._health,
            "system_status": lambda _: Answer(200, reach.source.status()),
            "positions": lambda _: Answer(200, Listing(rows=reach.source.positions())),
            "strategies": lambda _: Answer(200, Listing(rows=reach.source.strategies())),
            "orders": lambda _: Answer(200, Listing(rows=reach.source.orders())),
            "latency": lambda _: Answer(200, reach.source.latency()),
            "executions": lambda _: Answer(200, Listing(rows=reach.orders.executions())),
            "routes": lambda _: Answer(200, Listing(rows=reach.routes())),
            "ledger": self._ledger,
            "limits": lambda _: Answer(200, Listing(rows=reach.source.limits())),
            "modes": lambda _: Answer(200, Listing(rows=reach.commands.panel.modes())),
            "parts": lambda _: Answer(200, Listing(rows=reach.commands.panel.parts())),
            "held_intents": lambda _: Answer(200, Listing(rows=reach.commands.panel.held())),
            "onboarding": lambda _: Answer(200, Listing(rows=reach.onboarding.rows())),
            "search_journal": self._search,
            "fetch_audit_trail": partial(_trail, reach.audit),
            "fetch_access_trail": partial(_trail, reach.access_audit),
            "get_trade_journal": self._trade_journal,
            "export_data": self._export,
            "extract_features": self._newest_features,
            "get_historical_features": self._features,
        }
        for row in reach.audit.tail():
            self._learn(row)

    def read(self, name: str, asked: Struct) -> Answer:
        """Return what a reading operation finds."""
        return self._reads[name](asked)

    def looks(self, name: str, asked: CommandBody) -> bool:
        """Return whether an operation looks first; then `look`, beside the operator's thread."""
        if isinstance(asked, OnboardBody) or too_late(name, asked):
            return False
        return isinstance(asked, CostsBody) or self._reach.commands.looks(command_of(name, asked))

    def waits(self, asked: CommandBody) -> bool:
        """Return whether an operation waits for the feed or the exchange; then not the operator."""
        return isinstance(asked, FeedLineBody | GapsBody | TickBody)

    def look(self, name: str, asked: CommandBody, caller: Caller) -> Looked | Costed:
        """Return what an operation finds before it acts; takes seconds."""
        if isinstance(asked, CostsBody):
            status, found = self._reach.journals.costs(asked.order)
            return Costed(status == 200, found.get("text") or found["error"])
        return self._reach.commands.look(command_of(name, asked), who_asks(asked, caller))

    def act(
        self,
        name: str,
        asked: CommandBody,
        caller: Caller,
        source: str,
        looked: Looked | Costed | None = None,
    ) -> Answer:
        """Do what an acting operation names, once; each operation in one thread always.

        Args:
            name: of the operation.
            asked: its body.
            caller: who was admitted.
            source: the address the request came from.
            looked: what was found, for one that looks first.
        """
        words = words_of(name, asked)
        if asked.request_id is not None:
            known = self._memory.recall(caller.name, asked.request_id)
            if known is not None and known.asked == memory_key(words, asked.reason):
                return Answer(known.status, known.effect, replayed=True)
            if known is not None:
                return OTHER_USE
        wrong = wrong_state(asked)
        if wrong:
            return Answer(400, Problem(error=wrong))
        who = who_asks(asked, caller)
        before = self._state(asked)
        late = too_late(name, asked)
        if late:
            effect = Effect(
                effect=late,
                trading_state=self._reach.commands.state(),
                request_id=asked.request_id,
            )
            effect = self._write_down(words, who, caller, source, asked, before, TOO_LATE, effect)
            return Answer(TOO_LATE, effect)
        outcome = self._outcome(name, asked, who, looked)
        effect = Effect(
            effect=outcome.effect,
            trading_state=outcome.trading_state.name,
            request_id=asked.request_id,
            checks=[check._asdict() for check in outcome.checks],
        )
        status = 200 if outcome.accepted else 409
        effect = self._write_down(words, who, caller, source, asked, before, status, effect)
        if asked.request_id is not None:
            answered = Answered(memory_key(words, asked.reason), status, effect)
            self._memory.keep(caller.name, asked.request_id, answered)
        return Answer(status, effect)

    def order(self, name: str, asked: CommandBody, caller: Caller, source: str) -> Answer:
        """Send or cancel an order and write down who did; the orders' thread only."""
        who, orders, words = who_asks(asked, caller), self._reach.orders, words_of(name, asked)
        if asked.request_id is not None and name != CHECK:
            # The brain knows the requests of earlier runs, but not what they asked.
            known = self._memory.recall(caller.name, asked.request_id)
            if known is not None and known.asked != memory_key(words, asked.reason):
                return OTHER_USE
        before = self._reach.commands.state()
        late = too_late(name, asked)
        if late:
            refusal = OrderEffect(effect=late, trading_state=before, request_id=asked.request_id)
            refusal = self._write_down(words, who, caller, source, asked, before, TOO_LATE, refusal)
            return Answer(TOO_LATE, refusal)
        if isinstance(asked, CancelBody):
            told = orders.cancel(asked, who)
        elif isinstance(asked, ExecuteBody):
            told = orders.execute(asked, who)
        else:
            assert isinstance(asked, OrderBody), asked
            told = (orders.check if name == CHECK else orders.submit)(asked, who)
        effect = OrderEffect(
            effect=told.effect,
            trading_state=told.trading_state.name,
            request_id=asked.request_id,
            order=told.order,
            client_order_id=told.client_order_id,
            reasons=list(told.reasons),
        )
        effect = self._write_down(words, who, caller, source, asked, before, told.status, effect)
        found = effect if told.status != NO_ORDER else Problem(error=told.effect)
        return Answer(told.status, found, replayed=told.is_known)

    def refused(self, what: str, who: str, source: str, error: str) -> None:
        """Write an attempt down that was not admitted."""
        self._record({"who": who, "from": source, "what": what, "done": False, "effect": error})

    def noted(self, what: str, caller: Caller, source: str) -> None:
        """Write down that somebody came or went."""
        self._record(
            {"who": caller.name, "role": caller.role, "from": source, "what": what, "done": True}
        )

    def _outcome(
        self, name: str, asked: CommandBody, who: str, looked: Looked | Costed | None
    ) -> Outcome:
        commands, onboarding = self._reach.commands, self._reach.onboarding
        if isinstance(asked, OnboardBody):
            act = onboarding.onboard if name == ONBOARD else onboarding.offboard
            return act(asked.part, who, asked.reason)
        if isinstance(asked, TickBody):
            return self._reach.tick(asked)
        outcome = decided(commands.panel, self._reach.feed, name, asked, who)
        if outcome is not None:
            return outcome
        if not isinstance(looked, Costed):
            return commands.act(command_of(name, asked), who, asked.reason, looked)
        # Nothing is done to the engine: what was found goes into the audit trail.
        noted = commands.act("log_decision", who, asked.reason, None)
        return noted._replace(effect=looked.found, accepted=looked.good)

    def _state(self, asked: CommandBody) -> str:
        commands = self._reach.commands
        if isinstance(asked, OnboardBody):
            return self._reach.onboarding.stage(asked.part)
        return state_of(commands.panel, self._reach.feed, asked, commands.state())

    def _write_down(
        self,
        words: str,
        who: str,
        caller: Caller,
        source: str,
        asked: CommandBody,
        before: str,
        status: int,
        effect: Come,
    ) -> Come:
        unwritten = self._record(
            {
                "who": who,
                "caller": caller.name,
                "role": caller.role,
                "from": source,
                "what": words,
                "reason": asked.reason,
                "request_id": asked.request_id,
                "before": before,
                "after": self._state(asked),
                "status": status,
                "done": status == 200,
                "effect": effect.effect,
                "trading_state": effect.trading_state,
            }
        )
        if not unwritten:
            return effect
        return msgspec.structs.replace(effect, effect=f"{effect.effect}; {unwritten}")

    def _record(self, row: dict[str, Any]) -> str:
        """Write a row; return why it is not in the trail: what was done holds all the same."""
        try:
            self._reach.audit.record(row)
        except OSError as error:
            return f"not in the audit trail ({error.strerror})"
        return ""

    def _learn(self, row: dict[str, Any]) -> None:
        request_id, status = row.get("request_id"), row.get("status")
        if not isinstance(request_id, str) or not isinstance(status, int):
            return
        what = str(row.get("what", ""))
        if status in {NO_ORDER, TOO_LATE} or what.startswith(CHECK):
            return  # none of them uses an id up
        effect = Effect(
            effect=str(row.get("effect", "")),
            trading_state=str(row.get("trading_state", "")),
            request_id=request_id,
        )
        asked = memory_key(what, str(row.get("reason", "")))
        answered = Answered(asked, status, effect)
        self._memory.keep(str(row.get("caller", "")), request_id, answered)

    def _health(self, _asked: Struct) -> Answer:
        alive, document = self._reach.source.health()
        return Answer(200 if alive else 503, document)

    def _ledger(self, _asked: Struct) -> Answer:
        try:
            return Answer(200, self._reach.source.ledger())
        except ProjectionError as error:
            return Answer(503, {"error": str(error)})

    def _newest_features(self, asked: FeatureQuery) -> Answer:
        journals = self._reach.journals
        found = journals.features(asked.symbol, asked.timeframe_s, asked.names, "", -1, 0)
        return Answer(*found)

    def _features(self, asked: FeatureHistoryQuery) -> Answer:
        which = (asked.symbol, asked.timeframe_s, asked.names)
        page = (asked.session, asked.after, asked.limit)
        return Answer(*self._reach.journals.features(*which, *page))

    def _trade_journal(self, asked: NewestQuery) -> Answer:
        if asked.newest:
            session = asked.session or self._reach.session_id
            floor = self._reach.pages.fills_left_out(session, asked.newest)
            asked = msgspec.structs.replace(asked, after=max(asked.after, floor))
        return Answer(200, self._page("fills", asked))

    def _search(self, asked: SearchQuery) -> Answer:
        found = self._reach.pages.search(self._reach.session_id, asked.text, asked.limit)
        return Answer(200, Listing(rows=found))

    def _export(self, asked: ExportQuery) -> Answer:
        page = self._page(asked.table, asked)
        return Answer(200, page, text=_csv(page.rows) if asked.form == "csv" else "")

    def _page(self, table: str, asked: PageQuery) -> Rows:
        session = asked.session or self._reach.session_id
        rows = self._reach.pages.rows(table, session, asked.after, asked.limit)
        after = int(rows[-1]["sequence"]) if rows else asked.after
        return Rows(rows=rows, after=after, session=session)


def _trail(trail: ControlAudit, asked: NewestQuery) -> Answer:
    first = max(asked.after, trail.left_out(asked.newest)) if asked.newest else asked.after
    rows = trail.rows(first, asked.limit)
    after = int(rows[-1]["number"]) if rows else asked.after
    return Answer(200, Rows(rows=rows, after=after, session=""))


def _csv(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "\n"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
