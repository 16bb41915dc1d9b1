"""What a lie does to one frame: payload in, payload out, nothing else.

A change takes the payload of a public stream and returns it with one thing wrong. Payloads that do
not have what a change needs come back as they are: a depth diff has no single bid to cross.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import orjson

Frame = dict[str, Any]
Change = Callable[[bytes], bytes]

COIN_M = 2  # product family, as in the key `st`
PRICE_KEYS: dict[str, tuple[str, ...]] = {
    "bookTicker": ("b", "a"),
    "trade": ("p",),
    "aggTrade": ("p",),
    "markPriceUpdate": ("p", "i", "ap", "P"),
    "24hrMiniTicker": ("c", "o", "h", "l"),
    "kline": ("o", "c", "h", "l"),
}
QTY_KEYS: dict[str, tuple[str, ...]] = {
    "bookTicker": ("B", "A"),
    "trade": ("q",),
    "aggTrade": ("q", "nq"),
    "24hrMiniTicker": ("v", "q"),
    "kline": ("v", "q"),
}
FROZEN_KEYS = ("b", "B", "a", "A", "p", "q", "nq", "i", "ap", "P", "c", "o", "h", "l", "v", "k")


def edited(body: bytes, edit: Callable[[Frame], None]) -> bytes:
    """Return a payload after an edit of its JSON object, in place; no object, no edit."""
    try:
        frame = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(frame, dict):
        return body
    edit(frame)
    return orjson.dumps(frame)


def _scope(frame: Frame) -> Frame:
    """Return the object that holds the numbers: a kline keeps them one level down."""
    inner = frame.get("k")
    return inner if isinstance(inner, dict) else frame


def _set_prices(frame: Frame, write: Callable[[str], str], *, every: bool) -> None:
    name = str(frame.get("e", ""))
    if name == "depthUpdate":
        _set_level(frame, 0, write, every=every)
        return
    scope = _scope(frame)
    keys = PRICE_KEYS.get(name, ("p",))
    for key in keys if every else keys[:1]:
        if isinstance(scope.get(key), str):
            scope[key] = write(scope[key])


def _set_level(frame: Frame, place: int, write: Callable[[str], str], *, every: bool) -> None:
    levels = [*frame.get("b", []), *frame.get("a", [])]
    for level in levels if every else levels[:1]:
        level[place] = write(level[place])


def bad_price(value: str) -> Change:
    """Return a change that writes `value` where the first price stood."""

    def edit(frame: Frame) -> None:
        _set_prices(frame, lambda _text: value, every=False)

    return lambda body: edited(body, edit)


def bad_quantity(value: str) -> Change:
    """Return a change that writes `value` where the first quantity stood."""

    def edit(frame: Frame) -> None:
        name = str(frame.get("e", ""))
        if name == "depthUpdate":
            _set_level(frame, 1, lambda _text: value, every=False)
            return
        scope = _scope(frame)
        key = QTY_KEYS.get(name, ("q",))[0]
        if key in scope:
            scope[key] = value

    return lambda body: edited(body, edit)


def off_grid(body: bytes) -> bytes:
    """Return a payload whose first price lies between two ticks."""
    return edited(body, lambda frame: _set_prices(frame, lambda text: text + "5", every=False))


def price_jump(factor: int) -> Change:
    """Return a change that multiplies every price."""

    def times(text: str) -> str:
        whole, point, fraction = text.partition(".")
        units = str(int(whole + fraction) * factor).rjust(len(fraction) + 1, "0")
        cut = len(units) - len(fraction)
        return units[:cut] + point + units[cut:]

    return lambda body: edited(body, lambda frame: _set_prices(frame, times, every=True))


def crossed(body: bytes) -> bytes:
    """Return a payload whose sides have changed places: a quote, or a diff's levels."""

    def edit(frame: Frame) -> None:
        if "b" in frame and "a" in frame:
            frame["b"], frame["a"] = frame["a"], frame["b"]
        if "B" in frame and "A" in frame:
            frame["B"], frame["A"] = frame["A"], frame["B"]

    return edited(body, edit)


def locked(body: bytes) -> bytes:
    """Return a quote whose bid equals its ask."""

    def edit(frame: Frame) -> None:
        if isinstance(frame.get("a"), str):
            frame["b"] = frame["a"]

    return edited(body, edit)


def field(name: str, value: object) -> Change:
    """Return a change that writes any JSON value into a field; absent fields are added."""

    def edit(frame: Frame) -> None:
        frame[name] = value

    return lambda body: edited(body, edit)


def moved_ids(names: tuple[str, ...], offset: int) -> Change:
    """Return a change that moves whole numbers by an offset, not below zero."""

    def edit(frame: Frame) -> None:
        for name in names:
            if isinstance(frame.get(name), int):
                frame[name] = max(0, frame[name] + offset)

    return lambda body: edited(body, edit)


def wrong_symbol(to: str) -> Change:
    """Return a change that names another symbol."""

    def edit(frame: Frame) -> None:
        frame["s"] = to
        inner = frame.get("k")
        if isinstance(inner, dict) and "s" in inner:
            inner["s"] = to

    return lambda body: edited(body, edit)


def coin_margined(*, same_symbol: bool) -> Change:
    """Return a change that makes a frame one of the COIN-M family.

    Its prices are a dollar contract's; with `same_symbol` only the key `st` tells.
    """

    def edit(frame: Frame) -> None:
        symbol = str(frame.get("s", ""))
        base = symbol.removesuffix("USDT").removesuffix("USDC")
        frame["ps"] = f"{base}USD"
        frame["st"] = COIN_M
        if not same_symbol:
            frame["s"] = f"{base}USD_PERP"

    return lambda body: edited(body, edit)


def tagged(body: bytes) -> bytes:
    """Return a good payload with the keys the families were given: `st` 1 and the pair."""

    def edit(frame: Frame) -> None:
        frame["st"] = 1
        frame["ps"] = frame.get("s", "")

    return edited(body, edit)


def half(body: bytes) -> bytes:
    """Return the first half of a payload."""
    return body[: len(body) // 2]


def emptied(_body: bytes) -> bytes:
    """Return nothing at all."""
    return b""


def padded(size_bytes: int) -> Change:
    """Return a change that blows a payload up with white space, still the same JSON."""
    return lambda body: body[:-1].ljust(size_bytes - 1) + body[-1:]


def garbage(random: Random) -> Change:
    """Return a change that replaces a payload by as many random bytes."""
    return lambda body: random.randbytes(len(body))


class Freeze:
    """Prices and quantities of the first frame in every later one; ids and times go on."""

    def __init__(self) -> None:
        """Start with nothing frozen."""
        self._kept: Frame | None = None

    def __call__(self, body: bytes) -> bytes:
        """Return a payload with the frozen numbers."""
        return edited(body, self._edit)

    def _edit(self, frame: Frame) -> None:
        if self._kept is None:
            # A diff that repeats its own levels would change nothing; frozen, it has none.
            levels = frame.get("e") == "depthUpdate"
            self._kept = {
                key: [] if levels and key in {"b", "a"} else frame[key]
                for key in FROZEN_KEYS
                if key in frame
            }
        frame.update(self._kept)
