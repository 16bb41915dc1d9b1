"""`aegis replay JOURNAL`: run a session's brain again and compare every byte it wrote.

The same kernels get the same batches at the same times; what they write is compared with the
journal, record by record, marks and ring sequences left out. A session that cannot be run again is
said to be so, with the reason: that is no failure of the session and never counted as identical.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import exit_codes
from engine.domain.records import EVENT_DTYPE
from engine.processes import kernel_cache
from engine.processes.progress import ProgressLine, ticking
from engine.store.errors import StoreError
from engine.store.session import read_document

if TYPE_CHECKING:
    from engine.domain.desk import Out
    from engine.domain.state import State
    from engine.processes.replay_journal import JournaledStep, StepReader

Records = NDArray[np.void]
DIFFERENCES_MAX: Final = 10
DECISION_TYPES: Final = (1, 2, 3)  # SIGNAL_GENERATED, ORDER_REQUEST, RISK_REFUSAL
TOLD_EVERY: Final = 1024  # steps, a few milliseconds
LOADING: Final = "replay: loading the kernels; the first replay of a build compiles one more"
# What a step that took no control and no report is given; most steps are, and none writes to it.
NOTHING: Final = np.zeros(1, dtype=EVENT_DTYPE)


class Replayed(NamedTuple):
    """What running a session again showed."""

    session: str
    replayable: bool
    identical: bool
    reason: str  # why it cannot be replayed; empty: it was
    steps: int
    records: int
    decisions: int
    orders: int
    outputs: int
    decisions_sha256: str
    outputs_sha256: str
    unmarked_events: int  # of a last step that a killed brain never marked; not compared
    same_kernels: bool
    differences: list[str]


def _silent(_text: str) -> None:
    """Hear how far it is and say nothing."""


def replay_command(directory: Path, *, as_json: bool, until: int | None = None) -> int:
    """Replay a session, or its steps up to one event; print what it showed, return the exit code.

    0: identical; 1: different; 2: not a session's journal directory; 3: cannot be replayed.
    """
    progress = ProgressLine()
    try:
        read_document(directory)
        # Kernels come from the cache of the home the journal lies in, as the engine's did.
        kernel_cache.activate(str(directory.resolve().parents[3]))
        result = replay(directory, until, _silent if as_json else progress.show)
    except (StoreError, IndexError) as error:
        return exit_codes.fail(str(error), exit_codes.USAGE)
    finally:
        progress.end()
    print(json.dumps(result._asdict()) if as_json else _text(result))  # noqa: T201
    if not result.replayable:
        return exit_codes.ENVIRONMENT
    return exit_codes.DONE if result.identical else exit_codes.ROLE_DIED


def replay(
    directory: Path,
    until: int | None = None,
    tell: Callable[[str], None] = _silent,
) -> Replayed:
    """Run a session again; imports Numba.

    Args:
        directory: the session's journal.
        until: place of a brain's event: the step that wrote it is the last; None: to the end.
        tell: hears now and then how far it is.

    Raises:
        StoreError: the journal or its document cannot be read.
    """
    from engine.processes.replay_journal import NotReplayableError, why_not_replayable

    document = read_document(directory)
    reason = why_not_replayable(directory, document)
    run = _Run(directory, until)
    if not reason:
        try:
            run.play(tell)
        except NotReplayableError as error:
            reason = str(error)
    if not reason and run.step_count == 0:
        reason = "its brain left no drain mark"
    elif not reason and until is not None and not run.has_reached:
        reason = f"no step of it wrote event {until}"
    return Replayed(
        session=document.session_id,
        replayable=not reason,
        identical=not reason and not run.differences,
        reason=reason,
        steps=run.step_count,
        records=run.record_count,
        decisions=run.decision_count,
        orders=run.order_count,
        outputs=run.output_count,
        decisions_sha256=run.decisions_hash.hexdigest(),
        outputs_sha256=run.outputs_hash.hexdigest(),
        unmarked_events=run.unmarked_count,
        same_kernels=document.kernel_key == kernel_cache.cache_key(),
        differences=run.differences,
    )


class Rerun(NamedTuple):
    """One step of a session, just run again."""

    step: JournaledStep
    state: State  # after it; of a brain that was restarted a new one
    out: Out  # what it wrote, until the next one


def run_again(steps: StepReader, directory: Path) -> Iterator[Rerun]:
    """Yield every step of a session after running it on a state of its own; imports Numba.

    Raises:
        NotReplayableError: inputs are missing.
        StoreError: the journal cannot be read.
    """
    from engine.domain.decide import create_room
    from engine.processes.brain_state import session_state
    from engine.processes.replay_journal import MarketWindow, NotReplayableError
    from engine.processes.replay_loop import replay_step

    document = read_document(directory)
    window = MarketWindow(directory)
    state = session_state(document)
    out = create_room(state)
    is_fresh = True
    for step in steps:
        if step.is_first and not is_fresh:
            state = session_state(document)
        is_fresh = False
        market = window.hold(step.market_first, step.market_count)
        consumed = replay_step(
            state,
            _padded(step.controls),
            len(step.controls),
            _padded(step.reports),
            len(step.reports),
            market,
            step.market_first,
            step.market_count,
            len(market) - 1,
            step.mark.now_ns,
            step.mark.outer_trading_state,
            out,
        )
        if consumed != step.market_count:
            raise NotReplayableError(
                f"a step took {consumed} market records, its mark says {step.market_count}"
            )
        yield Rerun(step, state, out)


class _Run:
    """One pass over a session's steps."""

    def __init__(self, directory: Path, until: int | None) -> None:
        self.directory = directory
        self._until = until
        self.has_reached = False
        self.step_count = self.record_count = self.decision_count = 0
        self.order_count = self.output_count = self.unmarked_count = 0
        self.decisions_hash = hashlib.sha256()
        self.outputs_hash = hashlib.sha256()
        self.differences: list[str] = []

    def play(self, tell: Callable[[str], None]) -> None:
        """Run every step and compare what it writes.

        Args:
            tell: hears now and then how far it is.

        Raises:
            NotReplayableError: inputs are missing.
            StoreError: the journal cannot be read.
        """
        from engine.domain.desk import OUT_EVENTS
        from engine.processes.replay_journal import StepReader

        steps = StepReader(self.directory)
        again = run_again(steps, self.directory)
        with ticking(tell, LOADING):
            first = list(islice(again, 1))
        for done in chain(first, again):
            self.step_count += 1
            self.record_count += done.step.market_count
            if self.step_count % TOLD_EVERY == 0:
                tell(f"replay: {self.step_count:,} steps, {self.record_count:,} market records")
            written = done.out.events[: done.out.counts[OUT_EVENTS]]
            if not len(written) and not len(done.step.outputs):
                continue
            self._compare(done.step.outputs, written.copy())
            # A slot's word is one above the place of its event.
            if self._until is not None and (done.step.outputs["sequence"] == self._until + 1).any():
                self.has_reached = True
                return
        self.unmarked_count = steps.unmarked_count

    def _compare(self, journaled: Records, written: Records) -> None:
        expected = journaled.copy()
        expected["sequence"] = written["sequence"] = 0  # the ring's, not the step's
        self.outputs_hash.update(written.tobytes())
        decisions = written[np.isin(written["event_type"], DECISION_TYPES)]
        self.decisions_hash.update(decisions.tobytes())
        self.decision_count += int((written["event_type"] == DECISION_TYPES[0]).sum())
        self.order_count += int((written["event_type"] == DECISION_TYPES[1]).sum())
        self.output_count += len(written)
        if expected.tobytes() != written.tobytes() and len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(_difference(self.step_count, expected, written))


def _padded(records: Records) -> Records:
    """Return the records in an array whose length is a power of two and at least one."""
    if not len(records):
        return NOTHING
    length = 1
    while length < len(records):
        length *= 2
    padded = np.zeros(length, dtype=EVENT_DTYPE)
    padded[: len(records)] = records
    return padded


def _difference(step: int, expected: Records, written: Records) -> str:
    if len(expected) != len(written):
        return f"step {step}: {len(expected)} events in the journal, {len(written)} replayed"
    for place in range(len(expected)):
        ours, theirs = written[place], expected[place]
        if ours.tobytes() != theirs.tobytes():
            return f"step {step}, event {place}: {_field_of(theirs, ours)}"
    raise AssertionError("bytes differ but no record does")


def _field_of(expected: np.void, written: np.void) -> str:
    names = [
        name
        for name in expected.dtype.names or ()
        if expected[name].tobytes() != written[name].tobytes()
    ]
    told = ", ".join(
        f"{name} {_plain(expected, name)} != {_plain(written, name)}" for name in names
    )
    return f"type {int(expected['event_type'])}: journal != replay in {told}"


def _plain(record: np.void, name: str) -> Any:  # noqa: ANN401  any field's Python value
    return record[name].item()


def _text(result: Replayed) -> str:
    if not result.replayable:
        return f"session {result.session} cannot be replayed: {result.reason}"
    lines = [
        f"session    {result.session}",
        f"steps      {result.steps:,}   market records {result.records:,}",
        f"decisions  {result.decisions:,}   orders {result.orders:,}",
        f"sha256     {result.decisions_sha256}   of the decisions' bytes",
        f"identical  {str(result.identical).lower()}   over {result.outputs:,} output records",
    ]
    if not result.same_kernels:
        lines.append("           the session was decided by other kernels than these")
    if result.unmarked_events:
        lines.append(
            f"           {result.unmarked_events} events behind the last mark: not compared"
        )
    return "\n".join([*lines, *(f"           {line}" for line in result.differences)])
