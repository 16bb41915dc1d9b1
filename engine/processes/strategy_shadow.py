"""`aegis strategies`: which there are, what each has made, what each would have made.

What a strategy has made is its account's record, kept by the projection while it trades.

The shadow record needs no run of a strategy: the market of any session whose journal holds it is
played through any rows of the table, orders left out (`engine.domain.shadow`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine import exit_codes
from engine.cli_views import table
from engine.config import Config
from engine.domain.strategy_table import (
    STRATEGY_TABLE,
    StrategyError,
    StrategyRow,
    numbers_of,
    select_rows,
)
from engine.processes import kernel_cache
from engine.processes.projected import open_projected
from engine.processes.strategy_rows import learned_claims, own_rows
from engine.store.errors import StoreError
from engine.store.journal import SOURCE_MARKET
from engine.store.queries import StatusQueries
from engine.store.reader import first_kept, read_batches
from engine.store.session import SessionDocument, find_session, read_document
from engine.store.sqlite import DATABASE_NAME

E8: Final = 100_000_000
NS_PER_S: Final = 1_000_000_000
PPM_PER_BPS: Final = 100
LIST_COLUMNS: Final = ("strategy", "bars", "rationale")
RECORD_COLUMNS: Final = (
    "strategy",
    "entries",
    "exits",
    "wins",
    "win_ratio",
    "gross",
    "fees",
    "net",
    "held_s",
    "claim",
    "learned",
)
SHADOW_COLUMNS: Final = (
    "strategy",
    "entries",
    "exits",
    "wins",
    "win_ratio",
    "gross",
    "fees",
    "net",
    "open",
    "fall",
    "net_bps",
    "held_s",
)


class ShadowRun(NamedTuple):
    """What strategies would have made over a session's market, in quote currency."""

    session: str
    market_records: int
    refused_records: int
    fee_bps: float
    strategies: list[dict[str, Any]]


def strategies_command(options: argparse.Namespace, config: Config) -> int:
    """Print the strategies that names and patterns choose; return the exit code."""
    try:
        rows = chosen_rows(options.names, config)
        if options.record:
            return _record(rows, config, options)
        if not options.shadow:
            return _list(rows, as_json=options.json)
        directory = find_session(Path(config.home), options.session)
        kernel_cache.activate(str(config.home))
        fee_bps = config.paper.taker_fee_bps if options.fee_bps is None else options.fee_bps
        run = shadow_run(directory, rows, fee_bps)
    except StrategyError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    except (LookupError, StoreError) as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)
    print(json.dumps(run._asdict()) if options.json else _text(run))  # noqa: T201
    return exit_codes.DONE


def chosen_rows(names: Sequence[str], config: Config) -> tuple[StrategyRow, ...]:
    """Return the rows of names and patterns; without any, every row there is.

    Raises:
        StrategyError: a name is unknown, or a row is wrong.
    """
    own = own_rows(config)
    if names:
        return select_rows(names, own)
    from engine.domain.strategy_grid import expanded_rows

    table_rows = {row.name: row for row in (*STRATEGY_TABLE, *expanded_rows(), *own)}
    return tuple(table_rows.values())


def shadow_run(
    directory: Path,
    rows: Sequence[StrategyRow],
    fee_bps: float,
    *,
    symbol: str = "",
    since_ns: int = 0,
) -> ShadowRun:
    """Play a session's market through strategies; imports Numba.

    Args:
        directory: of the session's journal.
        rows: the strategies.
        fee_bps: of a fill.
        symbol: the one instrument on which they are filled; empty: on all.
        since_ns: wall clock from which on they are filled.

    Raises:
        LookupError: the journal holds no market, or not this instrument's.
        StoreError: the journal cannot be read.
    """
    from engine.domain.instrument import instrument_rows
    from engine.domain.market_state import create_market_state
    from engine.domain.shadow import create_shadow, open_result_e8, shadow_market

    document = read_document(directory)
    only = _place_of(symbol, document)
    after_ns = since_ns - document.started_realtime_ns + document.started_monotonic_ns
    market = create_market_state(instrument_rows(document.instruments), rows)
    shadow = create_shadow(len(document.instruments), len(rows), only=only, since_ns=after_ns)
    fee_ppm = round(fee_bps * PPM_PER_BPS)
    records = refused = 0
    for batch in read_batches(directory, SOURCE_MARKET, first_kept(directory, SOURCE_MARKET)):
        if len(batch.records):
            records += len(batch.records)
            refused += shadow_market(market, shadow, batch.records, fee_ppm)
    if not records:
        raise LookupError(f"{document.session_id}: no market record was journaled")
    told = [
        shadow_row(row.name, shadow.records[s], open_result_e8(market, shadow, s))
        for s, row in enumerate(rows)
    ]
    return ShadowRun(document.session_id, records, refused, fee_bps, told)


def _place_of(symbol: str, document: SessionDocument) -> int:
    """Return the index of a symbol in a session, -1 for none asked; or raise LookupError."""
    symbols = [row.symbol for row in document.instruments]
    if not symbols:
        raise LookupError(f"{document.session_id} ended before its instruments were known")
    if symbol and symbol not in symbols:
        raise LookupError(f"{document.session_id} had no instrument {symbol!r}")
    return symbols.index(symbol) if symbol else -1


def shadow_row(name: str, record: Any, open_e8: int) -> dict[str, Any]:  # noqa: ANN401  a record
    """Return a strategy's shadow record as plain values; money in quote currency."""
    exits, traded_e8 = int(record["exit_count"]), int(record["traded_e8"])
    net_e8 = int(record["gross_e8"]) - int(record["fee_e8"])
    return {
        "strategy": name,
        "entries": int(record["entry_count"]),
        "exits": exits,
        "wins": int(record["win_count"]),
        "win_ratio": round(int(record["win_count"]) / exits, 3) if exits else None,
        "gross": int(record["gross_e8"]) / E8,
        "fees": int(record["fee_e8"]) / E8,
        "net": net_e8 / E8,
        "open": open_e8 / E8,
        "traded": traded_e8 / E8,
        "peak": int(record["peak_e8"]) / E8,
        "fall": int(record["fall_e8"]) / E8,
        "net_bps": round(net_e8 / traded_e8 * 10_000, 2) if traded_e8 else None,
        "held_s": round(int(record["held_ns"]) / exits / NS_PER_S, 3) if exits else None,
    }


def _list(rows: Sequence[StrategyRow], *, as_json: bool) -> int:
    listed: list[Mapping[str, Any]] = [
        {
            "strategy": row.name,
            "kind": row.kind.name.lower(),
            "bars": row.bars_text,
            "rationale": row.rationale,
        }
        for row in rows
    ]
    lines = table(listed, LIST_COLUMNS)
    print(json.dumps(listed) if as_json else "\n".join(lines))  # noqa: T201  the command's output
    return exit_codes.DONE


def _record(rows: Sequence[StrategyRow], config: Config, options: argparse.Namespace) -> int:
    named = {row.name: row for row in rows}
    with open_projected(Path(config.home), options.state) as (_, folder):
        found = StatusQueries(folder / DATABASE_NAME).strategies()
    learned = learned_claims(config, rows, found)
    # Whoever asks for no name sees those too that ran and are in no table any more.
    told = [
        row
        | {
            "claim": numbers_of(named[name])["claim"] if name in named else None,
            "learned": learned.get(name),
        }
        for row in found
        if (name := row["strategy"]) in named or not options.names
    ]
    text = "\n".join(table(told, RECORD_COLUMNS)) if told else "none of them has traded yet"
    head = f"account {folder.name}, all sessions\n"
    document = {"account": folder.name, "strategies": told}
    print(json.dumps(document) if options.json else head + text)  # noqa: T201  its output
    return exit_codes.DONE


def _text(run: ShadowRun) -> str:
    acted = [row for row in run.strategies if row["entries"]]
    acted.sort(key=lambda row: row["net"] + row["open"], reverse=True)
    head = f"session {run.session}: {run.market_records:,} market records"
    return "\n".join(
        [
            f"{head}, filled at the touch, {run.fee_bps:g} bps a fill",
            *(table(acted, SHADOW_COLUMNS) if acted else ()),
            f"{len(run.strategies) - len(acted)} of {len(run.strategies)} found nothing to enter",
        ]
    )
