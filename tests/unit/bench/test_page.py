"""The bench of the page clicks when a person could, and counts to what the click asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.page import BENCH, EMPTY, Empty, loads, opened, served, summary
from bench.tables import COLUMNS
from tests.chromium import Browser, browser_path

needs_browser = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(browser_path() is None, reason="no Chromium is installed on this machine"),
]
LATE_MS = 400


class Late(Empty):
    """A page whose numbers come late, and its button later."""

    text = (
        EMPTY.replace("id=cards", "id=later").replace("id=halt", "id=halt disabled")
        + f"<script>setTimeout(() => later.id = 'cards', {LATE_MS});"
        f"setTimeout(() => halt.disabled = false, {2 * LATE_MS})</script>"
    )


class Broken(Empty):
    """A page that fails while it is there."""

    text = EMPTY + "<script>throw new Error('broken')</script>"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with served() as url, opened(tmp_path / "profile", url) as made:
        yield made


def test_a_summary_has_what_its_table_shows() -> None:
    found = summary([1.0, 2.0, 9.0])
    assert found == {"p50": 2.0, "p99": pytest.approx(8.86), "max": 9.0, "count": 3.0}
    assert set(COLUMNS[BENCH.name][0]) == found.keys()


class TestInABrowser:
    pytestmark = needs_browser

    @pytest.mark.parametrize("is_cold", [True, False])
    def test_every_load_has_its_two_times(self, browser: Browser, is_cold: bool) -> None:
        with served() as url:
            found = loads(browser, url, is_cold, 3)
        assert len(found) == 3

    def test_numbers_and_button_are_waited_for(self, browser: Browser) -> None:
        with served(Late) as url:
            [[shown_ms, answered_ms]] = loads(browser, url, False, 1)
        assert shown_ms >= LATE_MS
        assert answered_ms >= 2 * LATE_MS

    def test_a_page_that_complains_is_no_measurement(self, browser: Browser) -> None:
        with served(Broken) as url, pytest.raises(AssertionError, match="broken"):
            loads(browser, url, False, 1)
