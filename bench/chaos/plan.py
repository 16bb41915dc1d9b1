"""What happens in a run: everything is drawn from its seed, before anything starts.

The same seed is the same plan on every machine. When each act meets the engine is a matter of
scheduling, which no seed rules: a failing seed is run again several times before it is believed to
be mended.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

CALM_FROM_MS: Final = 2_300  # no act begins later
AFTERMATH_MS: Final = 300  # trading goes on after the last act, so that orders meet it
ACTS: Final = (2, 5)  # fewest and most in one run
ENDINGS_MAX: Final = 2  # acts after which an engine must start again
ORDER_PATH: Final = "/fapi/v1/order"
ALGO_PATH: Final = "/fapi/v1/algoOrder"
GUARDED_SHARE: Final = 0.35  # of plans whose positions have stop and target at the venue
TRAILING_SHARE: Final = 0.34  # of those: with a stop that trails there, too
FETCHED: Final = (
    "/fapi/v1/userTrades",
    "/fapi/v3/positionRisk",
    "/fapi/v1/openOrders",
    "/fapi/v1/openAlgoOrders",
)
ORDER_NOTIONAL_MAX: Final = 260.0  # quote currency; as `settings` writes it
POSITION_NOTIONAL_MAX: Final = 800.0
TIMEOUT_MS: Final = 400  # order_timeout_ms
GUARDED_BARS: Final = "tick:5"  # short, so that the ATR behind stop and target is known soon

Words = dict[str, Any]
Draw = Callable[[random.Random], Words]


class Act(NamedTuple):
    """One thing that is done to the exchange or to the engine."""

    at_ms: int  # after the first READY
    kind: str
    words: Words


class Plan(NamedTuple):
    """One run."""

    seed: int
    instruments: int
    speed: int
    restart_in_place: bool
    small_disk: bool
    guarded: bool  # stop and target rest at the venue
    trailing: bool  # and a stop that trails
    acts: tuple[Act, ...]

    @property
    def end_ms(self) -> int:
        """Return when the last act has had its effect, after the first READY."""
        ends = (act.at_ms + int(act.words.get("duration_ms", 0)) for act in self.acts)
        return max(ends, default=0) + AFTERMATH_MS

    def described(self) -> str:
        """Return the acts in one line."""
        return ", ".join(f"{act.kind}@{act.at_ms}" for act in self.acts)

    def lines(self) -> list[str]:
        """Return the whole plan, an act a line."""
        first = ", ".join(f"{k} {v}" for k, v in self._asdict().items() if k != "acts")
        return [first, *(f"{act.at_ms:6} ms  {act.kind:24} {act.words}" for act in self.acts)]


def _orders(rng: random.Random, **more: object) -> Words:
    count, path = rng.randint(1, 4), rng.choice((ORDER_PATH, ORDER_PATH, ALGO_PATH))
    return {"kind": "rest", "path": path, "method": "POST", "count": count, **more}


def _unknown(rng: random.Random) -> Words:
    body = {"code": -1007, "msg": "Timeout waiting for response from backend server."}
    return _orders(rng, status=503, body=body, execute=rng.random() < 0.5)


def _user(rng: random.Random, kind: str, **more: object) -> Words:
    span_ms = rng.randint(100, 900)
    return {"kind": kind, "account": "practice", "duration_ms": span_ms, **more}


# Orders to the exchange. `lost`: the connection dies without an answer.
VENUE_ACTS: Final[dict[str, Draw]] = {
    "ack_lost_executed": lambda r: _orders(r, status=-1, execute=True),
    "ack_lost_not_executed": lambda r: _orders(r, status=-1, execute=False),
    "slow_ack_after_fill": lambda r: _orders(r, delay_ms=r.randint(TIMEOUT_MS // 2, 1_200)),
    "half_ack": lambda r: _orders(r, half=True),
    "unknown_503": _unknown,
    "refused_429": lambda r: {
        "kind": "http_status", "status": 429, "retry_after_s": 1, "count": r.randint(1, 3),
        "path": r.choice(("*", ORDER_PATH)),
    },
    "banned_418": lambda r: {
        "kind": "http_status", "status": 418, "retry_after_s": 1, "count": r.randint(1, 2),
    },
    "clock_off": lambda r: {
        "kind": "clock_skew", "offset_ms": r.choice((-8_000, -2_500, 2_500, 8_000)),
        "duration_ms": r.randint(200, 900), "hidden": r.random() < 0.3,
    },
    "clock_jump": lambda r: {
        "kind": "time_offset", "offset_ms": r.choice((700, 4_000, -4_000, -60_000)),
    },
    "events_doubled": lambda r: _user(r, "duplicate", copies=r.randint(1, 4)),
    "events_reordered": lambda r: _user(r, "reorder", span=r.randint(1, 6)),
    "events_replayed": lambda r: _user(r, "replayed", span=r.randint(2, 30)),
    "events_late": lambda r: _user(r, "burst", span=r.randint(2, 40)),
    "events_dropped": lambda r: _user(r, "drop", share=r.choice((0.3, 1.0))),
    "stream_silent": lambda r: _user(r, "silent"),
    "listen_key_expired": lambda _r: {"kind": "listen_key_expired", "account": "practice"},
    "user_stream_cut": lambda _r: {"kind": "disconnect", "category": "private"},
    "all_cut": lambda _r: {"kind": "disconnect"},
    "requests_cut": lambda _r: {"kind": "disconnect", "category": "rest"},
    "nobody_listens": lambda r: {"kind": "refuse_connections", "duration_ms": r.randint(100, 900)},
    "half_fetch": lambda r: {
        "kind": "half_answer", "count": r.randint(1, 3),
        "path": r.choice(FETCHED),
    },
    "fetch_unknown": lambda r: {
        "kind": "rest", "status": 503, "execute": False, "count": r.randint(1, 4), "method": "GET",
    },
    "partial_fills": lambda r: {
        "kind": "partial_fill", "share": r.choice((0.1, 0.5)), "count": r.randint(1, 4),
    },
    "partial_fill_then_cut": lambda _r: {"kind": "partial_fill", "cut": True},
    "funding": lambda r: {
        "kind": "funding", "account": "practice", "rate_ppm": r.choice((-300, 100, 2_500)),
    },
    "liquidation": lambda _r: {"kind": "liquidation", "account": "practice"},
    "deleveraging": lambda _r: {"kind": "deleveraging", "account": "practice"},
    "trade_by_hand": lambda r: {
        "kind": "manual_trade", "account": "practice",
    } | ({} if r.random() < 0.5 else {"side": r.choice(("BUY", "SELL")), "lots": r.randint(1, 40)}),
}  # fmt: skip
# What is done beside the venue's protocol: by `stage`.
OTHER_ACTS: Final[dict[str, Draw]] = {
    "position_by_hand": lambda r: {"lots": r.choice((-40, -7, 5, 30)), "symbol": r.randint(0, 9)},
    "deposit": lambda r: {"amount": r.choice(("125.5", "-30.25", "0.00000001"))},
    "exchange_restart": lambda r: {"away_ms": r.randint(50, 700)},
    "database_locked": lambda r: {"for_ms": r.randint(200, 1_200)},
    "hang": lambda r: {"role": r.choice(("brain", "orchestrator", "feed")), "for_ms": 700},
    "machine_clock": lambda r: {"offset_s": r.choice((-7_200.0, -5.0, 0.7, 90.0, 86_400.0))},
}
ENDING_ACTS: Final[dict[str, Draw]] = {
    "kill_role": lambda r: {"role": r.choice(("feed", "brain", "orchestrator", "main"))},
    "kill_all": lambda _r: {},
    "kill_starting": lambda r: {"after_ms": r.randint(50, 1_500)},
    "kill_amid_orders": lambda r: {
        "role": r.choice(("brain", "main")), "orders": r.randint(1, 3),
        "kind": "rest", "path": ORDER_PATH, "method": "POST", "count": 8,
        "delay_ms": r.randint(50, TIMEOUT_MS),
    },
    "sigterm": lambda _r: {},
}  # fmt: skip
DISK_ACTS: Final[dict[str, Draw]] = {"disk_full": lambda r: {"for_ms": r.randint(300, 900)}}


def plan_of(seed: int) -> Plan:
    """Return the plan of a seed."""
    rng = random.Random(seed)
    small_disk = rng.random() < 0.08
    kinds = [rng.choice(list(VENUE_ACTS)) for _ in range(rng.randint(*ACTS))]
    if rng.random() < 0.45:
        kinds.append(rng.choice(list(OTHER_ACTS)))
    kinds += rng.sample(list(ENDING_ACTS), rng.choice((0, 1, 1, ENDINGS_MAX)))
    if small_disk:
        kinds.append("disk_full")
    table = {**VENUE_ACTS, **OTHER_ACTS, **ENDING_ACTS, **DISK_ACTS}
    acts = [Act(rng.randint(50, CALM_FROM_MS), kind, table[kind](rng)) for kind in kinds]
    return Plan(
        seed=seed,
        instruments=rng.randint(1, 4),
        speed=rng.choice((1, 2)),
        restart_in_place=rng.random() < 0.2,
        small_disk=small_disk,
        guarded=(guarded := rng.random() < GUARDED_SHARE),
        trailing=guarded and rng.random() < TRAILING_SHARE,
        acts=tuple(sorted(acts, key=lambda act: act.at_ms)),
    )


def settings(*, guarded: bool = False, trailing: bool = False) -> str:
    """Return the engine's settings: strategies that trade all the time, limits that are near."""
    return f"""
order_timeout_ms = {TIMEOUT_MS}
reconcile_interval_s = 1
drain_budget_s = 60
heartbeat_timeout_ms = 30000
idle = "sleep"
strategies = ["{"guarded" if guarded else "churn_market"}", "churn_limit"]
[limits]
max_entries_per_day = 100000
max_order_notional = {ORDER_NOTIONAL_MAX}
max_position_notional = {POSITION_NOTIONAL_MAX}
decision_latency_ms = 2000
max_consecutive_failures = 60
max_daily_loss_ratio = 0.5
max_drawdown_ratio = 0.5
[[strategy]]
name = "churn_market"
kind = "quote_imbalance"
notional = 200.0
[strategy.parameters]
threshold = 0.3
max_hold_s = 0.5
[[strategy]]
name = "churn_limit"
kind = "quote_imbalance"
notional = 150.0
[strategy.parameters]
threshold = 0.4
limit_slip_ticks = 0.0
[[strategy]]
name = "guarded"
kind = "quote_imbalance"
notional = 180.0
bars = "{GUARDED_BARS}"
[strategy.parameters]
threshold = 0.3
min_hold_s = 0.6
max_hold_s = 1.5
stop_atr = 2.0
take_atr = 2.0
trail_atr = {1.0 if trailing else 0.0}
venue_bracket = 1.0
"""
