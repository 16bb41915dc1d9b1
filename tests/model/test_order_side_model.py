"""The order side against a plain venue: whatever happens on the wire, ours becomes the venue's.

The machine, the venue and what must hold are in `tests.order_side_machine` and `tests.venue_model`.
"""

import pytest
from hypothesis import settings

from engine.domain.words import Tally
from tests.order_side_machine import OrderSide, drive

TestOrderSide = OrderSide.TestCase
TestOrderSide.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("seed", range(16))
def test_a_long_bad_session_ends_where_the_venue_is(seed: int) -> None:
    machine = drive(seed, 250)
    assert machine.rig.tally(Tally.REPORTS) > 0


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 10_400, 20))
def test_many_long_bad_sessions_end_where_the_venue_is(first: int) -> None:
    for seed in range(first, first + 20):
        drive(seed, 250)
