"""docs/firewall.md is the table of laws: it says what the code of both layers does, no more."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from engine.domain.firewall_reasons import FirewallReason
from engine.telemetry import BRAIN_COUNTERS, FEED_COUNTERS
from tests.architecture.tree import ROOT

NATIVE = [path for path in (ROOT / "native_ext").glob("*.[ch]") if path.name != "records.h"]
LAYER = ("firewall", "firewall_lanes", "firewall_memory", "filters")
BRAIN = [ROOT / "engine" / "domain" / f"{name}.py" for name in LAYER]
ROW = re.compile(r"^\| (\d+) \| ([A-Z_]+) \| ([a-z, ]+) \| (.+) \| `(.+)` \|$", re.MULTILINE)


class Law(NamedTuple):
    """One row of the page."""

    code: int
    reason: str
    layers: frozenset[str]
    text: str
    test: str


def laws() -> list[Law]:
    page = (ROOT / "docs" / "firewall.md").read_text(encoding="utf-8")
    return [
        Law(int(code), reason, frozenset(layers.split(", ")), text, test)
        for code, reason, layers, text, test in ROW.findall(page)
    ]


def used_by(sources: list, pattern: str) -> set[str]:
    """Return the reasons that these files name."""
    found: set[str] = set()
    for source in sources:
        found |= set(re.findall(pattern, source.read_text(encoding="utf-8")))
    return found - {"NONE", "COUNT"}


def test_every_reason_has_one_row_under_its_number() -> None:
    rows = [(law.code, law.reason) for law in laws()]
    assert rows == [(int(reason), reason.name) for reason in FirewallReason if reason]


@pytest.mark.parametrize(
    ("layer", "used"),
    [
        ("feed", used_by(NATIVE, r"\bAEGIS_REJECT_([A-Z_]+)")),
        ("brain", used_by(BRAIN, r"int\(FirewallReason\.([A-Z_]+)\)")),
    ],
)
def test_a_layer_has_exactly_the_laws_the_page_gives_it(layer: str, used: set[str]) -> None:
    assert {law.reason for law in laws() if layer in law.layers} == used


def test_every_law_has_a_counter_in_each_of_its_layers() -> None:
    counters = {
        "feed": {counter.name for counter in FEED_COUNTERS},
        "brain": {counter.name for counter in BRAIN_COUNTERS},
    }
    for law in laws():
        assert law.layers <= set(counters), law
        for layer in law.layers:
            assert f"rejected_{law.reason.lower()}_total" in counters[layer], law


@pytest.mark.parametrize("law", laws(), ids=lambda law: law.reason)
def test_the_test_of_a_law_names_its_reason(law: Law) -> None:
    text = (ROOT / law.test).read_text(encoding="utf-8")
    assert re.search(rf"\b(?:R|FirewallReason)\.{law.reason}\b", text), f"{law.test}: {law.reason}"
