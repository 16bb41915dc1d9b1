"""`aegis chart`: an instrument's bars, structure, decisions and fills, as a page to look at.

    aegis chart                                    the busiest instrument of the newest session
    aegis chart BTCUSDT --timeframe 5 --output btc.html
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
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from engine import exit_codes
from engine.domain.kernel import leave_plain
from engine.store.errors import StoreError
from engine.store.session import SessionDocument, read_document

if TYPE_CHECKING:
    from research.chart_data import ChartData, Mark

BARS_DRAWN_MAX: Final = 20_000  # what a browser still moves about smoothly
NS_PER_S: Final = 1_000_000_000
TIME_MAX_NS: Final = 2**63 - 1
UP, DOWN, QUIET = "#1a9850", "#d73027", "#888888"
PLOTLY_MISSING: Final = "aegis chart needs plotly: pip install 'aegis-engine[research]'"


def figure(data: ChartData) -> Any:  # noqa: ANN401  plotly has no types
    """Return the picture of what a chart shows."""
    from plotly.subplots import make_subplots

    made = make_subplots(
        rows=3,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.7, 0.15, 0.15],
        vertical_spacing=0.02,
        subplot_titles=("", "volume: bought and sold by takers", "position"),
    )
    times = _times(data.bars["start_ns"])
    _add_bars(made, data, times)
    _add_structure(made, data, times)
    _add_decisions(made, data)
    _add_fills(made, data)
    made.update_layout(
        title=f"{data.symbol}, bars of {data.timeframe_s} s, venue time (UTC)",
        xaxis_rangeslider_visible=False,
        hovermode="closest",
        template="plotly_white",
        legend={"orientation": "h", "y": 1.04},
        margin={"t": 90, "l": 70, "r": 20, "b": 40},
    )
    made.update_yaxes(tickformat=",~f", row=1, col=1)
    return made


def _times(stamps_ns: Any) -> Any:  # noqa: ANN401  an array or a list
    return np.asarray(stamps_ns, dtype="datetime64[ns]")


def _add_bars(made: Any, data: ChartData, times: Any) -> None:  # noqa: ANN401  plotly's
    from plotly import graph_objects as go

    prices = {
        name: data.bars[f"{name}_ticks"] * data.tick for name in ("open", "high", "low", "close")
    }
    made.add_trace(
        go.Candlestick(
            x=times,
            **prices,
            name="bars",
            increasing_line_color=UP,
            decreasing_line_color=DOWN,
        ),
        row=1,
        col=1,
    )
    bought = data.bars["buy_lots"] * data.lot
    sold = (data.bars["volume_lots"] - data.bars["buy_lots"]) * data.lot
    for name, volume, color in (("bought", bought, UP), ("sold", -sold, DOWN)):
        trace = go.Bar(x=times, y=volume, name=name, marker_color=color, showlegend=False)
        made.add_trace(trace, row=2, col=1)
    made.update_layout(barmode="relative")


def _add_structure(made: Any, data: ChartData, times: Any) -> None:  # noqa: ANN401  plotly's
    """Draw swings as points, breaks as lines from swing to break, gaps until they were met."""
    from plotly import graph_objects as go

    met = {
        (e.side, e.bar, e.level): e.known_at
        for e in data.structure
        if e.kind.name == "GAP_MITIGATED"
    }
    points: dict[str, list[tuple[Any, float, str]]] = {}
    for event in data.structure:
        name, known = event.kind.name, times[event.known_at]
        told = f"{name} {'up' if event.side > 0 else 'down'}, known {known}"
        if event.kind.name == "GAP":
            end = met.get((event.side, event.known_at, event.level), len(times) - 1)
            made.add_shape(
                type="rect", x0=known, x1=times[end], y0=event.level, y1=event.far,
                fillcolor=UP if event.side > 0 else DOWN, opacity=0.15, line_width=0, row=1, col=1,
            )  # fmt: skip
        elif event.broken_at >= 0:
            made.add_shape(
                type="line", x0=times[event.bar], x1=times[event.broken_at], y0=event.level,
                y1=event.level, line={"dash": "dot", "color": QUIET}, row=1, col=1,
            )  # fmt: skip
            points.setdefault(name, []).append((times[event.broken_at], event.level, told))
        elif name in {"SWING", "SWING_REPLACED"}:
            points.setdefault("swing", []).append((times[event.bar], event.level, told))
    for name, found in points.items():
        x, y, text = zip(*found, strict=True)
        symbol = "circle-open" if name == "swing" else "x-thin-open"
        marker = {"symbol": symbol, "size": 7, "color": QUIET}
        trace = go.Scatter(x=x, y=y, text=text, mode="markers", name=name, marker=marker)
        made.add_trace(trace, row=1, col=1)


def _add_decisions(made: Any, data: ChartData) -> None:  # noqa: ANN401  plotly's
    for name, refused, color in (("decisions", False, "#4575b4"), ("refused", True, "#bdbdbd")):
        found = [mark for mark in data.decisions if mark.is_refused is refused]
        if found:
            _add_marks(made, name, found, [_price(data, mark) for mark in found], color, "diamond")


def _add_fills(made: Any, data: ChartData) -> None:  # noqa: ANN401  plotly's
    from plotly import graph_objects as go

    for side, name, color in ((1, "buys", UP), (-1, "sells", DOWN)):
        found = [mark for mark in data.fills if mark.side == side]
        if found:
            symbol = "triangle-up" if side > 0 else "triangle-down"
            _add_marks(made, name, found, [mark.price for mark in found], color, symbol)
    for strategy in sorted({mark.label for mark in data.fills}):
        found = [mark for mark in data.fills if mark.label == strategy]
        trace = go.Scatter(
            x=_times([mark.time_ns for mark in found]),
            y=[mark.position for mark in found],
            line={"shape": "hv"},
            name=f"position of {strategy}",
        )
        made.add_trace(trace, row=3, col=1)


def _add_marks(
    made: Any,  # noqa: ANN401  plotly's
    name: str,
    found: Sequence[Mark],
    prices: Sequence[float],
    color: str,
    symbol: str,
) -> None:
    from plotly import graph_objects as go

    trace = go.Scatter(
        x=_times([mark.time_ns for mark in found]),
        y=prices,
        text=[mark.detail for mark in found],
        hovertemplate="%{text}<extra></extra>",
        mode="markers",
        name=name,
        marker={"symbol": symbol, "size": 11, "color": color, "line": {"width": 1}},
    )
    made.add_trace(trace, row=1, col=1)


def _price(data: ChartData, mark: Mark) -> float:
    """Return where to draw a decision: its limit price, else the close of the bar it fell into."""
    if mark.price > 0:
        return mark.price
    place = int(np.searchsorted(data.bars["start_ns"], mark.time_ns, side="right")) - 1
    return float(data.bars["close_ticks"][max(place, 0)]) * data.tick


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(
        "aegis chart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("instrument", nargs="?", help="symbol; default: the one with most trades")
    parser.add_argument("--session", help="session id or journal directory; default: the newest")
    parser.add_argument(
        "--timeframe", type=_seconds, help="seconds of a bar; default: a strategy's"
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


def find_session(home: Path, session: str | None) -> Path:
    """Return the journal directory that is meant.

    Raises:
        LookupError: there is none.
    """
    if session is not None and (Path(session) / "session.json").is_file():
        return Path(session)
    found = [path.parent for path in (home / "state").glob("*/journal/*/session.json")]
    if session is not None:
        found = [path for path in found if path.name == session]
    if not found:
        raise LookupError(f"no journal {session or 'of any session'} in {home}/state")
    return max(found, key=lambda path: (path / "session.json").stat().st_mtime_ns)


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


def _draw(options: argparse.Namespace) -> dict[str, object]:
    from research.chart_data import Span, chart_data, within

    directory = find_session(options.home, options.session)
    document = read_document(directory)
    index = instrument_index(directory, document, options.instrument)
    timeframe_s = options.timeframe or min(
        (row.timeframe_s for row in document.strategies), default=1
    )
    data = chart_data(directory, document, index, timeframe_s)
    if not len(data.bars):
        raise LookupError(f"no bar of {timeframe_s} s of {data.symbol} was completed")
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
        "timeframe_s": timeframe_s,
        "bars": len(data.bars),
        "structure": len(data.structure),
        "decisions": len(data.decisions),
        "fills": len(data.fills),
    }


def main(words: Sequence[str]) -> int:
    """Write the page; return a documented exit code."""
    options = arguments(words)
    try:
        import plotly  # noqa: F401  only whether it is there
    except ImportError:
        return exit_codes.fail(PLOTLY_MISSING, exit_codes.ENVIRONMENT)
    leave_plain()  # a few thousand bars: sooner done as plain Python than compiled
    try:
        document = _draw(options)
    except ValueError as error:
        return exit_codes.fail(f"not a time: {error}", exit_codes.USAGE)
    except (LookupError, StoreError, OSError) as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)
    counts = ("bars", "structure", "decisions", "fills")
    shown = ", ".join(f"{document[name]:,} {name}" for name in counts)
    print(json.dumps(document) if options.json else f"{document['written']}: {shown}")
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
