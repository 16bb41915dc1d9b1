"""The brain: market ring in, decisions out, orders to the venue; three threads in one process.

        main thread      attach -> load kernels -> restore -> watch, beat, stop
        kernel thread    engine.processes.brain_loop, without the GIL, in slices of 10 ms
        executor thread  engine.processes.executor, connects while the kernels load

Nothing heavy is imported before the rings are attached, so that the role is attached and beating
early. The kernels come from the cache, or are compiled with a progress line.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.domain.instrument_row import Instrument
from engine.processes import runner
from engine.processes.board import write_board
from engine.processes.brain_rings import Rings
from engine.processes.control import MainWord, OperatorWord, RolePage, RoleState, RoleWord
from engine.processes.mode_file import MODES_FILE
from engine.processes.segments import KIND_BOARD
from engine.store.instrument_segment import KIND_INSTRUMENTS
from ringbuffer.counters import CountersSegment
from ringbuffer.errors import InvariantError
from ringbuffer.idle import SPINNERS, IdleKind, choose
from ringbuffer.ring import Ring
from ringbuffer.segment import Segment

if TYPE_CHECKING:
    from engine.processes.brain_thread import KernelThread
    from engine.processes.executor import Executor
    from engine.processes.held_show import HeldShow
    from engine.processes.intake import Intake
    from engine.processes.kernel_image import LoopImage
    from engine.processes.parents import Parents
    from engine.processes.routes import Routes
    from engine.processes.runner import RoleContext
    from engine.processes.warmth import Warmth

THREAD_MAIN: Final = 0
THREAD_KERNEL: Final = 1
THREAD_EXECUTOR: Final = 2
CYCLE_S: Final = 0.02
START_CYCLE_S: Final = 0.002
SETTLE_SHARE: Final = 0.6  # of the drain budget; main kills a brain that lives beyond 0.7 of it
SETTLED_CYCLES: Final = 3  # looks in a row that must find nothing in flight
SWITCH_INTERVAL_S: Final = 0.0005  # longest a returning kernel waits for a busy Python thread


class StopWhileCompiling(SystemExit):
    """Main asked to stop while kernels were compiled; not an error, so nobody catches it."""


class Brain:
    """One brain role: everything it maps, and its threads."""

    def __init__(self, context: RoleContext) -> None:
        """Attach to every segment this role reads or writes."""
        self.context = context
        self.config = context.config
        name = context.segment_name
        self.counters = CountersSegment.attach(name("counters"))
        self.page = self.counters.page(RolePage.BRAIN)
        self.instruments_segment = Segment.attach(name("instruments"), kind=KIND_INSTRUMENTS)
        self.executions = Segment.attach(name("executions"), kind=KIND_BOARD)
        self.routes = Segment.attach(name("routes"), kind=KIND_BOARD)
        self.rings = Rings(
            Ring.attach(name("market")),
            Ring.attach(name("control-ring")),
            Ring.attach(name("events-brain")),
            Ring.attach(name("features")),
        )
        self.instruments: Sequence[Instrument] = ()
        self._executor: Executor | None = None
        self._kernel: KernelThread | None = None
        self._intake: Intake | None = None
        self._parents: Parents | None = None
        self._routes: Routes | None = None
        self._held: HeldShow | None = None
        self._warmth: Warmth | None = None
        context.set_state(RoleState.ATTACHED)
        context.beat(THREAD_MAIN)

    def start(self) -> bool:
        """Connect, load the kernels, feed back what is known; False: a stop came first."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        core = self._leave_kernel_core()
        self._executor = self._start_executor()
        self.context.set_state(RoleState.WARMING)
        try:
            loop = self._load_kernels()
        except StopWhileCompiling:
            return False
        self.context.set_state(RoleState.WARM)
        if not self._await_condition("waiting for instruments", self._learn_instruments):
            return False
        if not self._await_condition("waiting for the journal", self._journal_is_drained):
            return False
        self._kernel = self._create_kernel(loop, core)
        self._executor.restore(self._restore_records())
        self._kernel.start()
        self.context.freeze_heap()
        return True

    def watch(self) -> None:
        """Look after the threads until main asks to stop."""
        while not self.context.stop_request():
            self._do_work()
            time.sleep(CYCLE_S)

    def stop(self) -> None:
        """Settle what is in flight inside the budget, then end the threads and unmap."""
        self.context.set_state(RoleState.STOPPING)
        if self._parents is not None:
            self._parents.leave()
        if self.context.stop_request() == 1:
            self._settle(self.config.drain_budget_s * SETTLE_SHARE)
        if self._executor is not None:
            self._executor.stop()
        if self._kernel is not None:
            self._kernel.stop()
            self._kernel.release()
            self._kernel = None
        self._executor = self._intake = self._parents = self._routes = self._held = None
        self._warmth = None
        self.rings.close()
        self.page.release()
        self.counters.close()
        self.instruments_segment.close()
        self.executions.close()
        self.routes.close()

    # Start

    def _leave_kernel_core(self) -> int | None:
        """Keep the pinned core for the kernel thread alone, when there is another one."""
        core = self.config.pin.get("brain")
        others = set(range(os.cpu_count() or 1)) - {core}
        if core is not None and others:
            executor_core = self.config.pin.get("executor")
            os.sched_setaffinity(0, others if executor_core is None else {executor_core})
        return core

    def _start_executor(self) -> Executor:
        from engine.processes.executor import Executor
        from engine.processes.executor_counts import ExecutorCounts

        executor = Executor(
            self.config,
            self.rings.commands_read,
            self.rings.reports,
            self.rings.doorbell,
            self.rings.market_ring,
            ExecutorCounts(self.page),
            line=self.rings.line,
            beat=lambda: self.context.beat(THREAD_EXECUTOR),
            read_instruments=self._published_instruments,
        )
        executor.start()
        return executor

    def _load_kernels(self) -> LoopImage:
        from engine.processes import kernel_cache

        return kernel_cache.load_loop(self.config.home, self._report_progress)

    def _report_progress(self, done: int, total: int, name: str) -> None:
        context = self.context
        if context.stop_request():
            raise StopWhileCompiling
        self._check_threads()
        context.beat(THREAD_MAIN)
        context.progress(f"compiling kernels, once: {done}/{total} {name}")
        context.control.set_role(context.page, RoleWord.PROGRESS_DONE, done)
        context.control.set_role(context.page, RoleWord.PROGRESS_TOTAL, total)

    def _await_condition(self, what: str, holds: Callable[[], bool]) -> bool:
        while not holds():
            if self.context.stop_request():
                return False
            self._check_threads()
            self.context.beat(THREAD_MAIN)
            self.context.progress(what)
            time.sleep(START_CYCLE_S)
        return True

    def _published_instruments(self) -> Sequence[Instrument]:
        from engine.store.instrument_segment import published_instruments

        return published_instruments(self.instruments_segment)

    def _learn_instruments(self) -> bool:
        self.instruments = self._published_instruments()
        return bool(self.instruments)

    def _journal_is_drained(self) -> bool:
        from engine.store.session import DOCUMENT_NAME, session_directory

        # What is sent before the session has its document could be read from no journal again.
        if not (session_directory(self.config) / DOCUMENT_NAME).exists():
            return False
        # A brain restarted in place restores from this session's journal too.
        ring = self.rings.events.ring
        return ring.gating_sequence() >= ring.published()

    def _create_kernel(self, loop: LoopImage, core: int | None) -> KernelThread:
        from engine.processes.brain_state import create_session_state
        from engine.processes.brain_thread import KernelThread
        from engine.processes.held_show import HeldShow
        from engine.processes.intake import Intake
        from engine.processes.parents import Parents
        from engine.processes.routes import Routes
        from engine.processes.strategy_rows import strategy_rows
        from engine.processes.volume_profiles import PROFILE_FILE, VolumeProfiles
        from engine.processes.warmth import Warmth

        self.strategies = strategy_rows(self.config)
        state = create_session_state(
            self.config, self.instruments, self.strategies, self.config.epoch
        )
        assert self._executor is not None, "started"
        self._intake = Intake(
            self.instruments_segment, self.config, state, self._executor, self.instruments
        )
        self._routes = Routes(
            self.config.venue.name, state, self.page, partial(write_board, self.routes)
        )
        self._parents = Parents(
            self.rings.events.ring,
            self.rings.market_ring,
            state,
            self._executor.offer,
            partial(write_board, self.executions),
            VolumeProfiles(state, Path(self.config.state_dir) / PROFILE_FILE),
            self._routes.table,
        )
        self._held = HeldShow(self.context.control, state)
        self._warmth = Warmth(state.market, self.page)
        idle = choose(
            IdleKind(self.config.idle),
            spinner_count=SPINNERS,
            spin_ns=self.config.spin_us * 1_000,
            cores=lambda: os.cpu_count() or 1,  # affinity was narrowed to keep off the kernel's
        )
        return KernelThread(loop, self.rings, state, self.page, self._addresses(), idle, core)

    def _addresses(self) -> Any:  # noqa: ANN401  its type comes with numpy, which is not loaded yet
        from engine.processes.brain_ports import LoopAddresses

        control = self.context.control
        page = self.context.page
        others = (RolePage.FEED, RolePage.ORCHESTRATOR)
        synced = 0
        if self.config.journal.durability == "disk":
            synced = self._synced_address()
        return LoopAddresses(
            heartbeat=control.address_of(control.heartbeat_word(page, THREAD_KERNEL)),
            trading_state=control.address_of_role(page, RoleWord.TRADING_STATE),
            reason=control.address_of_role(page, RoleWord.TRADING_STATE_REASON),
            synced=synced,
            outer=(
                control.address_of(MainWord.TRADING_STATE),
                control.address_of(OperatorWord.TRADING_STATE),
                *(control.address_of_role(other, RoleWord.TRADING_STATE) for other in others),
            ),
        )

    def _synced_address(self) -> int:
        from engine.telemetry import ORCHESTRATOR_COUNTERS
        from ringbuffer.counters import FIRST_PAGE_WORD, PAGE_WORDS

        names = [counter.name for counter in ORCHESTRATOR_COUNTERS]
        word = FIRST_PAGE_WORD + RolePage.ORCHESTRATOR * PAGE_WORDS + names.index("events_synced")
        return self.counters.segment.address + 8 * word

    def _restore_records(self) -> list[bytes]:
        from engine.processes.mode_records import mode_records
        from engine.store.restore import load_restore_records

        self.context.progress("reading the journal of earlier sessions")
        names = [row.name for row in self.strategies]
        state_dir = Path(self.config.state_dir)
        records = load_restore_records(state_dir, self.instruments, names)
        modes = mode_records(state_dir / MODES_FILE, self.instruments, self.strategies)
        # RESTORE_END comes last.
        found = (records[:-1], modes, records[-1:])
        return [part[k : k + 1].tobytes() for part in found for k in range(len(part))]

    # Run

    def _do_work(self) -> None:
        self.context.beat(THREAD_MAIN)
        self._check_threads()
        assert self._kernel is not None, "started"
        if self._intake is not None and self._held is not None and self._warmth is not None:
            self._intake.look()
            self._held.look()
            self._warmth.look()
        if self._parents is not None and self._routes is not None:
            self._routes.look()
            self._parents.look()
        if self._kernel.is_synced and not self.context.is_in_state(RoleState.READY):
            self.context.set_state(RoleState.SYNCED)
            self.context.set_state(RoleState.READY)
            self.context.progress(f"{len(self.instruments)} instruments, account reconciled")

    def _check_threads(self) -> None:
        """End the role when a thread has failed.

        Raises:
            CannotGoOnError: the keys or the account cannot be used.
            InvariantError: a thread ended by itself.
        """
        executor, kernel = self._executor, self._kernel
        if executor is not None and executor.fatal is not None:
            raise runner.CannotGoOnError(str(executor.fatal)) from executor.fatal
        if executor is not None and executor.failure is not None:
            raise executor.failure
        if kernel is not None and kernel.has_ended:
            raise kernel.failure() or InvariantError("the kernel thread ended by itself")

    # Stop

    def _settle(self, budget_s: float) -> None:
        """Wait until nothing is in flight, and nothing rests unless it may."""
        if self._kernel is None or self._executor is None:
            return
        deadline = time.monotonic() + budget_s
        settled = 0
        while time.monotonic() < deadline and settled < SETTLED_CYCLES:
            self.context.beat(THREAD_MAIN)
            self._check_threads()
            quiet = self._executor.in_flight_count + self._executor.waiting_count == 0
            left = self._kernel.unsettled_count(may_rest=self.config.keep_resting_orders)
            settled = settled + 1 if quiet and left == 0 else 0
            self.context.progress(f"stopping: {left} orders to settle")
            time.sleep(CYCLE_S)


def run(context: RoleContext) -> None:
    """Live until main asks to stop."""
    brain = Brain(context)
    if brain.start():
        brain.watch()
    brain.stop()


if __name__ == "__main__":
    runner.main(RolePage.BRAIN, run)
