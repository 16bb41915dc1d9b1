"""Plans of `bench.chaos` that broke a law once, and a few of each sort: each must end in agreement.

A plan stands here as its acts, not as its seed: seeds mean something else when the tables grow.
What broke by the chance of its timing is kept by the smaller test that it became:

    14007  the next engine starts while a killed one's drains   crash/test_drain_at_exit.py
    16073  SIGSEGV of a thread's read after an end in order     unit/store/test_queries.py
    16117  a role that was dead before the stop has no name     unit/main/test_stop.py
    16168  a first fill counts as before the opening balance    processes/test_agreement_since.py
    20147  a stop while a killed role was not back              the bench, which waits
    20197  an order promised after the accounts were written    unit/exchange/test_ledger_file.py
    20253  a fill stamped back counts as before the opening     processes/test_agreement_since.py
    22026  orders of a session that a full disk kept unwritten  processes/test_brain_start.py
    24501  funding, the clock of a fast market set back         unit/domain/test_stamps.py
"""

from __future__ import annotations

import pytest

from bench.chaos.plan import ALGO_PATH, ORDER_PATH, Act, Plan
from bench.chaos.stage import perform

pytestmark = pytest.mark.slow  # whole engines

ACCOUNT = "practice"
LOST = {"kind": "rest", "path": ORDER_PATH, "method": "POST", "status": -1, "count": 2}
SLOW = {"kind": "rest", "path": ORDER_PATH, "method": "POST", "count": 8, "delay_ms": 300}
PLANS: dict[str, tuple[Act, ...]] = {
    # The lent connection was cut while another request wanted it: the executor died of it.
    "requests cut under a lent connection": (
        Act(300, "refused_429", {"kind": "http_status", "status": 429, "retry_after_s": 1}),
        Act(600, "ack_lost_executed", {**LOST, "execute": True}),
        Act(1_700, "requests_cut", {"kind": "disconnect", "category": "rest"}),
        Act(1_900, "requests_cut", {"kind": "disconnect", "category": "rest"}),
    ),
    # Cross margin names no instrument: funding was taken over as an adjustment, never booked.
    "funding is booked as funding": (
        Act(500, "position_by_hand", {"lots": 30, "symbol": 0}),
        Act(1_300, "funding", {"kind": "funding", "account": ACCOUNT, "rate_ppm": 2_500}),
        Act(1_800, "kill_all", {}),
    ),
    # Told while orders were filled: the picture was thrown away, and the payment with it.
    "funding while the account does not hold still": (
        Act(170, "clock_off", {"kind": "clock_skew", "offset_ms": -2_500, "duration_ms": 760}),
        Act(280, "requests_cut", {"kind": "disconnect", "category": "rest"}),
        Act(290, "funding", {"kind": "funding", "account": ACCOUNT, "rate_ppm": 2_500}),
    ),
    # An order of somebody else's that only its fills told of kept no status.
    "a trade by hand while nobody listens": (
        Act(400, "stream_silent", {"kind": "silent", "account": ACCOUNT, "duration_ms": 900}),
        Act(600, "trade_by_hand", {"kind": "manual_trade", "account": ACCOUNT}),
        Act(700, "liquidation", {"kind": "liquidation", "account": ACCOUNT}),
        Act(800, "deleveraging", {"kind": "deleveraging", "account": ACCOUNT}),
        Act(1_000, "kill_role", {"role": "brain"}),
    ),
    "partial fill, then the user stream dies": (
        Act(300, "partial_fill_then_cut", {"kind": "partial_fill", "cut": True}),
        Act(900, "events_doubled", {"kind": "duplicate", "account": ACCOUNT, "copies": 3}),
        Act(1_200, "exchange_restart", {"away_ms": 200}),
    ),
    # The next engine could not write its session's document; the law of journals stopped there.
    "a full disk when the next engine starts": (
        Act(325, "sigterm", {}),
        Act(681, "disk_full", {"for_ms": 443}),
        Act(1_872, "ack_lost_not_executed", {**LOST, "execute": False}),
        Act(1_916, "kill_role", {"role": "orchestrator"}),
    ),
    # What came after it was stamped before the opening balance: the books left it out.
    "the venue's clock set back, then a hand at the account": (
        Act(400, "clock_jump", {"kind": "time_offset", "offset_ms": -4_000}),
        Act(900, "position_by_hand", {"lots": 30, "symbol": 0}),
    ),
    "the venue's clock set back, then funding": (
        Act(300, "position_by_hand", {"lots": 30, "symbol": 0}),
        Act(800, "clock_jump", {"kind": "time_offset", "offset_ms": -20_000}),
        Act(850, "funding", {"kind": "funding", "account": ACCOUNT, "rate_ppm": 2_500}),
        Act(1_200, "kill_role", {"role": "brain"}),
    ),
    # Fills were asked for by time, a minute back: one of that moment was taken over as a position.
    "a hand at the account while the venue's clock is set back for a moment": (
        Act(1_500, "events_dropped", {"kind": "drop", "account": ACCOUNT, "duration_ms": 400}),
        Act(1_520, "clock_jump", {"kind": "time_offset", "offset_ms": -600_000}),
        Act(1_530, "trade_by_hand", {"kind": "manual_trade", "account": ACCOUNT}),
        Act(1_540, "clock_jump", {"kind": "time_offset", "offset_ms": 600_000}),
    ),
    "this machine's clock set back and forward over kills amid orders": (
        Act(300, "machine_clock", {"offset_s": -7_200.0}),
        Act(500, "kill_amid_orders", {**SLOW, "role": "brain", "orders": 2}),
        Act(900, "machine_clock", {"offset_s": 86_400.0}),
        Act(1_300, "kill_amid_orders", {**SLOW, "role": "main", "orders": 1}),
    ),
    "guards that trail, their answers lost, over kills": (
        Act(300, "ack_lost_executed", {**LOST, "path": ALGO_PATH, "execute": True}),
        Act(700, "kill_all", {}),
        Act(1_100, "ack_lost_not_executed", {**LOST, "path": ALGO_PATH, "execute": False}),
        Act(1_500, "kill_role", {"role": "brain"}),
        Act(1_900, "trade_by_hand", {"kind": "manual_trade", "account": ACCOUNT}),
    ),
    "a full disk, and an end while it is full": (
        Act(500, "disk_full", {"for_ms": 800}),
        Act(900, "kill_role", {"role": "main"}),
    ),
}


# Of each sort one: answers lost, the account changed by others, streams that lie, kill -9.
SHORT_SET = frozenset(
    {
        "requests cut under a lent connection",
        "funding is booked as funding",
        "a trade by hand while nobody listens",
        "partial fill, then the user stream dies",
    }
)
assert PLANS.keys() >= SHORT_SET


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.sampled] if name in SHORT_SET else [])
        for name in PLANS
    ],
)
def test_a_plan_ends_in_agreement(name: str) -> None:
    acts = PLANS[name]
    number = 900_000 + list(PLANS).index(name)
    small_disk = any(act.kind == "disk_full" for act in acts)
    guarded, trailing = "guard" in name, "trail" in name
    plan = Plan(number, 2, 1, False, small_disk, guarded, trailing, acts)
    broken, told = perform(plan)
    assert broken == []
    assert told["lives"] >= 1
    assert told["sent"] > 0, "what trades nothing agrees with everything"
