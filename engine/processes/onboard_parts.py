"""What a person's word names for onboarding, whether this run has it, and why it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.config import Config
from engine.domain.strategy_table import StrategyError, StrategyKind, StrategyRow, select_rows
from engine.processes.strategy_rows import own_rows
from engine.symbols import UnknownSymbolError, resolve

SYMBOL_LENGTH_MAX: Final = 24
SCOPES: Final = ("strategy", "instrument")


class Parts:
    """Strategies and instruments of one run, by any word."""

    def __init__(
        self,
        config: Config,
        strategies: frozenset[str],
        instruments: Callable[[], list[dict[str, Any]]],
    ) -> None:
        """Take what this run has: names of strategies, instruments as in the status."""
        self._config = config
        self._strategies = strategies
        self._instruments = instruments

    def part(self, word: str) -> str:
        """Return the part a word names: `strategy:` or `instrument:` as written, else by name."""
        scope, colon, name = word.strip().partition(":")
        if colon and scope in SCOPES:
            return f"{scope}:{name}"
        if word in self._strategies or self._row(word) is not None:
            return f"strategy:{word}"
        try:
            return f"instrument:{resolve(word, self._config.venue.name).symbol}"
        except UnknownSymbolError:
            return f"instrument:{word.strip().upper()}"  # a practice exchange lists what it likes

    def refusal(self, part: str) -> str:
        """Return why a part cannot be onboarded; empty: it can."""
        scope, _, name = part.partition(":")
        if self._config.journal.market == "off":
            return "journal.market is off: there would be no record to judge"
        if scope == "instrument":
            plain = name.isascii() and name.replace("_", "").isalnum()
            return "" if plain and len(name) <= SYMBOL_LENGTH_MAX else f"no symbol {name!r}"
        row = self._row(name)
        if row is None:
            return f"no strategy {name!r}; `aegis strategies` lists them"
        if row.kind is StrategyKind.MAKING:
            return f"{name} makes a market: what that would have made cannot be played"
        return ""

    def can_be_played(self, part: str) -> bool:
        """Return whether a journal of this run says what a part would have made."""
        return part.startswith("strategy:") or self.is_here(part)

    def is_here(self, part: str) -> bool:
        """Return whether this run has a part."""
        scope, _, name = part.partition(":")
        if scope == "strategy":
            return name in self._strategies
        return any(row["symbol"] == name for row in self._instruments())

    def comes(self, part: str) -> str:
        """Return how a part that this run does not have will come."""
        if part.startswith("strategy:"):
            return "it comes with the next start"
        return "the feed is asked to bring it"

    def has_live_quotes(self, symbol: str) -> bool:
        """Return whether an instrument's quotes are live."""
        return any(
            row["symbol"] == symbol and row["liveness"]["QUOTE"] == "LIVE"
            for row in self._instruments()
        )

    def _row(self, name: str) -> StrategyRow | None:
        try:
            found = select_rows([name], own_rows(self._config))
        except StrategyError:
            return None
        return found[0] if len(found) == 1 and found[0].name == name else None
