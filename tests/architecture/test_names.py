"""Names that say nothing, advertise, or tell history are kept out (docs/glossary.md)."""

import re
from pathlib import Path

import pytest

from tests.architecture.tree import PACKAGES, files, modules

SAYS_NOTHING = "manager helper helpers util utils common misc stuff foo impl"
ADVERTISES = "ultimate enhanced advanced smart super hyper pro fast optimized optimised efficient"
TELLS_HISTORY = "new old legacy final temp tmp backup v2"
BANNED = frozenset(f"{SAYS_NOTHING} {ADVERTISES} {TELLS_HISTORY}".split())
# FIX calls these states PENDING_NEW and NEW; smart money is a school of analysis (SMC).
DOMAIN_TERMS = re.compile(r"pending_new|smart_money")


def banned_words(name: str) -> frozenset[str]:
    """Return the banned words a name is made of, in snake case or camel case."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return BANNED.intersection(DOMAIN_TERMS.sub("", snake).split("_"))


def test_definitions_carry_no_banned_word() -> None:
    found = [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules(*PACKAGES, "bench")
        for node in module.named()
        if banned_words(node.name)
    ]
    assert found == []


def test_files_carry_no_banned_word() -> None:
    code = [path for path in files() if path.suffix in {".py", ".pyi", ".c", ".h", ".pyx"}]
    assert [str(path) for path in code if banned_words(Path(path).stem)] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OrderManager", {"manager"}),
        ("fast_decode", {"fast"}),
        ("encode_pending_new", set()),
        ("renew_lease", set()),
        ("SmartMoney", set()),
        ("encode_new", {"new"}),
    ],
)
def test_banned_words_are_whole_words(name: str, words: set[str]) -> None:
    assert banned_words(name) == words
