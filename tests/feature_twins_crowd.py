"""Slow twins of features of the crowd and of other instruments; see `feature_twins`.

Decayed means are written as sums with weights over everything before, not bar by bar.
"""

import math
from collections.abc import Callable

import numpy as np

from tests.feature_twins import NAN, Outputs, Seen, over

FUNDING, BASIS, BOUGHT, SOLD, OPEN_INTEREST, NEWS, LEADER, BREADTH = range(8)
CONTEXT = {FUNDING: 0, BASIS: 1, BOUGHT: 3, SOLD: 4, OPEN_INTEREST: 5}
CONTEXT |= {NEWS: 6, LEADER: 7, BREADTH: 8}


def word(seen: Seen, name: int) -> np.ndarray:
    """One word of the context, as far as it is known."""
    return seen.context[:, CONTEXT[name]]


def weights(count: int, span: int) -> np.ndarray:
    """What each of `count` values weighs in their decayed mean, oldest first.

    The newest weighs 2 / (span + 1), but at least its share of all.
    """
    found = np.zeros(count)
    for k in range(count):
        weight = max(2 / (span + 1), 1 / (k + 1))
        found[:k] *= 1 - weight
        found[k] = weight
    return found


def decayed_mean(values: np.ndarray, span: int) -> float:
    """Mean of values, the newest weighing most."""
    return float(np.dot(weights(len(values), span), values))


def extreme(values: np.ndarray, span: int) -> float:
    """The newest in standard deviations of all before it, from their decayed mean."""
    before = np.array(values[:-1])
    if len(before) < span or not np.ptp(before):
        return NAN
    share = weights(len(before), span)
    mean = np.dot(share, before)
    variance = np.dot(share, (before - mean) ** 2)
    return float((values[-1] - mean) / math.sqrt(variance))


def liquidation_extreme(seen: Seen, span: int) -> float:
    """Of what was closed in each bar but the first."""
    forced = np.diff(word(seen, BOUGHT) + word(seen, SOLD))
    return extreme(forced, span) if len(forced) else NAN


def open_interest(seen: Seen, span: int) -> Outputs:
    """Change, and its extreme."""
    lots = word(seen, OPEN_INTEREST)
    changes = (lots[1:] / lots[:-1] - 1) * 1e4
    return (float(changes[-1]), extreme(changes, span)) if len(changes) else (NAN, NAN)


def greed(seen: Seen, bars: int, span: int) -> float:
    """Mean of three parts."""
    if seen.count < bars:
        return NAN
    low, high = seen.low[-bars:].min(), seen.high[-bars:].max()
    place = over(2 * seen.close[-1] - low - high, high - low)
    volume, bought = seen.volume[-bars:].sum(), seen.bought[-bars:].sum()
    funding = float(np.clip(extreme(word(seen, FUNDING), span) / 3, -1, 1))
    return (place + over(2 * bought - volume, volume) + funding) / 3


def leader(seen: Seen, span: int) -> Outputs:
    """Moments about zero of our returns and the leader's."""
    own = seen.returns
    led = word(seen, LEADER)[1:] / word(seen, LEADER)[:-1] - 1
    if len(own) <= span:
        return (NAN,) * 5
    ours, theirs = decayed_mean(own**2, span), decayed_mean(led**2, span)
    root = math.sqrt(ours * theirs)
    beta = decayed_mean(own * led, span) / theirs
    earlier = decayed_mean((own * led)[:-1], span) / decayed_mean(led[:-1] ** 2, span)
    leads = decayed_mean(own * np.append(0, led[:-1]), span)
    follows = decayed_mean(led * np.append(0, own[:-1]), span)
    return (
        beta,
        over(beta * theirs, root),
        float((own[-1] - earlier * led[-1]) * 1e4),
        over(leads, root),
        over(follows, root),
    )


def breadth(seen: Seen, span: int) -> Outputs:
    """The newest, and the decayed mean."""
    values = word(seen, BREADTH)
    if len(values) <= span:
        return NAN, NAN
    return float(values[-1]), decayed_mean(values, span)


CROWD_TWINS: dict[str, Callable[..., float | Outputs]] = {
    "crowd.funding_extreme": lambda s, span: extreme(word(s, FUNDING), span),
    "crowd.basis_extreme": lambda s, span: extreme(word(s, BASIS), span),
    "crowd.liquidation_extreme": liquidation_extreme,
    "crowd.open_interest": open_interest,
    "crowd.greed": greed,
    "crowd.news": lambda s: float(word(s, NEWS)[-1]),
    "cross.leader": leader,
    "cross.breadth": breadth,
}
