"""Recorded frames as typed messages of msgspec: what a program that knows its messages declares."""

from __future__ import annotations

import msgspec


class Quote(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    """A quote as a typed message."""

    u: int
    s: str
    b: float
    B: float
    a: float
    A: float
    T: int


class Trade(msgspec.Struct, tag_field="e", tag="trade", gc=False):
    """A trade as a typed message."""

    t: int
    s: str
    p: float
    q: float
    T: int
    m: bool


class Diff(msgspec.Struct, tag_field="e", tag="depthUpdate"):
    """A book diff as a typed message."""

    u: int
    pu: int
    s: str
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]


class Wrapped(msgspec.Struct):
    """The combined wrapper as a typed message."""

    stream: str
    data: Quote | Trade | Diff
