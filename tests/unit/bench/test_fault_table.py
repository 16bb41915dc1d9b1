"""The fault table says what a recorded run counted, and nothing else."""

from __future__ import annotations

import json

import pytest

from bench.fault_table import HEAD, PAGE, RESULT, deeds, fault_table, recovery, written

NONE = dict.fromkeys(
    ("recovery", "healed", "lost", "gaps", "books", "repeated", "refused", "weight"), 0.0
)


def test_a_row_is_made_of_what_was_counted() -> None:
    cut = NONE | {"recovery": 1_120.0, "healed": 60.0}
    blind = NONE | {"recovery": 4_000.0, "lost": 61.0, "gaps": 50.0}
    table = fault_table({"passes": {"trades cut": [NONE, cut], "no history": [blind]}})
    assert table.splitlines() == [
        *HEAD,
        "| trades cut | brought back 60 trades by id, in their place | 1.1 s | 0 |",
        "| no history | wrote 50 gap records | 4.0 s | 61 trades, each in a gap record |",
    ]


def test_what_was_not_counted_is_not_said() -> None:
    assert deeds(NONE).startswith("nothing was missed")
    assert deeds(NONE | {"books": 300.0, "repeated": 7.0}) == (
        "fetched 300 books again, dropped 7 frames that came twice"
    )
    assert deeds(NONE | {"refused": 2.0}) == "refused 2 frames"


@pytest.mark.parametrize(
    ("ms", "text"), [(0.0, "nothing was lost"), (212.4, "212 ms"), (47_000.0, "47.0 s")]
)
def test_a_recovery_reads_as_people_say_it(ms: float, text: str) -> None:
    assert recovery(ms) == text


def test_the_table_takes_its_place_and_leaves_the_rest() -> None:
    page = "before\n<!-- faults -->\nold\n<!-- /faults -->\nbehind\n"
    assert written(page, "new\n") == "before\n<!-- faults -->\nnew\n<!-- /faults -->\nbehind\n"
    with pytest.raises(ValueError, match="no <!-- faults -->"):
        written("a page", "new\n")


def test_the_page_shows_the_recorded_run() -> None:
    page = PAGE.read_text("utf-8")
    assert "<!-- faults -->" in page
    if not RESULT.exists():
        pytest.skip("no run of bench.failover is recorded")
    assert fault_table(json.loads(RESULT.read_text("utf-8"))) in page
