"""The partner that a MEMORY comment names exists and accesses memory atomically; in C and Python.

Every C access has a comment with its order and a partner: test_memory_comments.py. Here the named
partners are looked up, and the same is asked of the compiled Python side in `ringbuffer/`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
C_FILES = sorted([*ROOT.glob("native_ext/*.c"), *ROOT.glob("native_ext/*.h")])
PYTHON_FILES = sorted(
    path for path in ROOT.glob("ringbuffer/*.py") if path.stem not in {"intrinsics", "atomics"}
)
ATOMIC = re.compile(
    r"\batomic_(?:load|store|thread_fence|exchange|compare|fetch)|__atomic_|\bword_"
)
ACCESS = re.compile(r"^(?:load|store|load32|store32|fence)_(relaxed|acquire|release|seq_cst)$")
FUNCTION = re.compile(r"^[a-z][^\n;]*?\b(\w+)\([^;{]*\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
PARTNER = re.compile(r"[Pp]airs with(.*)")
SHARED = re.compile(r"MEMORY: relaxed.*(?:no partner|all three)")  # covers those that follow
LOOK_BACK_LINES = 4


def c_bodies() -> dict[str, str]:
    """Return the bodies of the C functions, by name."""
    return {
        found.group(1): found.group(2)
        for path in C_FILES
        for found in FUNCTION.finditer(path.read_text("utf-8"))
    }


def python_names() -> set[str]:
    """Return the names of the functions in ringbuffer that access a word atomically."""
    return {
        node.name
        for path in PYTHON_FILES
        for node in functions(path.read_text("utf-8"))
        if any(True for _ in accesses(node))
    }


def functions(source: str) -> Iterator[ast.FunctionDef]:
    """Yield the functions of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            yield node


def accesses(function: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """Yield (line, order) of each atomic access of a function, in the order of lines."""
    found = []
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            matched = ACCESS.match(name)
            if matched:
                found.append((node.lineno, matched.group(1)))
    yield from sorted(found)


def is_atomic(name: str, bodies: dict[str, str], depth: int = 2) -> bool:
    """Say whether a C function, or one that it calls, accesses a word atomically."""
    body = bodies.get(name, "")
    if ATOMIC.search(body):
        return True
    called = set(re.findall(r"\b(\w+)\(", body)) & set(bodies)
    return depth > 0 and any(is_atomic(other, bodies, depth - 1) for other in called - {name})


def sentences(text: str) -> list[str]:
    """Return each MEMORY comment of a C text in one line."""
    comments = re.findall(r"/\*.*?\*/", text, re.DOTALL)
    lines = [" ".join(comment.replace("*", " ").split()) for comment in comments]
    return [line for line in lines if "MEMORY:" in line]


def unknown_partners(text: str, bodies: dict[str, str]) -> list[str]:
    """Return the partners named in a C text that are no functions with an atomic access."""
    found = []
    for sentence in sentences(text):
        partner = PARTNER.search(sentence)
        named = re.findall(r"\baegis_\w+|\bclock_write\b", partner.group(1) if partner else "")
        found += [f"{name}: {sentence}" for name in named if not is_atomic(name, bodies)]
    return found


def comments(source: str) -> list[tuple[int, str]]:
    """Return (last line, text) of each MEMORY comment of a Python source."""
    found: list[tuple[int, str]] = []
    lines = source.splitlines()
    for number, line in enumerate(lines):
        if not line.strip().startswith("# MEMORY:"):
            continue
        last = number
        while lines[last + 1].strip().startswith("#"):
            last += 1
        text = " ".join(part.strip().lstrip("# ") for part in lines[number : last + 1])
        found.append((last + 1, text))
    return found


def complaints(source: str, partners: set[str]) -> list[str]:
    """Return one sentence per atomic access of a Python source that breaks a rule."""
    found = []
    noted = comments(source)
    for function in functions(source):
        inside = [(line, text) for line, text in noted if function.lineno <= line]
        before = 0
        lines: dict[int, set[str]] = {}
        for line, order in accesses(function):
            lines.setdefault(line, set()).add(order)
        for line, orders in lines.items():
            own = [
                text for end, text in inside if max(before, line - LOOK_BACK_LINES) <= end < line
            ]
            earlier = any(end < line and SHARED.search(text) for end, text in inside)
            before = line
            if not own and not (orders == {"relaxed"} and earlier):
                found.append(f"{function.name}:{line}: no MEMORY comment before it")
            elif own and not any(f"MEMORY: {order}" in own[-1] for order in orders):
                found.append(f"{function.name}:{line}: the comment names another order")
    for line, text in noted:
        partner = PARTNER.search(text)
        if partner is None:
            if "no partner" not in text:
                found.append(f"{line}: names no partner")
        elif not set(re.findall(r"\w+", partner.group(1))) & partners:
            found.append(f"{line}: its partner is no function that accesses a word atomically")
    return found


@pytest.mark.parametrize("path", C_FILES, ids=lambda path: path.name)
def test_partners_named_in_c_exist(path: Path) -> None:
    assert unknown_partners(path.read_text("utf-8"), c_bodies()) == []


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: path.name)
def test_compiled_python_names_order_and_partner(path: Path) -> None:
    bodies = c_bodies()
    partners = python_names() | {name for name in bodies if is_atomic(name, bodies)}
    assert complaints(path.read_text("utf-8"), partners) == []


def test_there_is_something_to_look_at() -> None:
    assert sum(len(sentences(path.read_text("utf-8"))) for path in C_FILES) > 50
    assert sum(len(comments(path.read_text("utf-8"))) for path in PYTHON_FILES) > 30
    assert {"publish", "poll", "observe_some"} & python_names()


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("def f():\n    load_acquire(1)\n", "no MEMORY comment"),
        ("def f():\n    # MEMORY: release. Pairs with g.\n    load_acquire(1)\n", "another order"),
        ("def f():\n    # MEMORY: acquire.\n    load_acquire(1)\n", "names no partner"),
        ("def f():\n    # MEMORY: acquire. Pairs with h.\n    load_acquire(1)\n", "no function"),
        (
            (
                "def f():\n    # MEMORY: acquire. Pairs with g.\n    load_acquire(1)\n"
                "    load_relaxed(2)\n"
            ),
            "no MEMORY comment",
        ),
    ],
)
def test_the_lint_sees_what_is_wrong(source: str, complaint: str) -> None:
    assert any(complaint in sentence for sentence in complaints(source, {"g"}))


def test_the_lint_sees_partners_that_do_not_exist() -> None:
    text = "/* MEMORY: release. Pairs with aegis_nobody. */"
    assert len(unknown_partners(text, c_bodies())) == 1
