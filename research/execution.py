"""Work a parent order on a recorded market, on paper, and say what it cost.

    python -m research.execution day.tape BTCUSDT --algorithm twap --lots 500 --minutes 10

The algorithms are those of `engine.domain.execution`, the fills those of the paper account
(`engine.venues.paper`): the queue, partial fills and latency it has live, on the recording's time.
The book that was recorded does not notice the order: a large one costs more than this says. VWAP
follows the recording's own volume, which nobody knows beforehand: the best a forecast could do.

`best` asks the router, whose table is what the brain's kernels know of the recording up to then:
until a minute has closed it knows nothing of what trades, and takes. `--after-minutes` lets an
order begin later; what is before is only watched.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from engine import exit_codes
from engine.config_load import DEFAULT_HOME
from engine.domain.codes import RecordType
from engine.domain.execution.asked import NS_PER_S, Asked, Method, least_of
from engine.domain.execution.curve import by_volume
from engine.processes import kernel_cache
from engine.store.execution_costs import lines_of
from engine.tapes.errors import TapeError
from engine.tapes.reader import TapeReader
from engine.venues.paper.queue import QueueModel
from research.paper_work import MS_NS, Records, Terms, worked

MINUTE_NS: Final = 60_000_000_000
ALGORITHMS: Final = tuple(method.name.lower() for method in Method)
URGENCY: Final = 3.0  # kappa times its time


def asked_of(options: argparse.Namespace) -> Asked:
    """Return the parent order that the options describe."""
    method = Method[options.algorithm.upper()]
    details = {
        Method.POV: options.rate,
        Method.ICEBERG: float(options.display or 1),
        Method.SHORTFALL: options.urgency,
        Method.BEST: float(options.display),
    }
    span_s = options.minutes * MINUTE_NS / NS_PER_S
    return Asked(
        method=method,
        side=1 if options.side == "buy" else -1,
        qty_lots=options.lots,
        limit_ticks=options.limit,
        span_s=span_s,
        detail=details.get(method, 0.0),
        patience_s=min(options.patience_ms * MS_NS / NS_PER_S, span_s),
    )


def volume_bars(batches: Iterable[Records], index: int) -> list[tuple[int, int]]:
    """Return (open time, lots) of each minute of an instrument's trades."""
    found: dict[int, int] = {}
    for records in batches:
        own = records[
            (records["instrument_index"] == index) & (records["record_type"] == RecordType.TRADE)
        ]
        for time_ns, lots in zip(
            own["receive_time_ns"].tolist(), own["qty_lots"].tolist(), strict=True
        ):
            minute = time_ns - time_ns % MINUTE_NS
            found[minute] = found.get(minute, 0) + lots
    return sorted(found.items())


def first_mid(batches: Iterable[Records], index: int, start_ns: int) -> float:
    """Return the mid of an instrument's first quote at or after a receive time, ticks.

    Raises:
        LookupError: there is none.
    """
    for records in batches:
        is_own = records["instrument_index"] == index
        is_own &= records["record_type"] == RecordType.QUOTE
        quotes = records[is_own & (records["receive_time_ns"] >= start_ns)]
        if len(quotes):
            return (int(quotes["bid_price_ticks"][0]) + int(quotes["ask_price_ticks"][0])) / 2
    raise LookupError("the recording ends before the order would begin")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(
        "research.execution",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tape", type=Path)
    parser.add_argument("instrument")
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="twap")
    parser.add_argument("--side", choices=("buy", "sell"), default="buy")
    parser.add_argument("--lots", type=int, required=True)
    parser.add_argument("--limit", type=int, default=0, help="worst price in ticks; 0: any")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--after-minutes", type=float, default=0.0, help="of the recording when it begins"
    )
    parser.add_argument("--patience-ms", type=int, default=5_000, help="to rest before it takes")
    parser.add_argument("--rate", type=float, default=0.1, help="pov: part of the volume")
    parser.add_argument("--display", type=int, default=0, help="iceberg, best: lots shown")
    parser.add_argument("--urgency", type=float, default=URGENCY, help="shortfall: 0 is TWAP")
    parser.add_argument("--queue", choices=[m.value for m in QueueModel], default="trades")
    parser.add_argument("--latency-ms", type=int, default=20)
    parser.add_argument(
        "--home", type=Path, default=Path(DEFAULT_HOME), help="best: whose compiled kernels to use"
    )
    return parser.parse_args(words)


def run(options: argparse.Namespace) -> list[str]:
    """Work the order the options describe; return what to print.

    Raises:
        LookupError: the tape has no such instrument, or no record.
        ValueError: the order or its schedule make no sense.
        TapeError: the tape cannot be read.
    """
    with TapeReader(options.tape) as tape:
        symbols = [row.symbol for row in tape.instruments]
        if options.instrument not in symbols or not tape.record_count:
            raise LookupError(f"{options.instrument} is not on {options.tape}")
        index = symbols.index(options.instrument)
        asked = asked_of(options)
        start_ns = tape.record_blocks[0].first_receive_ns
        start_ns += round(options.after_minutes * MINUTE_NS)
        mid_ticks = first_mid(tape.batches(), index, start_ns)
        least = least_of(tape.instrument_rows()[index], mid_ticks)
        curve = None
        if asked.method is Method.VWAP:
            end_ns = start_ns + round(asked.span_s * NS_PER_S)
            curve = by_volume(start_ns, end_ns, volume_bars(tape.batches(), index))
        plan = asked.plan(least, start_ns, curve=curve)
        terms = Terms(options.latency_ms * MS_NS, QueueModel(options.queue))
        _, costs = worked(tape.batches(), tape.instruments, index, plan, terms=terms)
        return lines_of(f"{options.instrument} {options.algorithm}", costs)


def main(words: Sequence[str] | None = None) -> int:
    """Work an order and print its costs; return a documented exit code."""
    try:
        lines = run(arguments(sys.argv[1:] if words is None else words))
    except ValueError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    except (LookupError, TapeError, OSError) as error:
        return exit_codes.fail(str(error.args[0] if error.args else error), exit_codes.ENVIRONMENT)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _choose_kernels(options: argparse.Namespace) -> None:
    """Point Numba at a home's kernels, which must be before any kernel is imported."""
    if options.algorithm == Method.BEST.name.lower():
        kernel_cache.activate(str(options.home.expanduser()))


if __name__ == "__main__":
    _choose_kernels(arguments(sys.argv[1:]))
    sys.exit(main())
