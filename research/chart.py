"""`aegis chart`: an instrument's bars, structure, decisions and fills, as a page to look at.

    aegis chart                                    the busiest instrument of the newest session
    aegis chart BTCUSDT --timeframe 5 --output btc.html
    aegis chart BTCUSDT --bars dollar:250000       bars that end by what was traded
    aegis chart BTCUSDT --session 20261120t230035-21 --begin 23:01 --end 23:05

Reads journals only; an engine may run meanwhile. The page needs no network. Exit codes: 0 written;
2 usage; 3 no such journal, or the extra `research` (plotly) is not installed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine import exit_codes
from engine.domain.bar_sizes import BarSizeError
from engine.domain.kernel import leave_plain
from engine.extras import lacking
from engine.store.errors import StoreError
from engine.store.session import SessionDocument, find_session, read_document

if TYPE_CHECKING:
    from research.chart_data import BarLength

BARS_DRAWN_MAX: Final = 20_000  # what a browser still moves about smoothly
NS_PER_S: Final = 1_000_000_000
TIME_MAX_NS: Final = 2**63 - 1


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(
        "aegis chart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("instrument", nargs="?", help="symbol; default: the one with most trades")
    parser.add_argument("--session", help="session id or journal directory; default: the newest")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--timeframe", type=_seconds, help="seconds of a bar; default: a strategy's"
    )
    length.add_argument(
        "--bars", help="tick, volume, dollar or imbalance and a size, such as volume:2.5"
    )
    parser.add_argument("--begin", default="", help="venue time, 2026-11-20T23:01 or 23:01 (UTC)")
    parser.add_argument("--end", default="", help="venue time, like --begin")
    parser.add_argument("--output", type=Path, help="page to write; default chart-SYMBOL.html here")
    parser.add_argument("--home", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="say what was drawn as one JSON object")
    return parser.parse_args(words)


def _seconds(text: str) -> int:
    seconds = int(text)
    if not 0 < seconds <= 86_400:
        raise ValueError(text)
    return seconds


def instrument_index(directory: Path, document: SessionDocument, symbol: str | None) -> int:
    """Return the instrument that is meant.

    Raises:
        LookupError: the session knows no such one, or journaled no trade.
    """
    from research.chart_data import busiest_instrument

    if symbol is None:
        index = busiest_instrument(directory)
        if index < 0:
            raise LookupError(f"no trade in the market journal of {directory}")
        return index
    known = [row.symbol for row in document.instruments]
    if symbol.upper() not in known:
        raise LookupError(f"{symbol} is not in this session: {', '.join(known[:10])}")
    return known.index(symbol.upper())


def moment_ns(text: str, day_of_ns: int, otherwise_ns: int) -> int:
    """Return a time of the options; a bare time of day is one of the session's first day.

    Raises:
        ValueError: not a time.
    """
    if not text:
        return otherwise_ns
    if "T" in text or " " in text:
        moment = datetime.fromisoformat(text)
    else:
        day = datetime.fromtimestamp(day_of_ns / NS_PER_S, UTC).date()
        moment = datetime.combine(day, time.fromisoformat(text))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * NS_PER_S


def _length(options: argparse.Namespace, document: SessionDocument, index: int) -> BarLength:
    from research.chart_data import by_clock, by_size

    if options.bars:
        return by_size(options.bars, document.instruments[index])
    shortest = min((row.timeframe_s for row in document.strategies), default=1)
    return by_clock(options.timeframe or shortest)


def _draw(options: argparse.Namespace) -> dict[str, object]:
    from research.chart_data import Span, chart_data, within
    from research.chart_figure import figure

    directory = find_session(options.home, options.session)
    document = read_document(directory)
    index = instrument_index(directory, document, options.instrument)
    data = chart_data(directory, document, index, _length(options, document, index))
    if not len(data.bars):
        raise LookupError(f"no bar of {data.length} of {data.symbol} was completed")
    day_ns = int(data.bars["start_ns"][0])
    begin_ns = moment_ns(options.begin, day_ns, 0)
    data = within(data, Span(begin_ns, moment_ns(options.end, day_ns, TIME_MAX_NS)))
    if not 0 < len(data.bars) <= BARS_DRAWN_MAX:
        raise LookupError(
            f"{len(data.bars):,} bars lie there: choose --begin, --end or --timeframe so that it "
            f"is 1 to {BARS_DRAWN_MAX:,}"
        )
    path = options.output or Path(f"chart-{data.symbol}.html")
    figure(data).write_html(path, include_plotlyjs=True)
    return {
        "written": str(path),
        "instrument": data.symbol,
        "session": document.session_id,
        "bars_of": data.length,
        "bars": len(data.bars),
        "structure": len(data.structure),
        "decisions": len(data.decisions),
        "fills": len(data.fills),
    }


def main(words: Sequence[str]) -> int:
    """Write the page; return a documented exit code."""
    options = arguments(words)
    if missing := lacking("plotly", "research"):
        return exit_codes.fail(missing, exit_codes.ENVIRONMENT)
    leave_plain()  # a few thousand bars: sooner done as plain Python than compiled
    try:
        document = _draw(options)
    except BarSizeError as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    except ValueError as error:
        return exit_codes.fail(f"not a time: {error}", exit_codes.USAGE)
    except (LookupError, StoreError, OSError) as error:
        return exit_codes.fail(exit_codes.sentence(error), exit_codes.ENVIRONMENT)
    counts = ("bars", "structure", "decisions", "fills")
    shown = ", ".join(f"{document[name]:,} {name}" for name in counts)
    print(json.dumps(document) if options.json else f"{document['written']}: {shown}")
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
