"""Feature vectors and a plan for tests that compute none."""

import numpy as np

from engine.domain.features.catalogue import plan_word
from engine.domain.records import VECTOR_DTYPE
from engine.processes.feature_files import Plan

PLAN = Plan("ab" * 32, plan_word("ab" * 32), ("returns.change_1", "micro.spread_bps", "trend.adx"))
DAY_NS = 86_400_000_000_000


def random_vectors(count: int, seed: int, first_sequence: int = 0) -> np.ndarray:
    """Return vectors of random bits: of two instruments, two bar lengths, three days."""
    chance = np.random.default_rng(seed)
    made = np.zeros(count, dtype=VECTOR_DTYPE)
    made["sequence"] = np.arange(first_sequence, first_sequence + count) + 1
    made["instrument_index"] = chance.integers(0, 2, count)
    made["timeframe_s"] = chance.choice([1, 60], count)
    made["number"] = chance.integers(0, 10_000, count)
    made["plan"] = PLAN.word
    made["start_ns"] = 20_000 * DAY_NS + chance.integers(0, 3 * DAY_NS, count)
    for name in ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots"):
        made[name] = chance.integers(-(2**62), 2**62, count)
    made["value_count"] = len(PLAN.names)
    bits = chance.integers(0, 2**64, (count, len(PLAN.names)), dtype=np.uint64)
    bits[chance.random(bits.shape) < 0.2] |= np.uint64(0x7FF8 << 48)  # NaN, of any payload
    made["values"][:, : len(PLAN.names)] = bits.view(np.float64)
    return made
