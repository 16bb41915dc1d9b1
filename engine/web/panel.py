"""Commands with an object: a part's mode, a word on an entry that waits, a question to the feed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from engine.domain.codes import Mode
from engine.web.bodies import (
    CommandBody,
    FeedLineBody,
    GapsBody,
    HeldBody,
    ModuleBody,
    PartBody,
    TickBody,
)

if TYPE_CHECKING:
    from engine.processes.commands import Outcome

TRADING: Final = "trading"  # the module whose states are the engine's own
STATES: Final = {"live": "resume", "pause": "pause", "reduce": "reduce", "halt": "halt"}
APPROVE: Final = "approve_intent"
SAME_AS: Final = {"update_position": "reconcile"}


class ControlPanel(Protocol):
    """Modes of parts of the engine, and entries that wait for an operator's word."""

    def modes(self) -> list[dict[str, Any]]:
        """Return every part that is not live."""

    def parts(self) -> list[dict[str, Any]]:
        """Return every part there is, and its mode."""

    def mode(self, part: str) -> Mode:
        """Return the mode of a part."""

    def set_mode(self, part: str, word: str, who: str, reason: str) -> Outcome:
        """Give a part a mode."""

    def held(self) -> list[dict[str, Any]]:
        """Return the entries that wait."""

    def decide_held(self, number: int, who: str, reason: str, *, approve: bool) -> Outcome:
        """Say a word on one of them."""


class FeedControl(Protocol):
    """What the feed does for an operator."""

    def carried_by(self) -> str:
        """Return which lines carry market data: first or second."""

    def switch(self, line: str) -> Outcome:
        """Have it carried by the lines of a name."""

    def find_gaps(self, symbol: str) -> Outcome:
        """Look for what is missing of an instrument; empty: of all."""


def command_of(name: str, asked: CommandBody) -> str:
    """Return the command an operation stands for; empty: it is about no state of trading."""
    if isinstance(asked, ModuleBody):
        return STATES.get(asked.state, "") if asked.module == TRADING else ""
    if isinstance(asked, HeldBody | PartBody | FeedLineBody | GapsBody | TickBody):
        return ""
    return SAME_AS.get(name, name)


def wrong_state(asked: CommandBody) -> str:
    """Return why a state cannot be asked for; empty: it can."""
    if isinstance(asked, ModuleBody) and asked.module == TRADING and asked.state not in STATES:
        return f"{TRADING} has no state {asked.state!r}; it has {', '.join(STATES)}"
    return ""


def state_of(panel: ControlPanel, feed: FeedControl, asked: CommandBody, trading: str) -> str:
    """Return the state of what a command is about: a part's mode, lines, or that of trading."""
    if isinstance(asked, FeedLineBody):
        return feed.carried_by()
    if isinstance(asked, PartBody) or (isinstance(asked, ModuleBody) and asked.module != TRADING):
        return panel.mode(asked.module).name
    return trading


def decided(
    panel: ControlPanel, feed: FeedControl, name: str, asked: CommandBody, who: str
) -> Outcome | None:
    """Do what panel and feed do; None: the operation is none of theirs."""
    if isinstance(asked, FeedLineBody):
        return feed.switch(asked.line)
    if isinstance(asked, GapsBody):
        return feed.find_gaps(asked.symbol)
    if isinstance(asked, HeldBody):
        return panel.decide_held(asked.number, who, asked.reason, approve=name == APPROVE)
    if isinstance(asked, PartBody):
        return panel.set_mode(asked.module, Mode.SHADOW.name.lower(), who, asked.reason)
    if isinstance(asked, ModuleBody) and asked.module != TRADING:
        return panel.set_mode(asked.module, asked.state, who, asked.reason)
    return None
