"""The bench of durability reads the engine's own histogram, and a disk that is there."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from bench import durability
from bench.chaos.lives import Life
from bench.chaos.plan import settings
from engine.config import JournalConfig

METRICS = """
aegis_decision_to_order_seconds{role="brain",quantile="0.5"} 1.5e-05
aegis_decision_to_order_seconds{role="brain",quantile="0.99"} 0.0002
aegis_decision_to_order_seconds_count{role="brain"} 41
aegis_tick_to_order_seconds{role="brain",quantile="0.5"} 9
"""


def life_of(text: str) -> Life:
    return cast("Life", SimpleNamespace(metrics=lambda: text))


def test_the_right_histogram_is_read_in_microseconds() -> None:
    found = durability._decision_to_order(life_of(METRICS))
    assert found == pytest.approx({"p50": 15.0, "p99": 200.0, "count": 41.0})


def test_an_engine_that_says_nothing_is_no_measurement() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        durability._decision_to_order(life_of(""))


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
