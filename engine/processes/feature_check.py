"""Parity: what a session's features are when its market runs again, against what was stored.

The session's steps run as `aegis replay` runs them; the vectors they leave are compared bit for
bit, in order, with those of its journal and of the feature store. A stored vector that the run did
not make is a difference; one that the run made and nobody stored is missing, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.domain.records import VECTOR_DTYPE
from engine.processes.feature_files import (
    FeatureStoreError,
    Plan,
    check_plan,
    journaled_vectors,
    session_files,
    stored_vectors,
)

Vectors = NDArray[np.void]
DIFFERENCES_MAX: Final = 10
KEY: Final = ("instrument_index", "timeframe_s", "number")


class Parity(NamedTuple):
    """What comparing one place with the run showed."""

    place: str  # journal, or the store's folder
    compared: int
    missing: int  # the run made them, nobody stored them
    beyond: int  # stored by a brain that was killed before it marked their step: not compared
    differences: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Return whether every stored vector has the bits that the run made."""
        return not self.differences


class Stored:
    """Vectors of one place, taken in order as the run makes its own."""

    def __init__(self, place: str, batches: Iterable[Vectors], plan: Plan) -> None:
        """Nothing is read yet."""
        self.place = place
        self.compared = self.missing = self.beyond = 0
        self.differences: list[str] = []
        self._rows = (batch[k : k + 1] for batch in batches for k in range(len(batch)))
        self._next: Vectors | None = next(self._rows, None)
        self._plan = plan

    def begin_brain(self) -> None:
        """A new brain begins: what its predecessor left beyond its last mark is passed over."""
        while self._next is not None and self._next["number"][0] > 0:
            self.beyond += 1
            self._next = next(self._rows, None)

    def meet(self, made: Vectors) -> None:
        """Compare one vector of the run, VECTOR_DTYPE[1], with the next one stored.

        Raises:
            FeatureStoreError: another plan computed what is stored.
        """
        stored = self._next
        if stored is None or any(stored[name][0] != made[name][0] for name in KEY):
            self.missing += 1
            return
        check_plan(stored, self._plan, self.place)
        self._next = next(self._rows, None)
        self.compared += 1
        if _bits(stored) != _bits(made):
            self._tell(stored, made)

    def result(self) -> Parity:
        """Return what was found; the run is over."""
        rest = sum(1 for _ in self._rows) + (self._next is not None)
        if self.missing and rest:
            # Both are left over: they would have met, had nobody changed which bar they are of.
            self._add(f"{rest} vectors are of bars that the run did not make")
            rest = 0
        return Parity(
            self.place, self.compared, self.missing, self.beyond + rest, tuple(self.differences)
        )

    def _tell(self, stored: Vectors, made: Vectors) -> None:
        where = ", ".join(f"{name} {int(made[name][0])}" for name in KEY)
        pairs = zip(stored["values"][0], made["values"][0], self._plan.names, strict=False)
        told = [
            f"{name} {ours} != {theirs}"
            for theirs, ours, name in pairs
            if theirs.tobytes() != ours.tobytes()
        ]
        fields = (name for name in VECTOR_DTYPE.names or () if name not in {"sequence", "values"})
        told += [
            f"{name} {made[name][0]} != {stored[name][0]}"
            for name in fields
            if made[name][0] != stored[name][0]
        ]
        self._add(f"{where}: run != stored in {', '.join(told[:3]) or 'unused bytes'}")

    def _add(self, difference: str) -> None:
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(difference)


def compare_session(directory: Path, root: Path, plan: Plan) -> list[Parity]:
    """Run a session again and compare its vectors with those of journal and store.

    Args:
        directory: the session's journal.
        root: the store's folder; it need not exist.
        plan: of this version.

    Raises:
        FeatureStoreError: the session kept no vectors, or its files were computed otherwise.
        NotReplayableError: the session cannot be run again.
        StoreError: the journal cannot be read.
    """
    paths = session_files(root, directory.name)
    places = [Stored("journal", journaled_vectors(directory), plan)]
    if paths:
        places.append(Stored(str(root), [stored_vectors(paths)], plan))
    for made in made_vectors(directory, places):
        for place in places:
            place.meet(made)
    return [place.result() for place in places]


def made_vectors(directory: Path, places: Iterable[Stored]) -> Iterator[Vectors]:
    """Yield each vector that running a session again makes, VECTOR_DTYPE[1]; imports Numba.

    Raises:
        FeatureStoreError: the session kept no vectors.
        NotReplayableError: the session cannot be run again.
        StoreError: the journal cannot be read.
    """
    from engine.domain.market_state import VECTORS_WAITING
    from engine.processes.replay import run_again
    from engine.processes.replay_journal import StepReader

    for done in run_again(StepReader(directory), directory):
        if done.step.is_first:
            for place in places:
                place.begin_brain()
        market = done.state.market
        if not len(market.vectors):
            raise FeatureStoreError("it keeps no vectors (journal.features is off)")
        count = int(market.progress[VECTORS_WAITING])
        market.progress[VECTORS_WAITING] = 0
        for k in range(count):
            yield market.vectors[k : k + 1]


def _bits(vector: Vectors) -> bytes:
    return vector.tobytes()[8:]  # without the ring's word
