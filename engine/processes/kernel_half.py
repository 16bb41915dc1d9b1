"""A second process compiles the market's side while the first one compiles the rest.

A cold compile is Python for the most part, and a process of Python has one core. What the loop
makes of a record that the firewall let in (book, bars, features, rules) is half of the kernels, and
`market_step.apply_record` the first of them that is called. So a cold start has a process of its
own compile these, into a folder of the kernel cache:

        <home>/cache/kernels-<hash>/half/...    the second process writes
        <home>/cache/kernels-<hash>/...         the first one, and takes over what it lacks

When the first process comes to that one it waits for the second one to have compiled it, takes
its files over and goes on as if they had always been there. Files of a kernel that both compiled
are left: Numba's index of a kernel and its code belong together, and may not come from two writers.
Then the second process makes machine code of a bar's features, half of all that there is, while the
first one makes the rest. To its standard output it writes

        [hash, symbol]                      of what it will make, a line of JSON, when the files
                                            are there
        [object file, [names it lacks]]     as MessagePack, at the end

A second process that fails, or takes too long, costs time and nothing else: the first makes what it
misses. Engines that share a cache and start cold compile one after the other, for the same reason.
"""

from __future__ import annotations

import glob
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.domain import link_once
from engine.domain.link_once import MachineCode
from engine.file_lock import try_lock
from native_ext import _native

FOLDER: Final = "half"
WAIT_S: Final = 600.0  # a machine that needs longer compiles the rest alone
LOOK_S: Final = 0.2

_PROMISE: Final = msgspec.json.Decoder(tuple[str, str])
_MADE: Final = msgspec.msgpack.Decoder(MachineCode)

Told = Callable[[int], None]  # how many kernels the second process has compiled


@contextmanager
def only_compiler(directory: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Be the only process that compiles into a directory; one that does already is waited for.

    Args:
        directory: the kernel cache of this build.
        waiting: called again and again as long as another one compiles, which has no bound but that
            process's life: its lock goes with it.
    """
    file = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while not try_lock(file):
            waiting()
            time.sleep(LOOK_S)
        yield
    finally:
        os.close(file)


class OtherHalf:
    """The second process, and what it leaves.

    Attributes:
        kept: the hash of the function of which it makes machine code; "" before it told, and if
            it failed.
        symbol: that function's.
    """

    def __init__(self, home: str, directory: Path) -> None:
        """Start the process; `directory` is the kernel cache of this build under `home`."""
        self._directory = directory
        self._folder = directory / FOLDER
        shutil.rmtree(self._folder, ignore_errors=True)
        self.kept, self.symbol = "", ""
        self._until = time.monotonic() + WAIT_S
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, home],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            bufsize=0,  # of what is read in two ways
            start_new_session=True,  # Ctrl-C is for us; it ends when we do
        )

    def awaited_by(self, kernel: Any, told: Told) -> None:  # noqa: ANN401  a dispatcher of Numba's
        """Have who calls `kernel` first wait until its code is there, and hear how far it is."""
        resolve = kernel.get_call_template

        def resolve_when_there(arguments: Any, named: Any) -> Any:  # noqa: ANN401
            kernel.get_call_template = resolve
            self._await(told)
            return resolve(arguments, named)

        kernel.get_call_template = resolve_when_there

    def machine_code(self) -> MachineCode | None:
        """Wait for what was promised and return it; None if the process fails."""
        with suppress(subprocess.TimeoutExpired):
            content, _ = self._process.communicate(timeout=max(0.0, self._until - time.monotonic()))
            if self._process.returncode == 0:
                return _MADE.decode(content)
        return None

    def close(self) -> None:
        """End the process if it still runs, and remove what it left."""
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _await(self, told: Told) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        while not select.select([pipe], [], [], LOOK_S)[0]:
            told(len(list(self._folder.rglob("*.nbi"))))
            if time.monotonic() > self._until:
                return
        promise = pipe.readline()
        if promise:  # else it has ended
            self.kept, self.symbol = _PROMISE.decode(promise)
            told(take_over(self._folder, self._directory))


def take_over(folder: Path, directory: Path) -> int:
    """Move the kernels that `directory` lacks there; return how many."""
    moved = 0
    for code in folder.glob(f"{link_once.FOLDER}/*"):  # the other one still reads them
        place = directory / code.relative_to(folder)
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            unfinished = place.with_name(f"{place.name}.{os.getpid()}")
            shutil.copyfile(code, unfinished)  # not every file system has links
            unfinished.replace(place)
    for index in folder.rglob("*.nbi"):
        place = directory / index.relative_to(folder)
        if place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        for code in index.parent.glob(f"{glob.escape(index.stem)}.*.nbc"):
            code.replace(place.parent / code.name)
        index.replace(place)  # last: an index tells of code that is there
        moved += 1
    return moved


def main(home: str) -> None:
    """Compile the market's side into the folder; of what is compiled nothing is run."""
    _native.set_parent_death_signal(int(signal.SIGKILL))
    from engine.processes import kernel_cache

    directory = kernel_cache.activate(home)
    import numba

    numba.config.CACHE_DIR = str(directory / FOLDER)  # type: ignore[attr-defined]
    with kernel_cache.rare_collections():
        from engine.processes.brain_ports import compile_market

        features = compile_market()
        symbol = features.fndesc.llvm_func_name
        promise = (link_once.kept_as(features.library), symbol)
        os.write(sys.stdout.fileno(), msgspec.json.encode(promise) + b"\n")
        made = link_once.machine_code(features.library, symbol)
        sys.stdout.buffer.write(msgspec.msgpack.encode(made))
        sys.stdout.buffer.flush()
        os._exit(0)  # what an interpreter takes apart at its end takes a while, and is waited for


if __name__ == "__main__":
    main(sys.argv[1])
