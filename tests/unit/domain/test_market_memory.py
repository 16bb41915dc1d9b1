"""What the brain remembers of an instrument's bars fits into 64 KB for each timeframe."""

from collections.abc import Iterator

import numpy as np

from engine.processes.brain_ports import small_state

BYTES_MAX = 64 * 1_024
BY_INSTRUMENT = {"series_count", "atr_ticks", "atr_seed"}  # for all timeframes of one


def arrays(part: object, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(part, np.ndarray):
        yield name, part
    elif isinstance(part, tuple):
        for field, value in zip(getattr(part, "_fields", ()), part, strict=False):
            yield from arrays(value, field)


def test_an_instrument_and_timeframe_take_at_most_64_kilobytes() -> None:
    market = small_state()[0].market
    timeframes = market.feature_memory.shape[1]
    sizes = {
        name: array.nbytes / timeframes
        for name, array in arrays(market)
        if array.shape[:2] == (1, timeframes) or name in BY_INSTRUMENT
    }
    assert {"series", "coarse", "structure", "feature_memory", "bar_features", "closed"} <= set(
        sizes
    )
    assert sum(sizes.values()) <= BYTES_MAX, sizes
