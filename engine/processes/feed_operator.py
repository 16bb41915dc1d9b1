"""What an operator asks of the feed: to carry by other lines, to look for gaps or newcomers (0034).

        carry by the second -> it is wanted, the first stays until it was good for long enough
        find gaps           -> holes in trade ids, histories of who is quiet, bars that closed
                               -> an incident, which is over when all of it was asked for
        follow onboarded    -> the file is read, and the venue's list soon (ADR 0041)

A trade that is missing shows as a hole in the ids as soon as a later one comes, and is healed
without being asked for. What nobody can see is the end: an instrument that was quiet for QUIET_NS
has its history asked for what follows its last trade.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from engine.domain.codes import Channel
from engine.processes.control import ControlSegment
from engine.processes.feed_backfill import TRADES_STREAM
from engine.processes.feed_faults import FeedFault, FeedFaults
from engine.processes.feed_supply import Supply
from engine.processes.feed_words import (
    ALL,
    Answered,
    Asked,
    FeedAnswer,
    FeedLine,
    FeedRequest,
    FeedRequests,
)
from engine.venues.binance.routing import Subscription

QUIET_NS: Final = 1_000_000_000
HISTORIES_MAX: Final = 25  # of one request: half of the share of weight that a minute begins with
BARS_MAX: Final = 100
SOURCE: Final = "operator"


class FeedOperator:
    """Answers requests of one feed; `step` is called every cycle."""

    def __init__(
        self,
        control: ControlSegment,
        supply: Supply,
        faults: FeedFaults,
        follow_onboarded: Callable[[], int],
    ) -> None:
        """Read requests from `control`, do them on `supply`, tell `faults`; all are the caller's.

        What a feed before this one was asked is not done again: this one begins with first lines,
        and with what is onboarded by then. `follow_onboarded` returns how many symbols that are,
        negative: nobody knows.
        """
        self._follow_onboarded = follow_onboarded
        self._requests = FeedRequests(control)
        self._supply = supply
        self._core = supply.core
        self._symbols = supply.symbols
        self._faults = faults
        self._requests.carried_by(FeedLine.FIRST)
        follow_onboarded()

    def step(self, now_ns: int) -> None:
        """Do what is asked, if anything is."""
        asked = self._requests.take()
        if asked is not None:
            self._requests.done(self._do(asked, now_ns))

    def _do(self, asked: Asked, now_ns: int) -> Answered:
        if asked.request == FeedRequest.CARRY_BY and asked.argument <= FeedLine.SECOND:
            return self._carry_by(FeedLine(asked.argument), now_ns)
        is_known = asked.argument == ALL or asked.argument < len(self._symbols)
        if asked.request == FeedRequest.FIND_GAPS and is_known:
            return self._find_gaps(asked.argument, now_ns)
        if asked.request == FeedRequest.FOLLOW_ONBOARDED:
            count = self._follow_onboarded()
            answer = FeedAnswer.LOOKING if count >= 0 else FeedAnswer.UNREADABLE
            return Answered(answer, max(count, 0))
        return Answered(FeedAnswer.NOTHING, 0)

    def _carry_by(self, line: FeedLine, now_ns: int) -> Answered:
        sources = self._supply.sources
        if sources.second_lines != "demand":
            is_off = sources.second_lines == "off"
            none = FeedAnswer.NO_SECOND if is_off else FeedAnswer.BOTH
            return Answered(none, 0)
        if sources.carried_by == line:
            return Answered(FeedAnswer.CARRIED, 0)
        sources.carry_by(line, now_ns)
        self._requests.carried_by(line)
        text = f"{len(sources.plans)} plans to {line.name.lower()} lines"
        self._faults.tell(FeedFault.LINES_SWITCHED, text)
        return Answered(FeedAnswer.SWITCHING, len(sources.plans))

    # ---- gaps

    def _find_gaps(self, which: int, now_ns: int) -> Answered:
        incidents, backfill = self._supply.incidents, self._supply.backfill
        still_open = incidents.open_number(SOURCE)
        if still_open:
            return Answered(FeedAnswer.BUSY, still_open)
        rows = self._carried(which)
        if not rows:
            return Answered(FeedAnswer.DOWN, 0)
        holes = sum(which in {ALL, hole[0]} for hole in self._core.holes())
        quiet = self._quiet(rows, now_ns)
        bars = self._ask_bars(rows, now_ns)
        if not holes and not quiet and not bars:
            return Answered(FeedAnswer.WHOLE, 0)
        backfill.ask_after_last(quiet[:HISTORIES_MAX])
        left_out = f", {len(quiet) - HISTORIES_MAX} left out" if len(quiet) > HISTORIES_MAX else ""
        name = "all" if which == ALL else self._symbols[which]
        reason = f"{holes} holes, {min(len(quiet), HISTORIES_MAX)} histories, {bars} bars{left_out}"
        until = backfill.asked_count
        number = incidents.open(
            SOURCE, f"gaps of {name}", reason, lambda: backfill.done_count >= until, now_ns
        )
        return Answered(FeedAnswer.INCIDENT if number else FeedAnswer.CROWDED, number)

    def _carried(self, which: int) -> list[Subscription]:
        """Return the streams of one instrument, or of all, that a connection carries."""
        return [
            row
            for sources in self._supply.sources.plans
            if sources.is_up
            for row in sources.plan.subscriptions
            if which in {ALL, row.instrument_index}
        ]

    def _quiet(self, rows: Sequence[Subscription], now_ns: int) -> list[int]:
        """Return the instruments whose newest trades may be missing, the longest quiet first."""
        found = []
        for row in rows:
            index = row.instrument_index
            spoke_ns = self._core.channel(index, Channel.TRADE)[2]
            if not row.stream.endswith(TRADES_STREAM) or self._core.last_trade(index) < 0:
                continue
            if now_ns - spoke_ns > QUIET_NS:
                found.append((spoke_ns, index))
        return [index for _, index in sorted(found)]

    def _ask_bars(self, rows: Sequence[Subscription], now_ns: int) -> int:
        """Ask for bars that closed since their channel last spoke; return for how many."""
        asked = 0
        for row in rows:
            spoke_ns = self._core.channel(row.instrument_index, Channel.BAR)[2]
            if row.channel is Channel.BAR and spoke_ns > 0 and asked < BARS_MAX:
                asked += self._supply.ask_bars(spoke_ns, [row], now_ns)
        return asked
