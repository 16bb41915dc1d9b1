"""The strategy table: which rows exist, what each kind of row can be told, why each row is there.

A row names a kind (the kernel that decides), a timeframe, a size and parameters. Rows may be added
or replaced by configuration. No numpy here: the command line lists and checks rows before anything
heavy is imported. The kernels are in `engine.domain.strategy_kinds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from engine.domain.bar_sizes import BarSizeError, bar_size

STRATEGIES_MAX = 640  # rows at once
EVERY_STRATEGY = "*"  # where bounds are given by name: each strategy that has none of its own
PARAMETERS_MAX = 10  # parameters of a kind's own, beside the common ones


class StrategyKind(IntEnum):
    """The kernel that decides for a row."""

    SMC = 1
    ORDERFLOW = 2
    QUOTE_IMBALANCE = 3
    RULES = 4  # rules over features, named by the row
    MAKING = 5  # quotes both sides and sheds what it holds: engine.domain.making
    OUTSIDE = 90  # decides nothing: the orders of a person, or of parent orders


class Rule(IntEnum):
    """How a rule reads a feature; names in a row are these in lower case."""

    NONE = 0
    WITH = 1  # the side on which it lies beyond its bound
    AGAINST = 2  # the other one
    EVENT = 3  # its side, while its age (the next column) is at most the bound, in bars
    EVENT_AGAINST = 4
    ABOVE = 5  # filters: at or above the bound
    BELOW = 6


class StrategyReason(IntEnum):
    """Why an opportunity arose. Stored in journals: never renumbered, never reused."""

    NONE = 0
    # Entries.
    FVG_RETURN = 1  # price came back into an open fair value gap that points with the structure
    BOS_LIVE = 2  # a close went beyond the last locked swing
    FLOW_SCORE = 3  # the order-flow score passed its entry threshold
    QUOTE_IMBALANCE = 4  # the quote's imbalance passed its entry threshold
    RULE_WITH = 5  # a feature lay beyond the row's bound: with it
    RULE_AGAINST = 6  # the same: against it
    RULE_EVENT = 7  # something happened at most so many bars ago: with its side
    RULE_EVENT_AGAINST = 8
    MAKING_QUOTE = 9  # a side of the market it makes had no quote, or it shed what it holds
    # Exits.
    STOP_LOSS = 50
    TAKE_PROFIT = 51
    MAX_HOLD = 52
    STRUCTURE_REVERSED = 53  # the structure turned against the position
    FLOW_REVERSED = 54  # the score passed the exit threshold of the other side
    IMBALANCE_REVERSED = 55
    RULE_REVERSED = 56  # the exit rule's feature came back to its bound, or its side turned
    ROTATED = 57  # closed for a better entry: engine.domain.rotation
    TRAILING_STOP = 58  # back from the best price since the entry: engine.domain.trailing


class Parameter(NamedTuple):
    """One number a row may set."""

    name: str
    default: float
    description: str


COMMON_PARAMETERS: tuple[Parameter, ...] = (
    Parameter("stop_atr", 0.0, "Stop distance, ATRs of the row's timeframe; 0: no stop."),
    Parameter("take_atr", 0.0, "Target distance, ATRs of the row's timeframe; 0: no target."),
    Parameter("trail_atr", 0.0, "Distance of a stop behind the best price, ATRs; 0: none trails."),
    Parameter("max_hold_s", 0.0, "Longest time in a position, s; 0: no bound."),
    Parameter("min_hold_s", 0.0, "No exit by opinion before this time, s; stop and target work."),
    Parameter("cooldown_s", 0.0, "No entry for this time after an exit, s."),
    Parameter("size_atr_bps", 0.0, "Smaller entries where the ATR is above this, bps; 0: never."),
    Parameter("limit_slip_ticks", -1.0, "-1: MARKET; else LIMIT IOC this far through the quote."),
    Parameter("edge_min_bps", -1.0, "Least gain less cost of an entry, bps; below 0: not asked."),
    Parameter("claim", 0.5, "Share of the expected move claimed at full confidence, 0 to 1."),
    Parameter("expiry_s", 0.0, "No entry on a quote, or a bar's end, older than this, s; 0: any."),
    Parameter("regime_adapt", 0.0, "How far the regime moves stop and target, 0 to 1; 0: not."),
    Parameter(
        "kelly", 0.0, "Entries of at most this fraction of Kelly's bet, 0 to 1; 0: not asked."
    ),
    Parameter("risk_max", 0.01, "With kelly: most of the equity that a stop may cost, share."),
    Parameter("safe_from", 1.0, "Entries shrink from this share of a loss limit on; 1: never."),
    Parameter("safe_least", 0.25, "Share of its size that an entry keeps at the limit, 0 to 1."),
    Parameter("safe_edge_bps", 0.0, "Edge that an entry needs more at the limit, bps."),
    Parameter("venue_bracket", 0.0, "1: stop, target, trail rest at the venue; 0: watched here."),
    Parameter("stand_in", 0.0, "1: enters only while the scorer of others is at fault."),
)

KIND_PARAMETERS: Mapping[StrategyKind, tuple[Parameter, ...]] = MappingProxyType(
    {
        StrategyKind.SMC: (
            Parameter("flow_min", 3.5, "Takers' flow that must confirm, standard deviations."),
            Parameter("quote_flow_min", 0.0, "The quote's flow that must agree, same unit."),
            Parameter("gap_atr_min", 0.1, "Smallest fair value gap that counts, ATRs."),
            Parameter("wait_bars", 5.0, "Bars that a return into a gap waits for confirmation."),
            Parameter("trade_breaks", 1.0, "1: enter on bos_live too; 0: only on returns to gaps."),
        ),
        StrategyKind.ORDERFLOW: (
            Parameter("enter_score", 0.75, "Enter when the score passes this, 0 to 1."),
            Parameter("exit_score", 0.2, "Leave when the score passes this on the other side."),
        ),
        StrategyKind.QUOTE_IMBALANCE: (
            Parameter("threshold", 0.9, "Enter beyond this imbalance, leave beyond its opposite."),
        ),
        StrategyKind.RULES: (
            Parameter("entry_at", 1.0, "Bound of the entry rule: the feature's unit, or bars."),
            Parameter("exit_at", 0.0, "Bound of the exit rule, on the position's side."),
            Parameter("filter_at", 0.0, "Bound of the filter."),
        ),
        StrategyKind.MAKING: (
            Parameter("width_atr", 1.0, "Half width of the quotes, ATRs."),
            Parameter("width_bps_min", 1.0, "Least half width, bps of fair."),
            Parameter("width_bps_max", 40.0, "Most half width, bps of fair."),
            Parameter("skew_atr", 1.0, "How far a full inventory moves both quotes, ATRs."),
            Parameter("inventory", 3.0, "Most that may be held, in whole quotes."),
            Parameter("requote_share", 0.25, "A quote this share of the half width off is moved."),
            Parameter("requote_s", 2.0, "Least time between two orders of a side, s."),
            Parameter("micro_lean", 0.0, "How far fair lies from mid to microprice, 0 to 1."),
            Parameter("atr_bps_max", 0.0, "No quotes while the ATR is above this, bps; 0: any."),
        ),
        StrategyKind.OUTSIDE: (),
    }
)

# Rules a row of kind RULES may name, and which of them each place takes.
RULE_PLACES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "entry": (Rule.WITH, Rule.AGAINST, Rule.EVENT, Rule.EVENT_AGAINST),
        "exit": (Rule.WITH, Rule.AGAINST, Rule.EVENT, Rule.EVENT_AGAINST),
        "filter": (Rule.ABOVE, Rule.BELOW),
    }
)

# What input_1..input_4 of a decision hold, by kind; input_0 is the score.
INPUT_NAMES: Mapping[StrategyKind, tuple[str, str, str, str]] = MappingProxyType(
    {
        StrategyKind.SMC: ("trend_side", "level_ticks", "trade_flow", "atr_ticks"),
        StrategyKind.ORDERFLOW: ("trade_flow", "quote_flow", "imbalance", "spread_bps"),
        StrategyKind.QUOTE_IMBALANCE: (
            "bid_qty_lots",
            "ask_qty_lots",
            "microprice_bps",
            "spread_bps",
        ),
        StrategyKind.RULES: ("entry_feature", "exit_feature", "filter_feature", "atr_ticks"),
        StrategyKind.MAKING: ("fair_ticks", "reservation_ticks", "half_ticks", "atr_ticks"),
        StrategyKind.OUTSIDE: ("", "", "", ""),
    }
)
# And of the exit of a position that is closed for a better entry; input_0 is what it would keep.
ROTATION_INPUTS = ("gained_bps", "leave_bps", "new_edge_bps", "confidence")


class StrategyRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named strategy.

    Args:
        name: unique in the table; shown with every decision.
        kind: the kernel that decides.
        timeframe_s: bar length it reads, s.
        bars: words for bars that do not end by the clock (`bar_sizes`), read instead; empty: none.
        notional: size of an entry, quote currency; rounded down to lots, at least the minimum.
        parameters: those of the kind and the common ones that differ from their defaults.
        rationale: one line that says why this could work.
        rules: of kind RULES: `entry`, `exit` and `filter` name a Rule, `entry_feature` and so on
            the columns of the catalogue they read.
    """

    name: str
    kind: StrategyKind
    timeframe_s: int = 1
    bars: str = ""
    notional: float = 200.0
    parameters: dict[str, float] = {}
    rationale: str = ""
    rules: dict[str, str] = {}

    @property
    def bars_text(self) -> str:
        """Return which bars it reads, for people."""
        return self.bars or f"{self.timeframe_s} s"


class StrategyError(ValueError):
    """A row of the strategy table is wrong; the message names the row and the field."""


STRATEGY_TABLE: tuple[StrategyRow, ...] = (
    StrategyRow(
        name="smc_fvg_bos",
        kind=StrategyKind.SMC,
        timeframe_s=1,
        parameters={
            "flow_min": 3.5,
            "quote_flow_min": 0.0,
            "wait_bars": 5.0,
            "stop_atr": 1.5,
            "take_atr": 2.0,
            "max_hold_s": 60.0,
            "cooldown_s": 1.0,
        },
        rationale="With the structure: a return into a fair value gap, or a close beyond a swing.",
    ),
    StrategyRow(
        name="orderflow",
        kind=StrategyKind.ORDERFLOW,
        timeframe_s=1,
        parameters={
            "enter_score": 0.75,
            "exit_score": 0.3,
            "stop_atr": 4.0,
            "take_atr": 6.0,
            "min_hold_s": 1.0,
            "max_hold_s": 30.0,
            "cooldown_s": 3.0,
        },
        rationale="One-sided taker flow that the quote confirms tends to go on for seconds.",
    ),
    StrategyRow(
        name="quote_imbalance",
        kind=StrategyKind.QUOTE_IMBALANCE,
        timeframe_s=1,
        parameters={"threshold": 0.9},
        rationale="The thin side of the quote goes first. Simple on purpose: a bench times it.",
    ),
)

# Behind every session's own rows: whose orders no strategy decided. They have positions, limits and
# results of their own, and are asked nothing.
HAND, EXECUTION = "hand", "execution"
OUTSIDE_ROWS: tuple[StrategyRow, ...] = (
    StrategyRow(name=HAND, kind=StrategyKind.OUTSIDE, rationale="Orders of a person."),
    StrategyRow(name=EXECUTION, kind=StrategyKind.OUTSIDE, rationale="Children of parent orders."),
)

DEFAULT_STRATEGIES: tuple[str, ...] = ("smc_fvg_bos", "orderflow")


def parameters_of(kind: StrategyKind) -> tuple[Parameter, ...]:
    """Return every parameter a row of this kind may set: the common ones, then its own."""
    return COMMON_PARAMETERS + KIND_PARAMETERS[kind]


def numbers_of(row: StrategyRow) -> dict[str, float]:
    """Return every parameter of a row by name, its default where the row does not set it."""
    return {it.name: it.default for it in parameters_of(row.kind)} | row.parameters


def bars_of(rows: Iterable[StrategyRow]) -> tuple[str, ...]:
    """Return the words for bars that rows read and that do not end by the clock, in their order."""
    return tuple(dict.fromkeys(row.bars for row in rows if row.bars))


def rule_of(row: StrategyRow, place: str) -> Rule:
    """Return the rule a row names for `entry`, `exit` or `filter`; NONE where it names none."""
    return Rule[row.rules[place].upper()] if place in row.rules else Rule.NONE


def check_rules(row: StrategyRow) -> None:
    """Check what a row says of rules.

    Raises:
        StrategyError: a rule is unknown or out of place, or its feature is missing.
    """
    known = {key for place in RULE_PLACES for key in (place, f"{place}_feature")}
    for key in sorted(set(row.rules) - known):
        raise StrategyError(f"strategy {row.name}: unknown rule {key}")
    if (row.kind is StrategyKind.RULES) != ("entry" in row.rules):
        raise StrategyError(f"strategy {row.name}: kind rules, and it only, has an entry rule")
    for place, taken in RULE_PLACES.items():
        names = [rule.name.lower() for rule in taken]
        if place in row.rules and row.rules[place] not in names:
            raise StrategyError(f"strategy {row.name}: {place} is none of {', '.join(names)}")
        if (place in row.rules) != (f"{place}_feature" in row.rules):
            raise StrategyError(f"strategy {row.name}: {place} and {place}_feature go together")


def check_row(row: StrategyRow) -> StrategyRow:
    """Return the row.

    Raises:
        StrategyError: it names an unknown parameter, a number is out of range, or its name or kind
            is kept for orders that no strategy decides.
    """
    if row.kind is StrategyKind.OUTSIDE or row.name in {HAND, EXECUTION}:
        raise StrategyError(f"strategy {row.name}: kept for orders that no strategy decides")
    known = {parameter.name for parameter in parameters_of(row.kind)}
    unknown = sorted(set(row.parameters) - known)
    if unknown:
        raise StrategyError(
            f"strategy {row.name}: unknown parameter {unknown[0]}; kind {row.kind.name.lower()} "
            f"takes {', '.join(parameter.name for parameter in parameters_of(row.kind))}"
        )
    if row.timeframe_s <= 0:
        raise StrategyError(f"strategy {row.name}: timeframe_s must be positive")
    if row.bars:
        try:
            bar_size(row.bars)
        except BarSizeError as error:
            raise StrategyError(f"strategy {row.name}: {error}") from error
    if not 0 < row.notional < float("inf"):
        raise StrategyError(f"strategy {row.name}: notional must be positive and finite")
    check_rules(row)
    if row.parameters.get("stand_in") and row.kind in {StrategyKind.ORDERFLOW, StrategyKind.MAKING}:
        raise StrategyError(f"strategy {row.name}: {row.kind.name.lower()} stands in for nobody")
    trail_atr = row.parameters.get("trail_atr", 0.0)
    if trail_atr < 0.0:
        raise StrategyError(f"strategy {row.name}: trail_atr is a distance, 0 or above")
    if trail_atr and row.kind is StrategyKind.MAKING:
        raise StrategyError(f"strategy {row.name}: making has no entry that a stop could trail")
    for name, number in row.parameters.items():
        if not -1e9 < number < 1e9:
            raise StrategyError(f"strategy {row.name}: {name} is out of range")
    return row


def select_rows(
    names: Iterable[str] = (), own_rows: Iterable[StrategyRow] = ()
) -> tuple[StrategyRow, ...]:
    """Return the rows to run, in the order of `names`; own rows add to or replace the table's.

    A name may be a pattern with `*`: every row it fits, in the order of the table. Without names:
    the default set and every own row.

    Raises:
        StrategyError: a name is unknown or doubled, a row is wrong, or there are too many.
    """
    own = {row.name: row for row in own_rows}
    table = {row.name: row for row in STRATEGY_TABLE} | own
    asked = tuple(names) or tuple(dict.fromkeys((*DEFAULT_STRATEGIES, *own)))
    if not set(asked) <= set(table):
        from engine.domain.strategy_grid import expanded_rows

        table = {row.name: row for row in expanded_rows()} | table
    chosen = tuple(found for name in asked for found in fitting(name, table))
    if len(set(chosen)) != len(chosen):
        raise StrategyError(f"strategies: a name is doubled in {', '.join(chosen)}")
    if len(chosen) > STRATEGIES_MAX:
        raise StrategyError(f"strategies: {len(chosen)} rows, at most {STRATEGIES_MAX} run at once")
    for name in chosen:
        if name not in table:
            raise StrategyError(f"strategies: no row is named {name}; `aegis strategies` lists all")
    return tuple(check_row(table[name]) for name in chosen)


def fitting(name: str, table: Iterable[str]) -> tuple[str, ...]:
    """Return the names that a pattern fits, or the name itself."""
    if "*" not in name:
        return (name,)
    return tuple(known for known in table if fnmatchcase(known, name)) or (name,)


def row_from_words(
    *,
    name: str,
    kind: str,
    timeframe_s: int,
    notional: float,
    parameters: Mapping[str, float],
    rules: Mapping[str, str] = MappingProxyType({}),
    bars: str = "",
) -> StrategyRow:
    """Return a checked row from the words of a configuration file.

    Raises:
        StrategyError: the kind is unknown, or the row is wrong.
    """
    kinds = {member.name.lower(): member for member in StrategyKind}
    if kind.lower() not in kinds:
        raise StrategyError(f"strategy {name}: kind {kind!r} is none of {', '.join(kinds)}")
    row = StrategyRow(
        name=name,
        kind=kinds[kind.lower()],
        timeframe_s=timeframe_s,
        bars=bars,
        notional=notional,
        parameters=dict(parameters),
        rules=dict(rules),
    )
    return check_row(row)
