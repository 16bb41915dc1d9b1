"""What strategies claim, learned from how often they were right.

Where a market has no drift, a target T and a stop S are met with the chances S / (S + T) and
T / (S + T). A row claims to do better by its `claim` of what is left to certainty:

        chance = bare + claim * (1 - bare)        bare = S / (S + T), a half where it has not both

Its record says how many of its closed positions made more than their fees. A beta distribution
whose mean is the row's own claim, as if `prior_exits` positions had shown it, is updated with that;
the claim that its mean stands for is learned, at most 1 and at least 0, where nothing is claimed
and no entry clears its cost. Positions entered with little confidence count like any: what is
learned is the lower for it. No numpy: main learns before anything heavy is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from engine.domain.strategy_table import StrategyKind, StrategyRow, numbers_of

# Kinds that gain by a chance. A quote gains by its distance from fair, which no count of wins says.
LEARNING_KINDS = frozenset(
    {StrategyKind.SMC, StrategyKind.ORDERFLOW, StrategyKind.QUOTE_IMBALANCE, StrategyKind.RULES}
)


def bare_chance(row: StrategyRow) -> float:
    """Return the chance of a gain that claims nothing, above 0 and below 1."""
    numbers = numbers_of(row)
    stop, take = numbers["stop_atr"], numbers["take_atr"]
    return stop / (stop + take) if stop > 0.0 and take > 0.0 else 0.5


def learned_claim(row: StrategyRow, exits: int, wins: int, prior_exits: int) -> float:
    """Return what a record lets a row claim, 0 to 1.

    Args:
        row: its own claim is where learning begins.
        exits: positions it closed.
        wins: of those, that made more than their fees.
        prior_exits: how many positions its own claim weighs as, above 0.
    """
    assert 0 <= wins <= exits, (wins, exits)
    assert prior_exits > 0, prior_exits
    bare = bare_chance(row)
    own = bare + numbers_of(row)["claim"] * (1.0 - bare)
    chance = (wins + prior_exits * own) / (exits + prior_exits)
    return min(max((chance - bare) / (1.0 - bare), 0.0), 1.0)


def learn_claims(
    rows: Iterable[StrategyRow],
    records: Mapping[str, tuple[int, int]],
    *,
    exits_min: int,
    prior_exits: int,
) -> dict[str, float]:
    """Return the claims of the rows whose record is long enough, by name.

    Args:
        rows: that will run.
        records: exits and wins by strategy.
        exits_min: positions from which on a record counts.
        prior_exits: as of `learned_claim`.
    """
    found = {}
    for row in rows:
        exits, wins = records.get(row.name, (0, 0))
        if row.kind in LEARNING_KINDS and exits >= exits_min:
            found[row.name] = round(learned_claim(row, exits, wins, prior_exits), 6)
    return found


def with_claim(row: StrategyRow, learned: Mapping[str, float]) -> StrategyRow:
    """Return a row with what it learned to claim, and asked for an edge of at least 0 then."""
    if row.name not in learned:
        return row
    least_bps = max(numbers_of(row)["edge_min_bps"], 0.0)
    told = row.parameters | {"claim": learned[row.name], "edge_min_bps": least_bps}
    return msgspec.structs.replace(row, parameters=told)
