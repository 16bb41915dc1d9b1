"""The picture of a chart: bars, structure, decisions and fills, in plotly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from research.chart_data import ChartData, Mark
from research.chart_shapes import Line, Point, Zone

Figure = Any  # plotly has no types
Times = NDArray[np.datetime64]
Named = TypeVar("Named", Zone, Line, Point)

UP, DOWN, QUIET = "#1a9850", "#d73027", "#888888"
ENTRY, REFUSED, BREAK = "#4575b4", "#bdbdbd", "#555555"
LABELS_MAX: Final = 12  # more decisions than this say their reason only when pointed at
ZONE_OPACITY: Final = {"gap": 0.15, "order block": 0.3, "breaker": 0.18, "OTE": 0.25}
# dash, colour, whether it is shown before somebody asks for it
LINE_LOOKS: Final = {
    "BOS": ("dot", BREAK, True),
    "CHOCH": ("dash", BREAK, True),
    "BOS_LIVE": ("dot", QUIET, True),
    "pool": ("solid", "#e08214", True),
    "leg": ("solid", "#9e9ac8", True),
}
SPAN_LOOK: Final = ("dashdot", "#2b8cbe", True)
POINT_LOOKS: Final = {
    "swing": ("circle-open", QUIET),
    "sweep": ("asterisk-open", "#e08214"),
    "sweep, reclaimed": ("star", "#e08214"),
    "OTE reached": ("square-open", "#6a51a3"),
}
SESSIONS: Final = (("Asia", "#c6dbef"), ("London", "#fdd0a2"), ("New York", "#c7e9c0"))


def figure(data: ChartData) -> Figure:
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
    _add_shapes(made, data, times)
    _add_sessions(made, data, times)
    _add_decisions(made, data)
    _add_fills(made, data)
    made.update_layout(
        title={
            "text": f"{data.symbol}, bars of {data.length}, venue time (UTC)",
            "y": 0.985,
            "yanchor": "top",
        },
        xaxis_rangeslider_visible=False,
        hovermode="closest",
        template="plotly_white",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        margin={"t": 130, "l": 70, "r": 20, "b": 40},
    )
    made.update_yaxes(tickformat=",~f", row=1, col=1)
    return made


def _times(stamps_ns: NDArray[np.int64] | Sequence[int]) -> Times:
    return np.asarray(stamps_ns, dtype="datetime64[ns]")


def _add_bars(made: Figure, data: ChartData, times: Times) -> None:
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


def _add_shapes(made: Figure, data: ChartData, times: Times) -> None:
    """Draw zones, lines and points, one trace per name, so that the legend shows or hides each."""
    for name, zones in _by_name(data.drawn.zones).items():
        for side, color in ((1, UP), (-1, DOWN)):
            own = [zone for zone in zones if zone.side == side]
            if own:
                _add_zones(made, name, own, times, color)
    for name, lines in _by_name(data.drawn.lines).items():
        _add_lines(made, name, lines, times)
    for name, points in _by_name(data.drawn.points).items():
        _add_points(made, name, points, times)


def _by_name(drawn: Iterable[Named]) -> dict[str, list[Named]]:
    found: dict[str, list[Named]] = {}
    for one in drawn:
        found.setdefault(one.name, []).append(one)
    return found


def _add_zones(made: Figure, name: str, zones: Sequence[Zone], times: Times, color: str) -> None:
    from plotly import graph_objects as go

    x: list[Any] = []
    y: list[float | None] = []
    for zone in zones:
        first, last = times[zone.first], times[zone.last]
        x += [first, last, last, first, first, None]
        y += [zone.near, zone.near, zone.far, zone.far, zone.near, None]
    trace = go.Scatter(
        x=x,
        y=y,
        mode="lines",
        fill="toself",
        line={"width": 0},
        fillcolor=color,
        opacity=ZONE_OPACITY.get(name, 0.15),
        name=f"{name} {'below' if zones[0].side > 0 else 'above'}",
        hoverinfo="name",
    )
    made.add_trace(trace, row=1, col=1)


def _add_lines(made: Figure, name: str, lines: Sequence[Line], times: Times) -> None:
    from plotly import graph_objects as go

    x: list[Any] = []
    y: list[float | None] = []
    for line in lines:
        x += [times[line.first], times[line.last], None]
        y += [line.begin, line.end, None]
    dash, color, is_shown = LINE_LOOKS.get(name, SPAN_LOOK)
    trace = go.Scatter(
        x=x,
        y=y,
        mode="lines",
        line={"dash": dash, "color": color, "width": 1},
        name=name,
        legendgroup=name,
        visible=True if is_shown else "legendonly",
        hoverinfo="name+y",
    )
    made.add_trace(trace, row=1, col=1)


def _add_points(made: Figure, name: str, points: Sequence[Point], times: Times) -> None:
    from plotly import graph_objects as go

    texts = [
        f"{name} {'up' if point.side > 0 else 'down'}, known {times[point.known_at]}"
        for point in points
    ]
    symbol, color = POINT_LOOKS.get(name, ("x-thin-open", QUIET))
    trace = go.Scatter(
        x=[times[point.bar] for point in points],
        y=[point.price for point in points],
        text=texts,
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=name not in LINE_LOOKS,
        marker={"symbol": symbol, "size": 8, "color": color},
    )
    made.add_trace(trace, row=1, col=1)


def _add_sessions(made: Figure, data: ChartData, times: Times) -> None:
    """Shade the bars of each session, and say which colour is which."""
    from plotly import graph_objects as go

    bands = []
    for k, (name, color) in enumerate(SESSIONS):
        for first, last in runs(data.open_sessions >> k & 1):
            bands.append(
                {
                    "type": "rect",
                    "xref": "x",
                    "yref": "y domain",
                    "x0": times[first],
                    "x1": times[last],
                    "y0": 0.97 - 0.01 * k,
                    "y1": 0.98 - 0.01 * k,
                    "fillcolor": color,
                    "line_width": 0,
                }
            )
        if (data.open_sessions >> k & 1).any():
            marker = {"color": color, "symbol": "square", "size": 9}
            made.add_trace(
                go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker),
                row=1,
                col=1,
            )
    made.update_layout(shapes=bands)


def runs(flags: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return first and last place of every run of ones."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags, [0]))))
    return [(int(first), int(behind) - 1) for first, behind in edges.reshape(-1, 2)]


def _add_decisions(made: Figure, data: ChartData) -> None:
    for name, refused, color in (("decisions", False, ENTRY), ("refused", True, REFUSED)):
        found = [mark for mark in data.decisions if mark.is_refused is refused]
        if found:
            _add_marks(made, name, found, [_price(data, mark) for mark in found], color, "diamond")


def _add_fills(made: Figure, data: ChartData) -> None:
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
    made: Figure,
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
        text=[mark.label for mark in found],
        customdata=[mark.detail for mark in found],
        hovertemplate="%{customdata}<extra></extra>",
        mode="markers+text" if symbol == "diamond" and len(found) <= LABELS_MAX else "markers",
        textposition="top center",
        textfont={"size": 9, "color": color},
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
