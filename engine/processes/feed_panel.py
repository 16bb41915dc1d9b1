"""What an operator asks of the feed, for page, CLI and API alike (ADR 0034). Any thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from engine.processes.commands import Commands, Outcome
from engine.processes.feed_words import (
    ALL,
    Answered,
    FeedAnswer,
    FeedLine,
    FeedRequest,
    FeedWords,
)

SILENT: Final = "the feed did not answer in time, and is asked no longer"
SENTENCES: Final[Mapping[FeedAnswer, str]] = {
    FeedAnswer.NOTHING: "nothing was done: the feed has just begun; ask again",
    FeedAnswer.SWITCHING: "{number} plans go to their {line} lines; the others stay until those "
    "were good for half a minute",
    FeedAnswer.CARRIED: "the {line} lines carry already",
    FeedAnswer.NO_SECOND: "there are no second lines: sources.backup is off",
    FeedAnswer.BOTH: "both lines of each plan are open, and the first to deliver counts: "
    "sources.backup is always",
    FeedAnswer.WHOLE: "nothing is missing",
    FeedAnswer.INCIDENT: "incident {number} is open; sources.incidents of the status says what "
    "was healed",
    FeedAnswer.DOWN: "no connection carries it; what is missing is asked for when one does",
    FeedAnswer.BUSY: "not asked: incident {number} is still open",
    FeedAnswer.CROWDED: "asked, under no incident: too many are open",
    FeedAnswer.LOOKING: "the feed looks for {number} onboarded symbols",
    FeedAnswer.UNREADABLE: "the feed cannot read what is onboarded",
}
DONE: Final = frozenset(
    {
        FeedAnswer.SWITCHING,
        FeedAnswer.CARRIED,
        FeedAnswer.WHOLE,
        FeedAnswer.INCIDENT,
        FeedAnswer.CROWDED,
        FeedAnswer.LOOKING,
    }
)


class FeedPanel:
    """The feed of one engine, as far as it hears an operator."""

    def __init__(self, commands: Commands, symbols: Callable[[], Sequence[str]]) -> None:
        """Ask over the control segment of `commands`.

        Args:
            commands: know the trading state, which is in each answer.
            symbols: return the instruments, in the order of instrument_index.
        """
        self._commands = commands
        self._symbols = symbols
        self._words = FeedWords(commands.control)

    def carried_by(self) -> str:
        """Return which lines carry the plans: `first` or `second`."""
        return self._words.carried_by().name.lower()

    def switch(self, line: str) -> Outcome:
        """Have every plan carried by its lines of a name; the others stay until those deliver."""
        answered = self._words.ask(FeedRequest.CARRY_BY, FeedLine[line.upper()])
        return self._outcome(answered, line)

    def find_gaps(self, symbol: str) -> Outcome:
        """Look for what is missing of an instrument, or of all where none is named, and heal it."""
        symbols = list(self._symbols())
        if symbol and symbol not in symbols:
            return Outcome(f"no instrument {symbol!r}", False, self._commands.state())
        which = symbols.index(symbol) if symbol else ALL
        return self._outcome(self._words.ask(FeedRequest.FIND_GAPS, which))

    def follow_onboarded(self) -> Outcome:
        """Have the feed read again which symbols are onboarded: they come, those taken off go.

        Not accepted: it did not hear it, or cannot read it.
        """
        return self._outcome(self._words.ask(FeedRequest.FOLLOW_ONBOARDED, 0))

    def _outcome(self, answered: Answered | None, line: str = "") -> Outcome:
        state = self._commands.state()
        if answered is None:
            return Outcome(SILENT, False, state)
        sentence = SENTENCES[answered.answer].format(number=answered.number, line=line)
        return Outcome(sentence, answered.answer in DONE, state)
