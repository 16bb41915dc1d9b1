"""The default segments fit in 64 MB of /dev/shm, a container's usual share."""

from pathlib import Path

from engine.config import Config
from engine.processes import segments

DEFAULT_BYTES_MAX = 64_000_000


def test_default_segments_fit_in_64_mb() -> None:
    instance = "sizes-of-default"
    config = Config()
    parts = segments.create(instance, 1, config.instruments_max, Path("home"))
    try:
        rings = {kind: ring.segment.prefix.size_bytes for kind, ring in parts.rings.items()}
        assert sum(rings.values()) < parts.bytes_total < DEFAULT_BYTES_MAX, rings
        assert rings["market"] > segments.MARKET_SLOTS * 64
    finally:
        segments.remove(instance)
