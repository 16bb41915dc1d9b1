"""When a strategy or a symbol may go live, and when it has decayed: one rule on its own record.

        fell further than fall_ratio_max of an entry's notional   FAILS, at once
        fewer than trades_min closed positions                    WAITS
        mean result after costs above net_bps_min                 PASSES, else FAILS

The shadow record decides before it is live, the account's record after. Standard library and
msgspec only: main imports this.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from engine.config_onboard import OnboardConfig

BPS: Final = 10_000


class Verdict(StrEnum):
    """What a record says."""

    WAITS = "waits"
    PASSES = "passes"
    FAILS = "fails"


class Judgement(NamedTuple):
    """A verdict and its reason as a sentence."""

    verdict: Verdict
    why: str


class SessionRecord(Struct, frozen=True, kw_only=True):
    """What a part would have made in one session; money in quote currency."""

    trades: int = 0  # closed positions
    fills: int = 0
    traded: float = 0.0  # notional of all fills
    net: float = 0.0  # after costs
    peak: float = 0.0  # highest of `net`, from 0 on
    fall: float = 0.0  # furthest below that peak


class Evidence(NamedTuple):
    """A record that is judged; money in quote currency."""

    trades: int
    net: float
    fall: float
    size: float  # notional of an entry; 0: nothing was traded


def evidence_of(records: Iterable[SessionRecord]) -> Evidence:
    """Return sessions one after another as one record; `fall` is at least the true one."""
    trades, fills = 0, 0
    traded = net = peak = fall = 0.0
    for record in records:
        fall = max(fall, peak - net + record.fall)
        peak = max(peak, net + record.peak)
        trades, fills = trades + record.trades, fills + record.fills
        traded, net = traded + record.traded, net + record.net
    return Evidence(trades, net, fall, traded / fills if fills else 0.0)


def judge(found: Evidence, rules: OnboardConfig) -> Judgement:
    """Return what a record says under the rules."""
    if not found.trades or found.size <= 0.0:
        return Judgement(Verdict.WAITS, f"0 of {rules.trades_min} trades")
    fall_ratio = found.fall / found.size
    mean_bps = found.net / found.trades / found.size * BPS
    told = f"{found.trades} trades, {mean_bps:+.2f} bps each, fall {fall_ratio:.4f}"
    if fall_ratio > rules.fall_ratio_max:
        return Judgement(Verdict.FAILS, f"{told}: above {rules.fall_ratio_max:g}")
    if found.trades < rules.trades_min:
        return Judgement(Verdict.WAITS, f"{told}: {rules.trades_min} trades are asked")
    if mean_bps > rules.net_bps_min:
        return Judgement(Verdict.PASSES, told)
    return Judgement(Verdict.FAILS, f"{told}: not above {rules.net_bps_min:g} bps")
