"""A tick from outside: printed by the practice exchange on its own market, or refused.

        API -> practice exchange -> its streams -> decoder, firewall -> ring -> brain's firewall

A trade that strategies act on must be one that happened where their orders go. The practice
exchange makes it happen: its resting orders, bars, ids and history have it, the feed hears of it as
of any trade, and a session that is run again reads it from the ring's journal. On somebody else's
market it would be a lie beside the venue's own quotes, so it is refused there, whatever the mode.
"""

from __future__ import annotations

from typing import Final

from engine.config import Config
from engine.processes.commands import Commands, Outcome
from engine.processes.practice import PracticeError, PracticeExchange
from engine.web.bodies import TickBody

ANSWER_S: Final = 0.5  # what is asked of the feed waits behind it
FOREIGN: Final = (
    "refused: this market is somebody else's, and no tick is mixed into its quotes; run against "
    "the practice exchange"
)


class Ticks:
    """The way in for ticks of one engine."""

    def __init__(self, config: Config, commands: Commands) -> None:
        """Print on the practice exchange of a run, if it has one."""
        self._commands = commands
        is_foreign = config.venue.third_party or config.venue.name != "practice"
        self._exchange = None if is_foreign else PracticeExchange(config.venue.rest_url)

    def submit(self, asked: TickBody) -> Outcome:
        """Have a trade printed; whether the feed takes it, both firewall layers say."""
        state = self._commands.state()
        if self._exchange is None:
            return Outcome(FOREIGN, False, state)
        body = {
            "symbol": asked.symbol,
            "side": asked.side.upper(),
            "price": asked.price,
            "quantity": asked.quantity,
        }
        try:
            self._exchange.fetch("/practice/tick", "POST", body, ANSWER_S)
        except PracticeError as error:
            return Outcome(f"not printed: {error.refusal or error}", False, state)
        return Outcome("printed by the practice exchange", True, state)
