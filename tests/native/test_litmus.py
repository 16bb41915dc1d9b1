"""The ring's protocol under a weak memory model: what must never be seen, in no execution at all.

Each file of `litmus/` is one handshake, with the calls of the C code as they stand there; herd7
enumerates every execution that the C11 model (RC11) or the ARM one allows. A weakened twin of each
must show the forbidden outcome, or the file proves nothing.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests/native/litmus").glob("*.litmus"))
SOURCES = [ROOT / "native_ext/ring.h", ROOT / "native_ext/ring.c", ROOT / "native_ext/atomics.h"]
DEADLINE_S = 120

# File, what of it is weakened (a pattern and its replacement).
WEAKENED = [
    ("observer", r".*thread_fence\(memory_order_release\).*\n", ""),
    ("observer", r".*thread_fence\(memory_order_acquire\).*\n", ""),
    ("observer", r"(before = .*)memory_order_acquire", r"\1memory_order_relaxed"),
    ("observer", r"(store_explicit\(seq, 2, )memory_order_release", r"\1memory_order_relaxed"),
    ("observer", r".*seq, -1, .*\n", ""),
    ("batch", r"(seq_first, 1, )memory_order_release", r"\1memory_order_relaxed"),
    ("batch", r"(first = .*)memory_order_acquire", r"\1memory_order_relaxed"),
    ("counted", r"(published, 2, )memory_order_release", r"\1memory_order_relaxed"),
    ("counted", r"(count = .*)memory_order_acquire", r"\1memory_order_relaxed"),
    ("gate", r"memory_order_release", "memory_order_relaxed"),
    ("gate", r"memory_order_acquire", "memory_order_relaxed"),
    ("join", r"(?s)(P1.*?)\n *atomic_thread_fence[^\n]*", r"\1"),
    ("join", r"atomic_thread_fence[^\n]*", ""),
    (
        "wake",
        r"atomic_thread_fence\(memory_order_seq_cst\)",
        "atomic_thread_fence(memory_order_release)",
    ),
    ("evict", r".*thread_fence\(memory_order_release\).*\n", ""),
    ("evict", r".*thread_fence\(memory_order_acquire\).*\n", ""),
    (
        "rejoin",  # the eviction of two stores that this one replaced
        r"(mode, 3, memory_order_release\);[^\n]*\n)",
        r"\1  atomic_store_explicit(sequence, 99, memory_order_release);\n",
    ),
    ("published", r"(published, 1, )memory_order_release", r"\1memory_order_relaxed"),
    ("observer_aarch64", r"DMB ISH  ", "NOP      "),
    ("observer_aarch64", r"DMB ISHLD", "NOP      "),
]


def verdict(path: Path) -> str:
    """Return Never, Sometimes or Always; and `undefined` where plain accesses race."""
    program = shutil.which("herd7")
    if program is None:
        pytest.skip("no herd7 here: the protocol's proof under a weak memory model is not repeated")
    is_c = path.read_text("utf-8").startswith("C ")
    done = subprocess.run(
        [program, *(["-model", "rc11.cat"] if is_c else []), str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    found = re.search(r"^Observation \S+ (\w+)", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout + done.stderr
    # C says of a program whose plain accesses race that it means nothing.
    return found.group(1) + (" undefined" if "Flag *undef*" in done.stdout else "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_forbidden_outcome_is_in_no_execution(path: Path) -> None:
    assert verdict(path) == "Never"


@pytest.mark.parametrize(("name", "pattern", "by"), WEAKENED)
def test_a_weakened_protocol_is_found_out(name: str, pattern: str, by: str, tmp_path: Path) -> None:
    text = (ROOT / f"tests/native/litmus/{name}.litmus").read_text("utf-8")
    weaker, count = re.subn(pattern, by, text)
    assert count > 0, "the pattern matches nothing"
    path = tmp_path / f"{name}.litmus"
    path.write_text(weaker, "utf-8")
    assert verdict(path) != "Never"


def function_bodies() -> dict[str, str]:
    """Return the text of every function of the ring, by name."""
    bodies = {}
    for source in SOURCES:
        text = source.read_text("utf-8")
        for found in re.finditer(
            r"^[a-z][^\n;]*?\b(\w+)\([^;{]*\) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL
        ):
            bodies[found.group(1)] = " ".join(found.group(2).split())
    return bodies


def calls(path: Path) -> list[tuple[str, str, str]]:
    """Return (operation, order, function of the ring) of each annotated call."""
    text = path.read_text("utf-8")
    return re.findall(
        r"atomic_(load|store|thread_fence)\w*\([^;]*?(memory_order_\w+)\);\s*/\* (\w+) \*/", text
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_call_stands_in_the_function_that_it_names(path: Path) -> None:
    bodies = function_bodies()
    wrong = [
        call
        for call in calls(path)
        if not re.search(rf"atomic_{call[0]}\w*\((?:[^;]*?, )?{call[1]}\)", bodies.get(call[2], ""))
        and not (call[2] == "aegis_copy_out" and "__ATOMIC_RELAXED" in bodies["aegis_copy_out"])
    ]
    assert wrong == []
    assert len(calls(path)) >= 2 or path.stem.endswith("aarch64")
