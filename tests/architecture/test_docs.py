"""Documents point at what exists, and decisions keep their form."""

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files, text

LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)(?:#[^)]*)?\)")
NAMED = re.compile(
    r"`((?:engine|ringbuffer|native_ext|exchange|deploy|docs|bench|tests)/[\w./-]+)`"
)
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "What would change our mind"]
DECISIONS = sorted(path for path in files() if re.match(r"docs/adr/\d{4}-", str(path)))


def documents() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{path}: {target}"
        for path in documents()
        for target in LINK.findall(text(path))
        if not target.startswith(("http", "mailto:")) and not (ROOT / path.parent / target).exists()
    ]
    assert broken == []


def test_every_file_that_is_named_exists() -> None:
    missing = [
        f"{path}: {name}"
        for path in documents()
        for name in NAMED.findall(text(path))
        if not (ROOT / name).exists() and not name.startswith("bench/results")
    ]
    assert missing == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text(Path("Makefile")), flags=re.MULTILINE))
    named = {
        target
        for path in documents()
        for target in re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text(path), flags=re.MULTILINE)
    }
    assert named <= targets


def test_makefile_has_the_promised_targets() -> None:
    promised = "help setup native fmt lint type test test-long fuzz check bench"
    promised += " bench-check run clean"
    described = re.findall(r"^([a-z-]+):.*## ", text(Path("Makefile")), flags=re.MULTILINE)
    assert sorted(described) == sorted(promised.split())


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    listed = set(LINK.findall(text(Path("docs/adr/README.md"))))
    assert listed == {path.name for path in DECISIONS}


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_decision_has_its_date_and_sections(path: Path) -> None:
    written = text(path)
    assert written.startswith(f"# {path.name[:4]} ")
    assert re.search(
        r"^Date: \d{4}-\d{2}-\d{2}\. Status: (accepted|superseded by)", written, re.MULTILINE
    )
    assert re.findall(r"^## (.+)$", written, flags=re.MULTILINE) == SECTIONS
