"""A seed is a plan: the same on every call, within its bounds, of kinds the exchange knows."""

from collections import Counter

import msgspec
import pytest

from bench.chaos.__main__ import seeds_of
from bench.chaos.plan import (
    CALM_FROM_MS,
    DISK_ACTS,
    ENDING_ACTS,
    ENDINGS_MAX,
    ORDER_NOTIONAL_MAX,
    OTHER_ACTS,
    VENUE_ACTS,
    plan_of,
    settings,
)
from engine.config import LimitsConfig
from exchange.fault_kinds import KINDS
from exchange.fault_orders import parse

SEEDS = range(400)
TABLE = {**VENUE_ACTS, **OTHER_ACTS, **ENDING_ACTS, **DISK_ACTS}


def test_a_seed_is_the_same_plan_every_time() -> None:
    assert [plan_of(seed) for seed in SEEDS] == [plan_of(seed) for seed in SEEDS]
    assert len({repr(plan_of(seed).acts) for seed in SEEDS}) == len(SEEDS)


def test_every_kind_of_act_is_drawn() -> None:
    drawn = Counter(act.kind for seed in SEEDS for act in plan_of(seed).acts)
    assert set(drawn) == set(TABLE)


def test_acts_are_in_order_and_within_their_bounds() -> None:
    for seed in SEEDS:
        plan = plan_of(seed)
        times = [act.at_ms for act in plan.acts]
        assert times == sorted(times)
        assert min(times) > 0
        assert max(times) <= CALM_FROM_MS
        assert sum(act.kind in ENDING_ACTS for act in plan.acts) <= ENDINGS_MAX
        assert any(act.kind in DISK_ACTS for act in plan.acts) == plan.small_disk


def test_the_exchange_understands_every_order_that_is_drawn() -> None:
    for seed in SEEDS:
        for act in plan_of(seed).acts:
            if act.kind in VENUE_ACTS:
                words = {k: v for k, v in act.words.items() if k != "lots"}
                parse(KINDS[words["kind"]].shape, words)


def test_a_plan_says_what_it_does_and_when() -> None:
    plan = plan_of(7)
    assert plan.described().count("@") == len(plan.acts)
    assert plan.acts[0].kind in plan.described()


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", [3]), ("3-5", [3, 4, 5]), ("9,3-4,9", [9, 3, 4, 9])]
)
def test_seeds_are_named_one_by_one_or_in_spans(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


def test_the_settings_are_an_engines_and_its_limits_are_near() -> None:
    tree = msgspec.toml.decode(settings())
    limits = msgspec.convert(tree["limits"], LimitsConfig)
    assert limits.max_order_notional == ORDER_NOTIONAL_MAX
    assert max(row["notional"] for row in tree["strategy"]) > 0.7 * ORDER_NOTIONAL_MAX
