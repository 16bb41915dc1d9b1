"""The repository speaks of the project alone: no machine, no registry host, no marks left behind.

Each pattern is written so that it does not match itself.
"""

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, files, text

PLACES = re.compile(
    r"/[w]ork/|/[f]arm/|/[r]oot/|/[h]ome/[a-z]+/|/tmp/[a]egis/|[.]library/|[p]ythonhosted[.]org"
    r"|[p]ypi[.]org|deb[.][d]ebian[.]org|registry[.][n]pmjs[.]org|[o]pt/(?:pypi|wheels)"
)
MARKS = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X|H[A]CK)\b")
SECRETS = re.compile(
    r"-----[B]EGIN [A-Z ]*PRIVATE KEY|\bA[K]IA[0-9A-Z]{16}\b|\bgh[p]_[A-Za-z0-9]{30}|\bxo[x][bp]-"
)
MARKED = {".py", ".pyi", ".c", ".h", ".pyx", ".sh", ".toml", ".yml", ".html", ".js", ".css", ""}


def found_in(paths: list[Path], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number} {line.strip()[:80]}"
        for path in paths
        for number, line in enumerate(text(path).splitlines(), start=1)
        if pattern.search(line)
    ]


def readable() -> list[Path]:
    return [path for path in files() if b"\0" not in (ROOT / path).read_bytes()[:4096]]


def test_no_machine_and_no_registry_is_named() -> None:
    assert found_in(readable(), PLACES) == []


def test_no_mark_is_left_in_the_source() -> None:
    assert found_in([path for path in readable() if path.suffix in MARKED], MARKS) == []


def test_no_secret_is_tracked() -> None:
    assert found_in(readable(), SECRETS) == []


@pytest.mark.parametrize("parts", [("see /wo", "rk/main"), ("https://py", "pi.org/simple")])
def test_places_are_seen(parts: tuple[str, str]) -> None:
    assert PLACES.search("".join(parts))
