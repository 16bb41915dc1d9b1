"""Which rule a stream fault is made of: from its order to the action on its frames."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from exchange import frame_changes as changes
from exchange.fault_orders import UNBOUNDED, StreamOrder
from exchange.stream_faults import (
    Action,
    Alter,
    Burst,
    Drop,
    HoldBack,
    Lag,
    Repeat,
    Replay,
    StreamRule,
)

# Without a count these go on until they end; the others act once.
LASTING = frozenset({"silent", "frozen", "lag", "tagged"})

# An order's own words depend on its kind; the table of kinds pairs them.
Words = Any
Make = Callable[[Words], Action]

ACTIONS: dict[str, Make] = {
    "gap": lambda _o: Drop(),
    "drop": lambda _o: Drop(),
    "silent": lambda _o: Drop(),
    "duplicate": lambda o: Repeat(o.copies),
    "reorder": lambda o: HoldBack(o.span),
    "replayed": lambda o: Replay(o.span),
    "burst": lambda o: Burst(o.span),
    "lag": lambda o: Lag(o.span),
    "frozen": lambda _o: Alter(changes.Freeze()),
    "crossed": lambda _o: Alter(changes.crossed),
    "locked": lambda _o: Alter(changes.locked),
    "bad_price": lambda o: Alter(changes.bad_price(o.value)),
    "bad_quantity": lambda o: Alter(changes.bad_quantity(o.value)),
    "off_grid": lambda _o: Alter(changes.off_grid),
    "price_factor": lambda o: Alter(changes.price_jump(o.factor)),
    "set_field": lambda o: Alter(changes.field(o.field, o.value)),
    "wrong_pu": lambda o: Alter(changes.moved_ids(("pu",), o.offset)),
    "wrong_id": lambda o: Alter(changes.moved_ids(("U", "u", "t", "a"), o.offset)),
    "wrong_time": lambda o: Alter(changes.moved_ids(("E", "T"), o.offset)),
    "wrong_symbol": lambda o: Alter(changes.wrong_symbol(o.to)),
    "mixed_product": lambda _o: Alter(changes.coin_margined(same_symbol=False), beside=True),
    "other_product": lambda _o: Alter(changes.coin_margined(same_symbol=True)),
    "tagged": lambda _o: Alter(changes.tagged),
    "garbage": lambda o: Alter(changes.garbage(Random(o.seed))),
    "half": lambda _o: Alter(changes.half),
    "empty": lambda _o: Alter(changes.emptied),
    "padded": lambda o: Alter(changes.padded(o.size_bytes)),
}


def uses_of(kind: str, order: StreamOrder) -> int:
    """Return how often a fault acts before it ends by itself."""
    if order.count:
        return order.count
    return UNBOUNDED if order.duration_ms or kind in LASTING else 1


def rule_of(kind: str, order: StreamOrder, place: int = 0) -> StreamRule:
    """Return one rule of a fault; `place` tells apart the streams that one order names."""
    return StreamRule(
        ACTIONS[kind](order),
        uses_of(kind, order),
        skip=order.after_frames,
        share=order.share,
        random=Random(f"{order.seed}/{place}"),
    )
