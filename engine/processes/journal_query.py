"""One question to a journal, answered as JSON on standard output: `journal_page` asks.

A process of its own, because numpy and a journal's bytes have no place in main. Nothing is written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from engine import exit_codes
from engine.domain.kernel import leave_plain
from engine.domain.records import VECTOR_DTYPE
from engine.processes.execution_report import FIGURES
from engine.processes.feature_files import (
    BAR_COLUMNS,
    FeatureStoreError,
    Plan,
    check_plan,
    journaled_vectors,
    present_plan,
)
from engine.processes.journal_page import CostsAsked, FeaturesAsked
from engine.store.errors import StoreError
from engine.store.execution_costs import lines_of
from engine.store.journal import SOURCE_FEATURES, segment_paths
from engine.store.order_costs import session_costs
from engine.store.reader import join_records, segment_header
from engine.store.session import read_document

Vectors = NDArray[np.void]
_ASKED: Final = msgspec.json.Decoder[FeaturesAsked | CostsAsked](FeaturesAsked | CostsAsked)
TAIL_SEGMENTS: Final = 2  # in which the newest vector is looked for; 64 MB each


class NoAnswerError(Exception):
    """There is nothing to answer with; the message is a sentence."""


def features(asked: FeaturesAsked, plan: Plan) -> dict[str, Any]:
    """Return vectors by the names of their columns; NaN is null.

    Args:
        asked: which, and how many.
        plan: what computed them.

    Returns:
        `rows`, oldest first, each the bar and its `values`; `after`: the last one's sequence.

    Raises:
        NoAnswerError: no such instrument or column, or no vector of it.
        FeatureStoreError: another plan computed them.
        StoreError: the journal cannot be read.
    """
    directory = Path(asked.directory)
    places = _places(asked.names, plan)
    symbols = [instrument.symbol for instrument in read_document(directory).instruments]
    if asked.symbol not in symbols:
        raise NoAnswerError(f"no instrument {asked.symbol!r} in session {directory.name}")
    chosen = _chosen(directory, asked, symbols.index(asked.symbol))
    if not asked.limit and not len(chosen):
        raise NoAnswerError(f"no vector of {asked.symbol} and {asked.timeframe_s} s yet")
    check_plan(chosen, plan, directory.name)
    return {
        "session": directory.name,
        "instrument": asked.symbol,
        "timeframe_s": asked.timeframe_s,
        "plan": plan.plan_hash,
        "rows": [_row(vector, places) for vector in chosen],
        "after": int(chosen["sequence"][-1]) if len(chosen) else asked.after,
    }


def costs(asked: CostsAsked) -> dict[str, Any]:
    """Return what an order's execution cost, bps; None where it is not known.

    Raises:
        NoAnswerError: no such order, or it has no fill.
        StoreError: the journal cannot be read.
    """
    found = session_costs(Path(asked.directory), asked.client_order_id).orders
    if not found:
        raise NoAnswerError(f"no order {asked.client_order_id!r} with a fill in this session")
    ((order, spent),) = found
    return {
        "order": order.client_order_id,
        "instrument": order.instrument,
        "strategy": order.strategy,
        **{figure: of(spent) for figure, of in FIGURES.items()},
        "text": "; ".join(line.strip() for line in lines_of(order.client_order_id, spent)),
    }


def _places(names: Sequence[str], plan: Plan) -> dict[str, int]:
    known = {name: place for place, name in enumerate(plan.names)}
    strange = [name for name in names if name not in known]
    if strange:
        raise NoAnswerError(f"no feature {strange[0]!r}; docs/features.md lists them")
    return {name: known[name] for name in names} if names else known


def _chosen(directory: Path, asked: FeaturesAsked, index: int) -> Vectors:
    first = asked.after if asked.limit else max(asked.after, _tail(directory))
    parts: list[Vectors] = []
    count = 0
    for vectors in journaled_vectors(directory, first):
        own = (vectors["instrument_index"] == index) & (vectors["timeframe_s"] == asked.timeframe_s)
        fresh = vectors[own & (vectors["sequence"] > asked.after)]
        if not asked.limit:
            parts = [fresh[-1:]] if len(fresh) else parts
            continue
        parts.append(fresh[: asked.limit - count])
        count += len(parts[-1])
        if count == asked.limit:
            break
    return join_records(parts, VECTOR_DTYPE)


def _tail(directory: Path) -> int:
    """Return with which record the last segments begin; 0: there is none."""
    headers = map(segment_header, segment_paths(directory, SOURCE_FEATURES)[-TAIL_SEGMENTS:])
    return next((header.first_sequence for header in headers if header is not None), 0)


def _row(vector: Any, places: dict[str, int]) -> dict[str, Any]:  # noqa: ANN401  a record
    values = vector["values"]
    bar = {name: int(vector[name]) for name in BAR_COLUMNS}
    return bar | {"values": {name: float(values[place]) for name, place in places.items()}}


def main() -> int:
    """Answer the question that the command line holds; return the exit code."""
    leave_plain()  # only what columns are called is asked of the kernels
    asked = _ASKED.decode(sys.argv[1])
    try:
        found = (
            features(asked, present_plan()) if isinstance(asked, FeaturesAsked) else costs(asked)
        )
    except (NoAnswerError, FeatureStoreError, StoreError) as error:
        return exit_codes.fail(str(error), exit_codes.ENVIRONMENT)
    sys.stdout.buffer.write(orjson.dumps(found))
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main())
