"""Work of a process that is not on its message path: one bounded queue, most urgent first.

        submit(CANCEL, ...) --+
        submit(ORDER, ...)  --+--> PriorityQueue (bounded) --> worker tasks --> coroutine
        submit(MAINTENANCE) --+                                   `--> thread pool for what blocks

Cancel goes before order, order before reconcile, reconcile before maintenance; inside a class the
order of arrival holds. Room is kept for the urgent: each class may only fill the queue up to its
own share, so that a burst of maintenance never refuses a cancel. Full is a value, `False`, and the
caller decides; nothing here waits for room.

Slow work never holds all workers: reconcile and maintenance leave RESERVED_WORKERS to the urgent,
and what was taken out of turn is parked, in order, until one of theirs is done.

A job's exception never ends a worker: it is handed to `on_fault` with the job's name.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import NamedTuple

Job = Callable[[], Awaitable[None]]
BlockingJob = Callable[[], None]
OnFault = Callable[[str, BaseException], None]

CAPACITY = 1_024  # jobs waiting: a command ring that is full, each of its commands a job
WORKERS = 4  # jobs running at once
RESERVED_WORKERS = 2  # of them, for cancels and orders
THREADS = 2  # blocking jobs running at once


class Priority(IntEnum):
    """Classes of work; the lower runs first."""

    CANCEL = 0
    ORDER = 1
    RECONCILE = 2
    MAINTENANCE = 3


# Share of the capacity a class may fill, in sixteenths.
SHARES = {
    Priority.CANCEL: 16,
    Priority.ORDER: 14,
    Priority.RECONCILE: 10,
    Priority.MAINTENANCE: 6,
}


class _Entry(NamedTuple):
    priority: int
    arrival: int  # unique, so that jobs are never compared
    name: str
    job: Job


class Dispatcher:
    """A bounded priority queue with its workers, on the loop that starts it."""

    def __init__(
        self,
        on_fault: OnFault,
        *,
        capacity: int = CAPACITY,
        workers: int = WORKERS,
        threads: int = THREADS,
    ) -> None:
        """Prepare; `start` must be called on the loop that is to run the jobs."""
        assert capacity >= len(Priority), capacity
        assert workers > 0, workers
        assert threads > 0, threads
        self._on_fault = on_fault
        self._capacity = capacity
        self._worker_count = workers
        self._slow_max = max(1, workers - RESERVED_WORKERS)
        self._slow_count = 0
        self._parked: deque[_Entry] = deque()
        self._queue: asyncio.PriorityQueue[_Entry] = asyncio.PriorityQueue(capacity)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="dispatcher")
        self._workers: list[asyncio.Task[None]] = []
        self._arrival = 0
        self._open = True
        self.refused_count = 0
        self.done_count = 0

    def start(self) -> None:
        """Start the workers on the running loop."""
        assert not self._workers, "started already"
        loop = asyncio.get_running_loop()
        self._workers = [
            loop.create_task(self._work(), name=f"dispatcher-{i}")
            for i in range(self._worker_count)
        ]

    def submit(self, priority: Priority, name: str, job: Job) -> bool:
        """Queue a coroutine function; return False when its class has no room or we are closing."""
        room = self._capacity * SHARES[priority] // 16
        if not self._open or self.waiting_count >= room:
            self.refused_count += 1
            return False
        self._arrival += 1
        self._queue.put_nowait(_Entry(priority, self._arrival, name, job))
        return True

    def submit_blocking(self, priority: Priority, name: str, job: BlockingJob) -> bool:
        """Queue a function that blocks; it runs in the thread pool. Returns as `submit` does.

        No job of the executor blocks today. The door is here so that the first one that does, on a
        disk or a name service, does not find the event loop that orders leave from.
        """

        async def in_thread() -> None:
            await asyncio.get_running_loop().run_in_executor(self._threads, job)

        return self.submit(priority, name, in_thread)

    @property
    def waiting_count(self) -> int:
        """Return how many jobs wait."""
        return self._queue.qsize() + len(self._parked)

    async def drain(self, deadline_s: float) -> bool:
        """Refuse what comes, finish what waits; return False when the deadline came first."""
        self._open = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await self._queue.join()
            return True
        return False

    async def close(self) -> None:
        """Cancel the workers and their jobs, and release the threads without waiting for them."""
        self._open = False
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._workers = []
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while True:
            entry = await self._queue.get()
            if entry.priority < Priority.RECONCILE:
                await self._run(entry)
                continue
            self._parked.append(entry)
            if self._slow_count >= self._slow_max:
                continue
            self._slow_count += 1
            try:
                while self._parked:
                    await self._run(self._parked.popleft())
            finally:
                self._slow_count -= 1

    async def _run(self, entry: _Entry) -> None:
        # WHY: a task of its own, so that its error is a value here and not an exception.
        task = asyncio.ensure_future(entry.job())
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()  # only when this worker is cancelled; done tasks ignore it
            self._queue.task_done()
        self.done_count += 1
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._on_fault(entry.name, error)
