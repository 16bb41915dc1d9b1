"""The page of a module's engine; it may complain of nothing that its test did not provoke."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chromium import Browser, browser_path
from tests.engine_process import Engine


@pytest.fixture
def visitor(engine: Engine, tmp_path: Path) -> Iterator[Browser]:
    """A browser that went to the page, whatever it is shown."""
    binary = browser_path()
    if binary is None:
        pytest.skip("no Chromium is installed on this machine")
    with Browser(binary, tmp_path / "profile") as browser:
        browser.open(engine.url + "/")
        browser.wait("document.getElementById('halt') !== null")
        yield browser
        assert browser.unexpected() == []


@pytest.fixture
def page(visitor: Browser) -> Browser:
    """The page with its first status."""
    visitor.wait("document.querySelectorAll('#cards .card').length >= 8")
    return visitor
