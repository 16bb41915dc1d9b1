"""Paced load: every quote of a series is decided on once, whoever decides."""

import contextlib
from pathlib import Path

import pytest

from bench.decode import synthetic
from bench.paced_latency import QUOTES_LEAST, Child, Sender, Sent, Usual, late, quote_count
from bench.sides.paced_frames import template

CORE = 0


def test_a_slow_rate_still_has_a_sample() -> None:
    assert quote_count(10, 1.0) == QUOTES_LEAST
    assert quote_count(100_000, 1.5) == 150_000


def test_lateness_is_in_microseconds() -> None:
    sent = Sent(start_ns=0, gap_ns=1, p50=1_500.0, p99=2_000_000.0)
    assert late(sent) == {"sent late p50": 1.5, "sent late p99": 2_000.0}


def test_a_generated_market_has_quotes_to_pace() -> None:
    frames = [frame for _, (_, frame, _) in zip(range(40), synthetic(), strict=False)]
    assert sum(template(frame) is not None for frame in frames) == 30


def test_a_child_that_ends_early_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended with 1"):
        Child("paced_usual", "no port", CORE)


def test_the_usual_way_decides_on_every_quote_of_each_series(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        sender = Sender(held, CORE)
        for _ in range(2):  # a side of its own for each: the sender goes on counting
            with contextlib.closing(Usual(sender, CORE, tmp_path)) as side:
                for rate in (20_000, 40_000):
                    found = side.measure(rate, 200)
                    assert found["count"] == 200
                    assert 0 < found["p50"] <= found["p99"] <= found["max"]
