"""Write the C header of the record tables: `python -m engine.domain.records_header`.

`native_ext/records.h` holds what this prints, and a test compares the two. The tables are
`records.py` (market slot), `instrument_row.py` (instrument row), `codes.py` and
`firewall_reasons.py` (numbers). Each record is a union, so overlapping fields keep their names.
"""

from __future__ import annotations

import sys
from enum import IntEnum

from engine.domain import codes
from engine.domain.codes import Channel, GapReason, Liveness, RecordType
from engine.domain.firewall_reasons import (
    FIREWALL_REASON_COUNT,
    PRICE_TICKS_MAX,
    QTY_LOTS_MAX,
    FirewallReason,
)
from engine.domain.instrument_row import INSTRUMENT_BYTES, INSTRUMENT_FIELDS, InstrumentFlag
from engine.domain.records import MARKET_FIELDS, MARKET_SLOT_BYTES

Fields = tuple[tuple[str, str, int], ...]

_C_TYPES = {
    "<i8": "int64_t",
    "<u8": "uint64_t",
    "<i4": "int32_t",
    "<u4": "uint32_t",
    "<u2": "uint16_t",
    "<i1": "int8_t",
    "<u1": "uint8_t",
    "<f8": "double",
}
_ENUMS: tuple[tuple[str, type[IntEnum]], ...] = (
    ("RECORD", RecordType),
    ("CHANNEL", Channel),
    ("LIVENESS", Liveness),
    ("GAP", GapReason),
    ("REJECT", FirewallReason),
)
_FLAGS = (
    "TRADE_BUYER_AGGRESSOR",
    "TRADE_AGGREGATED",
    "LEVEL_BID",
    "LEVEL_LAST_OF_DIFF",
    "LEVEL_SNAPSHOT_FIRST",
    "BAR_FINAL",
    "LIQUIDATION_BUY",
    "CONFLATED",
)
_TOP = """\
/* records.h: written by `python -m engine.domain.records_header`; a test compares. Do not edit.
 *
 * Record tables and numbers as engine/domain has them. A market record is the whole ring slot,
 * its sequence included; the ring owns the sequence, the decoder fills the rest.
 */
/* clang-format off */
#ifndef AEGIS_RECORDS_H
#define AEGIS_RECORDS_H

#include <stddef.h>
#include <stdint.h>
"""


def header() -> str:
    """Return the text of `native_ext/records.h`."""
    parts = [_TOP]
    for prefix, table in _ENUMS:
        lines = [f"    AEGIS_{prefix}_{member.name} = {member.value}," for member in table]
        parts.append(f"enum aegis_{prefix.lower()} {{\n" + "\n".join(lines) + "\n};\n")
    counts = {"CHANNEL_COUNT": len(Channel), "REJECT_COUNT": FIREWALL_REASON_COUNT}
    flags = {name: getattr(codes, name) for name in _FLAGS}
    instrument = {f"INSTRUMENT_{flag.name}": flag.value for flag in InstrumentFlag}
    numbers = counts | flags | instrument
    parts.append("".join(f"#define AEGIS_{name} {n}\n" for name, n in numbers.items()))
    bounds = {"PRICE_TICKS_MAX": PRICE_TICKS_MAX, "QTY_LOTS_MAX": QTY_LOTS_MAX}
    wide = (f"#define AEGIS_{name} INT64_C({n})\n" for name, n in bounds.items())
    parts.append("".join(wide))
    parts.append(_union("aegis_market_record", MARKET_FIELDS, MARKET_SLOT_BYTES))
    parts.append(_union("aegis_instrument_row", INSTRUMENT_FIELDS, INSTRUMENT_BYTES))
    parts.append("#endif\n")
    return "\n".join(parts)


def _union(name: str, fields: Fields, size: int) -> str:
    lines = [f"union {name} {{", f"    int64_t words[{size // 8}];"]
    for field, form, offset in fields:
        pad = f"uint8_t before_{field}[{offset}]; " if offset else ""
        lines.append(f"    struct {{ {pad}{_declaration(field, form)}; }};")
    lines.append("};\n")
    lines.append(f'_Static_assert(sizeof(union {name}) == {size}, "{name}");')
    for field, _, offset in fields:
        place = f"offsetof(union {name}, {field})"
        lines.append(f'_Static_assert({place} == {offset}, "offset");')
    return "\n".join(lines) + "\n"


def _declaration(field: str, form: str) -> str:
    if form.startswith("S"):
        return f"char {field}[{form[1:]}]"
    return f"{_C_TYPES[form]} {field}"


if __name__ == "__main__":
    sys.stdout.write(header())
