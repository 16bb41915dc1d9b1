"""A seeded market for when no tape is at hand: 1 to 500 instruments, endless, the same each time.

Symbols are known at once; the numerical part is loaded by `prepare`, so that the exchange listens
before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.events import Event
from exchange.instruments import Instrument, generated_specs, generated_yesterdays

if TYPE_CHECKING:
    from exchange.flow_events import FlowEvents

DEFAULT_RATE_PER_INSTRUMENT = 150.0  # messages per second
DEFAULT_RATE_MAX = 20_000.0


class Generator:
    """An endless event source."""

    def __init__(self, count: int, seed: int, rate: float | None = None) -> None:
        """Name `count` instruments; `rate` is messages per second over all of them."""
        self.specs, self._prices = generated_specs(count)
        self.marked: frozenset[int] = frozenset()
        self.yesterdays = generated_yesterdays(self.specs, self._prices, seed)
        default = min(DEFAULT_RATE_PER_INSTRUMENT * count, DEFAULT_RATE_MAX)
        self.rate = default if rate is None or rate <= 0 else rate
        self._seed = seed
        self._flow: FlowEvents | None = None
        self._instruments: list[Instrument] = []

    def prepare(self) -> None:
        """Load the flow model; calling it again does nothing."""
        self._prepared()

    def _prepared(self) -> FlowEvents:
        if self._flow is None:
            from exchange.flow_events import FlowEvents

            self._flow = FlowEvents(self.specs, self._prices, self._seed, self.rate)
            self._instruments = self._flow.instruments
        return self._flow

    def begin(self, start_ns: int) -> None:
        """Go to the first event, which is due at `start_ns`."""
        self._prepared().begin(start_ns)

    def begin_again(self, not_before_ns: int) -> int:
        """Refuse: a generated market has no end after which it could begin again."""
        raise AssertionError(f"a generated market does not end ({not_before_ns})")

    def next_batch(self) -> list[Event]:
        """Return the events of the next chunk; never empty."""
        return self._prepared().next_batch()

    def body_of(self, event: Event) -> bytes:
        """Return the payload of an event."""
        return self._instruments[event[1]].body(event)
