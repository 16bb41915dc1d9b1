"""Compiled kernels on disk, in a directory whose name says what they were compiled from.

Numba's own cache looks at one source file: a kernel that calls into another file keeps its stale
code when that other file changes. So the directory is named by a hash of every source a kernel may
be built from, of the CPU and of the versions: a change anywhere gives an empty directory, never an
old answer. Directories of earlier builds are pruned, the most recent few stay.

        <home>/cache/kernels-<hash>/...        at most KEPT_DIRECTORIES of them

`activate` or `load_loop` must run before the first kernel module is imported, because Numba fixes a
kernel's cache directory when it is decorated. The brain takes its loop from an image in the same
directory (`kernel_image.py`); replay and tests call kernels through Numba.
"""

from __future__ import annotations

import gc
import hashlib
import importlib.metadata
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from engine.config import compiler_target
from ringbuffer import compilation
from ringbuffer.errors import InvariantError

if TYPE_CHECKING:
    from engine.processes.kernel_image import LoopImage

ROOT = Path(__file__).resolve().parents[2]
# Everything a kernel may be built from, relative to ROOT.
SOURCE_PATTERNS = (
    "engine/domain/**/*.py",
    "engine/domain/**/*.toml",
    "engine/processes/brain_*.py",
    "engine/processes/kernel_image.py",
    "engine/processes/replay_loop.py",
    "ringbuffer/*.py",
)
CPU_INFO = Path("/proc/cpuinfo")
VERSIONED = ("numba", "llvmlite", "numpy")
KEPT_DIRECTORIES = 3
DIRECTORY_PATTERN = re.compile(r"^kernels-[0-9a-f]{16}$")
COLLECT_AFTER = (100_000, 50, 50)  # objects; collections of the young, of the middle-aged
KERNEL_MODULES = ("engine.domain.decide", "engine.processes.brain_loop", "ringbuffer.kernels")
DECORATOR = re.compile(r"^@(?:njit|kernel|fused|entry|exported)\b", re.MULTILINE)

Progress = Callable[[int, int, str], None]  # done, total, name


def source_files(root: Path = ROOT) -> list[Path]:
    """Return every file a kernel may be built from, sorted by path."""
    found = {path for pattern in SOURCE_PATTERNS for path in root.glob(pattern)}
    return sorted(found)


def cache_key(root: Path = ROOT) -> str:
    """Return 16 hex digits that change with any kernel source, the target CPU or a version."""
    digest = hashlib.sha256()
    for path in source_files(root):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for line in (*_versions(), *_target_lines()):
        digest.update(line.encode() + b"\0")
    return digest.hexdigest()[:16]


def cache_directory(home: str, root: Path = ROOT) -> Path:
    """Return this build's directory under `home`; it may not exist yet."""
    return Path(home) / "cache" / f"kernels-{cache_key(root)}"


def kernel_count(root: Path = ROOT) -> int:
    """Return how many kernels the sources declare: the total of a cold compile's progress."""
    return sum(
        len(DECORATOR.findall(path.read_text("utf-8")))
        for path in source_files(root)
        if path.suffix == ".py"
    )


def activate(home: str) -> Path:
    """Point Numba at this build's directory and prune older ones; return the directory.

    Raises:
        InvariantError: a kernel module was imported already, with another directory.
    """
    directory = _open_directory(home)
    import numba

    numba.config.CACHE_DIR = str(directory)  # type: ignore[attr-defined]  # set at run time
    from engine.domain import kernel_compiler

    kernel_compiler.install()  # before any kernel of the rings, which do not know of it
    return directory


def load_loop(home: str, report: Progress) -> LoopImage:
    """Return the brain's loop, from its image or compiled into one; it ran once, to its stop word.

    Raises:
        InvariantError: as `activate`; or an image that cannot be run, which is removed, so that the
            next start compiles.
    """
    directory = _open_directory(home)
    from engine.processes import kernel_half, kernel_image

    image = kernel_image.read(directory)
    if image is None:
        total = kernel_count()
        with kernel_half.only_compiler(directory, lambda: report(0, total, "by another process")):
            image = kernel_image.read(directory)  # of whoever compiled before us
            if image is None:
                image = _compile_loop(home, report)
                image.save(directory)
                return image
    _try_loop(image, directory)
    return image


def _try_loop(image: LoopImage, directory: Path) -> None:
    from engine.domain import kernel

    compilation.leave_plain()
    kernel.leave_plain()
    from engine.processes import brain_ports, kernel_image

    try:
        brain_ports.try_loop(image)
    except InvariantError:
        (directory / kernel_image.FILE_NAME).unlink(missing_ok=True)
        raise


def _compile_loop(home: str, report: Progress) -> LoopImage:
    from engine.processes import kernel_half

    directory = activate(home)
    with (
        closing(kernel_half.OtherHalf(home, directory)) as half,
        rare_collections(),
        compile_progress(report) as note_elsewhere,
    ):
        from engine.domain import market_step
        from engine.processes import brain_ports

        half.awaited_by(market_step.apply_record, note_elsewhere)
        image = brain_ports.compile_loop(half)
    brain_ports.try_loop(image)
    return image


def _open_directory(home: str) -> Path:
    early = [name for name in KERNEL_MODULES if name in sys.modules]
    if early:
        message = f"kernels imported before their cache was chosen: {', '.join(early)}"
        raise InvariantError(message)
    directory = cache_directory(home)
    directory.mkdir(parents=True, exist_ok=True)
    directory.touch()
    prune(directory)
    return directory


def prune(current: Path) -> list[Path]:
    """Remove all but the most recent directories beside `current`; return what was removed."""
    siblings = [
        path
        for path in current.parent.iterdir()
        if path != current and path.is_dir() and DIRECTORY_PATTERN.match(path.name)
    ]
    siblings.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    removed = siblings[KEPT_DIRECTORIES - 1 :]
    for path in removed:
        shutil.rmtree(path, ignore_errors=True)
    return removed


@contextmanager
def compile_progress(report: Progress) -> Iterator[Callable[[int], None]]:
    """Report each kernel as Numba finishes compiling it; loads from the cache are not reported.

    Then all of them are optimised together, which takes as long as a third of them: that is
    reported when it begins. What the context is entered as takes, and reports, how many kernels
    were compiled elsewhere.
    """
    from numba.core import event

    from engine.domain.link_once import FINISHING

    total = kernel_count()

    class _Listener(event.Listener):
        done = elsewhere = 0

        def tell(self, name: str) -> None:
            report(min(self.done + self.elsewhere, total), total, name)

        def note_elsewhere(self, count: int) -> None:
            self.elsewhere = count
            self.tell("by a second process")

        def on_start(self, event: event.Event) -> None:
            if event.kind == FINISHING:
                self.tell("optimising")

        def on_end(self, event: event.Event) -> None:
            if event.kind == FINISHING:
                return
            function: Any = cast("dict[str, Any]", event.data)["dispatcher"].py_func
            if not function.__module__.startswith("numba."):  # its own, compiled on the way
                self.done += 1
                self.tell(function.__name__)

    listener = _Listener()
    kernels = event.install_listener("numba:compile", listener)
    with kernels, event.install_listener(FINISHING, listener):
        yield listener.note_elsewhere


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for unreachable objects rarely: what a compile makes stays, and is most of what is."""
    before = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def warm(home: str, report: Progress) -> Path:
    """Compile what the brain runs unless that was done, and return the cache directory.

    For `aegis doctor --warm`, the first `make run` and the container build.
    """
    load_loop(home, report)
    return cache_directory(home)


def _versions() -> tuple[str, ...]:
    return (
        platform.python_version(),
        *(f"{name} {importlib.metadata.version(name)}" for name in VERSIONED),
    )


def _target_lines() -> tuple[str, ...]:
    # Code for one CPU is not served to another, unless the compiler was told to think of a third.
    name, features = compiler_target()
    model, flags = host_cpu(CPU_INFO)
    return (
        platform.machine(),
        model if name is None else name,
        flags if features is None else features,
    )


def host_cpu(path: Path) -> tuple[str, str]:
    """Return model and instruction set of the first core, as Linux spells them."""
    first = path.read_text("utf-8").split("\n\n", 1)[0] if path.exists() else ""
    lines = first.splitlines()
    model = [line for line in lines if line.startswith(("model name", "CPU part"))]
    flags = [line for line in lines if line.startswith(("flags", "Features"))]
    return "\n".join(model), "\n".join(flags)
