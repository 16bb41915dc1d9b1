"""Pairs of processes that the ring benches compare: ours, the C++ baseline, and the usual ways."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np

from bench.harness import ROOT, Pass, percentiles
from bench.sides.hop_child import hop_answer
from bench.sides.ring_child import latency_answer, ns_per_tick
from native_ext import _native
from ringbuffer import layout
from ringbuffer.ring import Ring
from ringbuffer.segment import SHM_FOLDER, find_stale, unlink

CAPACITY = 4096
SLOT_BYTES = 64
EVENT_SLOT_BYTES = 256
PASS_TIMEOUT_S = 120
DEEP = 65_536  # slots: readers that share a core are away for tens of milliseconds
BATCH = 64


def compile_native(folder: Path) -> dict[str, Path]:
    """Compile the baseline (g++ -O3) and the C side (gcc -O3); return them by name."""
    native = ROOT / "bench/native"
    programs = {name: folder / name for name in ("spsc_baseline", "ring_side")}
    checks = ["-O3", "-Wall", "-Wextra", "-Werror", "-o"]
    baseline = ["g++", "-std=c++17", *checks, str(programs["spsc_baseline"])]
    subprocess.run([*baseline, str(native / "spsc_baseline.cpp")], check=True)
    ours = ["gcc", "-std=c11", *checks, str(programs["ring_side"]), "-I", str(ROOT / "native_ext")]
    sources = [native / "ring_side.c", ROOT / "native_ext/ring.c"]
    subprocess.run([*ours, *map(str, sources)], check=True)
    return programs


class Pairs:
    """Owns the rings, the living children and the compiled programs of one bench."""

    def __init__(self, producer_core: int, consumer_core: int) -> None:
        """Compile everything; `with` closes it again."""
        self.cores = (producer_core, consumer_core)
        for stale in find_stale("aegis-bench-"):
            unlink(stale.name)  # what a killed bench left
        self._folder = tempfile.TemporaryDirectory(prefix="aegis-bench-")
        self.programs = compile_native(Path(self._folder.name))
        clock = _native.Clock()
        clock.calibrate(200_000_000)
        self.ns_per_tick = ns_per_tick(clock)
        self._rings: list[Ring] = []
        self._children: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        """Return the pairs."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the children and remove the rings."""
        for child in self._children:
            if kind is not None:
                child.kill()
            child.communicate()
        for ring in self._rings:
            ring.close()
            unlink(ring.name)
        self._folder.cleanup()

    @property
    def pids(self) -> list[int]:
        """The children that live through all passes."""
        return [child.pid for child in self._children]

    def ring(
        self,
        capacity: int = CAPACITY,
        slot_bytes: int = SLOT_BYTES,
        *,
        gating: Sequence[int] = (0,),
    ) -> Ring:
        """Create a ring, by default with one reserved reader."""
        name = f"aegis-bench-{os.getpid()}-{len(self._rings)}"
        self._rings.append(Ring.create(name, capacity, slot_bytes, gating=gating))
        return self._rings[-1]

    def child(self, side: str, role: str, ring: Ring) -> subprocess.Popen[str]:
        """Start a Python child and wait until its kernels are compiled."""
        core = self.cores[0 if role == "produce" else 1]
        return self.start("ring_child", side, role, ring.name, core)

    def start(self, module: str, *words: object) -> subprocess.Popen[str]:
        """Start a module of this folder and wait until it says that it is ready."""
        command = [sys.executable, "-m", f"bench.sides.{module}", *map(str, words)]
        # WHY: Numba's cache does not see changes in imported files; a folder per run cannot be old.
        environment = {**os.environ, "NUMBA_CACHE_DIR": self._folder.name}
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._children.append(child)
        answer(child)
        return child

    def native(
        self, kind: str, ring: Ring, count: int, step: int, *, pinned: bool = True
    ) -> subprocess.Popen[bytes]:
        """Start the C side for one pass."""
        core = self.cores[0 if kind.endswith("produce") else 1] if pinned else -1
        file = str(SHM_FOLDER / ring.name)
        words = [str(self.programs["ring_side"]), kind, file, str(count), str(step), str(core)]
        return subprocess.Popen(words, stdout=subprocess.PIPE)

    def ours(self, producer_side: str, consumer_side: str) -> Callable[[str, int, int], Pass]:
        """Return a function (kind, count, step) that runs one pass between two of our sides."""
        ring = self.ring()
        producer = None if producer_side == "c" else self.child(producer_side, "produce", ring)
        consumer = None if consumer_side == "c" else self.child(consumer_side, "consume", ring)

        def one_pass(kind: str, count: int, step: int) -> Pass:
            line = f"{kind} {count} {step}\n"
            taking = None
            if consumer is None:
                taking = self.native(f"{kind}-consume", ring, count, step)
            else:
                send(consumer, line)
            if producer is None:
                giving = self.native(f"{kind}-produce", ring, count, step)
                giving.communicate(timeout=PASS_TIMEOUT_S)
                assert giving.returncode == 0, giving.returncode
            else:
                send(producer, line)
                answer(producer)
            if consumer is not None:
                return answer(consumer)
            assert taking is not None
            return self.native_answer(taking, kind, count)

        return one_pass

    def baseline(self, kind: str, count: int, step: int) -> Pass:
        """Run one pass of the C++ queue."""
        mode = "throughput" if kind == "batch" else "latency"
        words = [str(self.programs["spsc_baseline"]), mode, str(count), str(step)]
        taking = subprocess.Popen([*words, *map(str, self.cores)], stdout=subprocess.PIPE)
        return self.native_answer(taking, kind, count)

    def baseline_hop(self, count: int, step: int) -> Pass:
        """Run one pass of ticks and orders through two of the C++ queues."""
        words = ["hop", str(count), str(step), *map(str, self.cores)]
        done = subprocess.run(
            [str(self.programs["spsc_baseline"]), *words],
            stdout=subprocess.PIPE,
            timeout=PASS_TIMEOUT_S,
            check=True,
        )
        triples = np.frombuffer(done.stdout, np.int64).reshape(-1, 3)
        assert len(triples) == count, len(triples)
        return hop_answer(triples, self.ns_per_tick)

    def hop(self) -> Callable[[int, int], Pass]:
        """Return a function (count, step) that runs one pass of ticks and orders through ours."""
        return self._hop("hop_child", "relay", SLOT_BYTES)

    def brain_hop(self) -> Callable[[int, int], Pass]:
        """Return a function (orders, step) that runs one pass through the brain's own loop."""
        return self._hop("brain_hop_child", "brain", EVENT_SLOT_BYTES)

    def _hop(self, module: str, other: str, slot_bytes: int) -> Callable[[int, int], Pass]:
        market, orders = self.ring(), self.ring(slot_bytes=slot_bytes)
        names = (market.name, orders.name)
        answering = self.start(module, other, *names, self.cores[1])
        edge = self.start(module, "edge", *names, self.cores[0])

        def one_pass(count: int, step: int) -> Pass:
            send(answering, f"{count} {step}\n")
            send(edge, f"{count} {step}\n")
            found = answer(edge)
            answer(answering)
            return found

        return one_pass

    def observed(self, ring: Ring, kind: str, count: int, step: int, observers: int) -> Pass:
        """Run one pass of a C producer that `observers` watch, and a consumer where one gates.

        Readers share the second core. Returns records per second of a producer that never waits
        (kind `alone`), or what a record cost a paced one (kind `costs`).
        """
        end = ring.published() + count
        watching = [self.native("observe", ring, end, 0) for _ in range(observers)]
        for observer in watching:
            assert observer.stdout is not None
            assert observer.stdout.readline() == b"ready\n", "an observer could not start"
        gated = ring.reader(0).mode == layout.MODE_GATING
        taking = self.native("batch-consume", ring, count, BATCH) if gated else None
        giving = self.native(f"{kind}-produce", ring, count, step)
        output, _ = giving.communicate(timeout=PASS_TIMEOUT_S)
        readers = [*watching, *([taking] if taking else [])]
        said = [reader.communicate(timeout=PASS_TIMEOUT_S)[0] for reader in readers]
        assert [side.returncode for side in (giving, *readers)] == [0] * (1 + len(readers))
        seen = [int(text.split()[0]) for text in said[:observers]]
        assert all(number > 0 for number in seen), "an observer saw nothing: it cost nothing"
        if kind == "alone":
            return {"records per second": count / int(output) * 1e9}
        costs_ns = np.sort(np.frombuffer(output, np.int64) * self.ns_per_tick)
        # The counter's step may be coarser than a record is long; a mean is not, and of the
        # cheapest it leaves the moments out in which the producer had no core.
        mean_ns = float(costs_ns[: count * 99 // 100].mean())
        return {**percentiles(costs_ns), "mean below p99": mean_ns}

    def crowded(self) -> Callable[[str, int, int, int], Pass]:
        """Return a function (idle kind, neighbours, count, step): nobody is pinned."""
        ring = self.ring(DEEP)
        consumer = self.start("crowd_consumer", ring.name)

        def one_pass(kind: str, neighbours: int, count: int, step: int) -> Pass:
            burning = [sys.executable, "-c", "while True: pass"]
            others = [subprocess.Popen(burning) for _ in range(neighbours)]
            try:
                send(consumer, f"{kind} {count}\n")
                giving = self.native("woken-produce", ring, count, step, pinned=False)
                found = answer(consumer)
                giving.communicate(timeout=PASS_TIMEOUT_S)
                assert giving.returncode == 0, giving.returncode
            finally:
                for other in others:
                    other.kill()
                    other.wait()
            return found

        return one_pass

    def native_answer(self, taking: subprocess.Popen[bytes], kind: str, count: int) -> Pass:
        """Read what a compiled consumer printed."""
        output, _ = taking.communicate(timeout=PASS_TIMEOUT_S)
        assert taking.returncode == 0, taking.returncode
        if kind == "batch":
            return {"records per second": count / int(output) * 1e9}
        pairs = np.frombuffer(output, np.int64).reshape(-1, 2)
        assert len(pairs) == count, len(pairs)
        return latency_answer(pairs, self.ns_per_tick)


def send(child: subprocess.Popen[str], line: str) -> None:
    """Ask a child for a pass."""
    stream: IO[str] | None = child.stdin
    assert stream is not None
    stream.write(line)
    stream.flush()


def answer(child: subprocess.Popen[str]) -> Pass:
    """Return a child's next answer; fail when it died."""
    stream: IO[str] | None = child.stdout
    assert stream is not None
    line = stream.readline()
    assert line, f"a side of the bench ended with {child.wait()}"
    return json.loads(line)


# ---- the usual ways ----


def _pipe_producer(pipe: Connection, core: int, count: int, gap_ns: int) -> None:
    os.sched_setaffinity(0, {core})
    payload = bytearray(56)
    head = memoryview(payload).cast("q")
    pipe.recv_bytes()
    due = time.monotonic_ns() + gap_ns
    for _ in range(count):
        while time.monotonic_ns() < due:
            pass
        head[1] = due
        head[0] = time.monotonic_ns()
        pipe.send_bytes(payload)
        due += gap_ns


def pipe_pass(cores: tuple[int, int], kind: str, count: int, gap_ns: int) -> Pass:
    """Run one pass over multiprocessing.Pipe: the obvious way between two Python processes."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=True)
    gap_ns = 0 if kind == "batch" else gap_ns
    child = context.Process(target=_pipe_producer, args=(there, cores[0], count, gap_ns))
    before = os.sched_getaffinity(0)
    child.start()
    os.sched_setaffinity(0, {cores[1]})
    pairs = np.ones((count, 2), np.int64)
    here.send_bytes(b"go")
    start_ns = 0
    for i in range(count):
        words = memoryview(here.recv_bytes()).cast("q")
        now_ns = time.monotonic_ns()
        start_ns = start_ns or words[0]
        pairs[i] = (now_ns - words[0], now_ns - words[1])
    elapsed_ns = time.monotonic_ns() - start_ns
    child.join()
    os.sched_setaffinity(0, before)
    if kind == "batch":
        return {"records per second": count / elapsed_ns * 1e9}
    return {**percentiles(pairs[:, 0].astype(np.float64)), **_due(pairs)}


def _due(pairs: np.ndarray) -> Pass:
    found = percentiles(pairs[:, 1].astype(np.float64))
    return {"p50 since due": found["p50"], "p99 since due": found["p99"]}
