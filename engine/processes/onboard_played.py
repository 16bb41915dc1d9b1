"""The question to `onboard_record`, which plays journals beside the engine, and its answer."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from engine.domain import typed
from engine.processes.beside import run_beside
from engine.processes.onboard_rules import SessionRecord

PLAYER: Final = "engine.processes.onboard_record"
DEADLINE_S: Final = 900.0  # kernels may have to be compiled first


class RecordAsked(Struct, frozen=True, kw_only=True):
    """The question to `onboard_record`: what a part would have made since a time."""

    state_dir: str
    session_id: str  # of this run, whose configuration says rows and fees
    home: str
    name: str  # of a strategy, or a symbol
    is_symbol: bool
    since_ns: int  # wall clock
    known: tuple[str, ...] = ()  # sessions whose records are known and do not change


def played(asked: RecordAsked) -> tuple[dict[str, SessionRecord], str]:
    """Return the records of sessions by id, or why there are none; takes seconds to minutes."""
    words = msgspec.json.encode(asked).decode()
    status, said = run_beside(PLAYER, words, deadline_s=DEADLINE_S)
    if status != 200:
        return {}, said.decode("utf-8", "replace").removeprefix("aegis: ")
    return typed.decode(said, dict[str, SessionRecord]), ""
