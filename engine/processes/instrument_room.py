"""How many instruments a run may have: feed and brain lay their tables out by the same number."""

from __future__ import annotations

from typing import Final

from engine.config import Config

ONBOARDED_MAX: Final = 16  # symbols that may join named ones in a run; a row not used costs nothing


def row_capacity(config: Config, known: int) -> int:
    """Return how many instruments a run may have in the end; named ones leave room for onboarded.

    Args:
        config: of the run; the number does not depend on what has come since.
        known: instruments at the start.
    """
    named = len(config.instruments)
    room = min(named + ONBOARDED_MAX, config.instruments_max) if named else config.instruments_max
    return max(known, room)
