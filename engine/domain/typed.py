"""Bytes and plain values made typed, whichever thread asks first.

msgspec works a type out when it is first asked for, and shows its table to other threads before the
table is full: a second thread that asks meanwhile reads a null pointer, and the process is gone
(signal 11; seen in an orchestrator that read documents of earlier sessions while it wrote its own).
So tables are made here, one at a time. A `msgspec.json.Decoder` that a module makes as it is
imported needs no more; elsewhere these two are called.
"""

from __future__ import annotations

import threading
from typing import Final, TypeVar

import msgspec

Kind = TypeVar("Kind")

_making: Final = threading.Lock()
_made: Final[set[object]] = set()  # at most the types that the program names


def decode(body: bytes | str, kind: type[Kind]) -> Kind:
    """Return a JSON document as a value of a type.

    Raises:
        msgspec.MsgspecError: it is not one.
        UnicodeDecodeError: it is no UTF-8.
    """
    _make(kind)
    return msgspec.json.decode(body, type=kind)


def convert(value: object, kind: type[Kind], *, strict: bool = True) -> Kind:
    """Return a value of plain parts as one of a type; not strict: a text may stand for a number.

    Raises:
        msgspec.ValidationError: it is not one.
    """
    _make(kind)
    return msgspec.convert(value, kind, strict=strict)


def _make(kind: type) -> None:
    if kind not in _made:
        with _making:
            msgspec.json.Decoder(kind)
            _made.add(kind)
