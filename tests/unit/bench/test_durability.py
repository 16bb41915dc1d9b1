"""The bench of durability reads the engine's own histogram, and a disk that is there."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench import durability
from bench.chaos.plan import settings
from engine.config_journal import JournalConfig

SUMMARY = {"tick_to_order_us": {"p50": 90.0, "p99": 2_228.0, "p999": 1.0, "max": 4e3, "count": 41}}


def test_the_right_latency_is_read() -> None:
    found = durability._tick_to_order(SUMMARY)
    assert found == {"p50": 90.0, "p99": 2_228.0, "max": 4e3, "count": 41}


def test_an_engine_that_sent_nothing_is_no_measurement() -> None:
    nothing = {"tick_to_order_us": {"p50": 0.0, "p99": 0.0, "max": 0.0, "count": 0}}
    with pytest.raises(AssertionError, match="no order was sent"):
        durability._tick_to_order(nothing)


def test_a_sync_takes_time_and_its_quantiles_are_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "SYNCS", 5)
    found = durability.sync_cost(tmp_path)
    assert 0 < found["p50"] <= found["p99"] <= found["max"]
    assert (tmp_path / "synced").stat().st_size == 5 * durability.SYNC_BYTES


@pytest.mark.parametrize("level", ["ring", "disk"])
def test_the_settings_of_a_pass_are_an_engines(level: str) -> None:
    text = f'{settings()}\n[journal]\ndurability = "{level}"\n'
    tree: dict[str, Any] = msgspec.toml.decode(text)
    assert msgspec.convert(tree["journal"], JournalConfig).durability == level
