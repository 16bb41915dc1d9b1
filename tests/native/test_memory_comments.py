"""Every atomic access says its order, what it publishes and its partner: style, line 21 and 87."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("native_ext/*.c"), *ROOT.glob("native_ext/*.h")])
ACCESS = re.compile(
    r"\b(?:__)?atomic_(?:load|store|exchange|compare_exchange_(?:strong|weak)|fetch_\w+"
    r"|thread_fence|flag_\w+)"
    r"(?:_n)?(?P<explicit>_explicit)?\s*\("
)
LOOK_BACK_LINES = 7  # a comment of a few lines, then a statement broken over a few more
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def without_comments(text: str) -> str:
    """Blank comments out, keeping every line break."""
    return COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def comment_before(text: str, offset: int) -> str | None:
    """Return the last comment that ends shortly before `offset`, with no statement between."""
    found = None
    for comment in COMMENT.finditer(text, 0, offset):
        found = comment
    if found is None:
        return None
    between = text[found.end() : offset]
    if between.count("\n") > LOOK_BACK_LINES or ";" in between:
        return None
    return found.group()


def complaints(name: str, text: str) -> list[str]:
    """Return one sentence per atomic access that breaks a rule."""
    found = []
    code = without_comments(text)
    for access in ACCESS.finditer(code):
        where = f"{name}:{code.count(chr(10), 0, access.start()) + 1}"
        says_order = "thread_fence" in access.group() or access.group().startswith("__atomic")
        if not says_order and access.group("explicit") is None:
            found.append(f"{where}: the order is not explicit")
        comment = comment_before(text, access.start())
        if comment is None or "MEMORY:" not in comment:
            found.append(f"{where}: no MEMORY comment before it")
            continue
        sentence = " ".join(comment.replace("*", " ").split())
        if not re.search(r"[Pp]airs with|no partner|names the partner", sentence):
            found.append(f"{where}: the MEMORY comment names no partner")
        if not re.search(r"MEMORY: (relaxed|acquire|release|seq_cst)", sentence):
            found.append(f"{where}: the MEMORY comment names no order")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_atomic_access_names_its_order_and_partner(path: Path) -> None:
    assert complaints(path.name, path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_volatile(path: Path) -> None:
    code = without_comments(path.read_text("utf-8")).replace("__volatile__", "")
    assert not re.search(r"\bvolatile\b", code)


def test_the_sources_hold_atomic_accesses_at_all() -> None:
    text = "".join(without_comments(path.read_text("utf-8")) for path in SOURCES)
    assert len(ACCESS.findall(text)) > 40


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = atomic_load(&y);", "order is not explicit"),
        ("x = atomic_load_explicit(&y, memory_order_acquire);", "no MEMORY comment"),
        ("/* MEMORY: acquire. */\nx = atomic_load_explicit(&y, o);", "names no partner"),
        ("/* MEMORY: Pairs with z. */\nx = atomic_load_explicit(&y, o);", "names no order"),
        ("/* MEMORY: acquire. Pairs with z. */\nf();\natomic_thread_fence(o);", "no MEMORY"),
    ],
)
def test_the_lint_sees_what_is_wrong(text: str, complaint: str) -> None:
    assert any(complaint in sentence for sentence in complaints("sample.c", text))


def test_the_lint_accepts_what_is_right() -> None:
    text = "/* MEMORY: acquire; why. Pairs with z. */\nx = atomic_load_explicit(&y, o);"
    assert complaints("sample.c", text) == []
