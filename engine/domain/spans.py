"""Highs and lows of the last whole day, week, month and session, and when price goes beyond them.

Days, weeks (from Monday) and months are of UTC. A session is a stretch of the local day of its
city, Monday to Friday, by the clock that people there read: when it changes is in the plan's table
of zones. A bar counts by its start, an end is not part of its span. The stretch in which the bars
began was not seen whole and gives nothing.
"""

from __future__ import annotations

import numpy as np

from engine.domain.features.plan import FeaturePlan
from engine.domain.features.series import CLOSE, DAY_S, HIGH, LOW, START_S, stretch_of
from engine.domain.kernel import Floats, Record, kernel
from engine.domain.structure_state import ZONES, Part, StructureKind, emit_broken, emit_zone

SESSION_OPENS_S = (9 * 3_600, 8 * 3_600, 8 * 3_600)  # of the local day; Asia, London, New York
SESSION_CLOSES_S = (18 * 3_600, 17 * 3_600, 17 * 3_600)
SATURDAY = 5
_DAY, _WEEK, _MONTH, _ASIA = int(Part.DAY), int(Part.WEEK), int(Part.MONTH), int(Part.ASIA)
_ENDED = int(StructureKind.SPAN_ENDED)
_TAKEN = int(StructureKind.SPAN_TAKEN)


@kernel
def month_of(day: int) -> int:
    """Return the number of the month (12 * year + month) of a day since 1970-01-01.

    Years are counted from March, so that a leap day is the last of its year: five months from there
    have 153 days, four years 1,461, four centuries 146,097.
    """
    since = day + 719_468  # from 0000-03-01
    era_day = since % 146_097
    year = (era_day - era_day // 1_460 + era_day // 36_524 - era_day // 146_096) // 365
    year_day = era_day - (365 * year + year // 4 - year // 100)
    from_march = (5 * year_day + 2) // 153
    return 12 * (400 * (since // 146_097) + year) + from_march + 2


@kernel
def local_s(plan: FeaturePlan, row: Record, zone: int, start_s: float) -> float:
    """Return a time as the clocks of a zone show it, s; moves the row's place in the table on."""
    k = row["zone_index"][zone]
    while k + 1 < plan.zone_from_s.shape[1] and plan.zone_from_s[zone, k + 1] <= start_s:
        k += 1
    row["zone_index"][zone] = k
    return start_s + plan.zone_offset_s[zone, k]


@kernel
def session_of(row: Record, zone: int, seconds: float) -> int:
    """Return the local day of the session a local time lies in, -1 outside; notes how far in."""
    day = int(stretch_of(seconds, DAY_S))
    within = seconds - day * DAY_S
    opens, closes = SESSION_OPENS_S[zone], SESSION_CLOSES_S[zone]
    row["session_share"][_ASIA - 1 + zone] = np.nan
    if (day + 3) % 7 >= SATURDAY or within < opens or within >= closes:
        return -1
    row["session_share"][_ASIA - 1 + zone] = (within - opens) / (closes - opens)
    return day


@kernel
def roll_span(row: Record, part: int, span: int, high: float, low: float, number: int) -> None:
    """Let the bar begin another stretch of a span, in place; the last one counts if whole."""
    k = part - 1
    if number > 0 and row["span_id"][k] >= 0 and row["span_is_whole"][k] != 0:
        row["before_high_ticks"][k] = row["span_high_ticks"][k]
        row["before_low_ticks"][k] = row["span_low_ticks"][k]
        row["is_high_taken"][k] = 0
        row["is_low_taken"][k] = 0
        above, below = row["before_high_ticks"][k], row["before_low_ticks"][k]
        at = emit_zone(row, _ENDED, 0, number, number, above, below)
        row["event_part"][at] = part
    row["span_id"][k] = span
    row["span_is_whole"][k] = 1 if number > 0 else 0
    row["span_high_ticks"][k] = high
    row["span_low_ticks"][k] = low


@kernel
def take_side(row: Record, part: int, side: int, level: float, close: float, number: int) -> None:
    """Note that a bar traded beyond the last whole span's high (+1) or low (-1), in place."""
    broken_at = number if (close - level) * side > 0.0 else -1
    at = emit_broken(row, _TAKEN, side, number, number, level, broken_at)
    row["event_part"][at] = part


@kernel
def apply_span(
    row: Record, part: int, span: int, high: float, low: float, close: float, number: int
) -> None:
    """Fold a bar into one span, in place.

    Args:
        row: the structure.
        part: a Part.
        span: which day, week, month or session the bar lies in; -1: in no session.
        high: of the bar.
        low: of the bar.
        close: of the bar.
        number: of the bar.
    """
    k = part - 1
    if number == 0 or span != row["span_id"][k]:
        roll_span(row, part, span, high, low, number)
    row["span_high_ticks"][k] = max(row["span_high_ticks"][k], high)
    row["span_low_ticks"][k] = min(row["span_low_ticks"][k], low)
    above, below = row["before_high_ticks"][k], row["before_low_ticks"][k]
    if above > 0.0 and high > above and row["is_high_taken"][k] == 0:
        row["is_high_taken"][k] = 1
        take_side(row, part, 1, above, close, number)
    if below > 0.0 and low < below and row["is_low_taken"][k] == 0:
        row["is_low_taken"][k] = 1
        take_side(row, part, -1, below, close, number)


@kernel
def update_spans(plan: FeaturePlan, row: Record, series: Floats, place: int, number: int) -> None:
    """Fold bar `number` into every span, in place."""
    start_s = series[START_S, place]
    high, low, close = series[HIGH, place], series[LOW, place], series[CLOSE, place]
    day = int(stretch_of(start_s, DAY_S))
    apply_span(row, _DAY, day, high, low, close, number)
    apply_span(row, _WEEK, (day + 3) // 7, high, low, close, number)
    apply_span(row, _MONTH, month_of(day), high, low, close, number)
    for zone in range(ZONES):
        span = session_of(row, zone, local_s(plan, row, zone, start_s))
        apply_span(row, _ASIA + zone, span, high, low, close, number)
