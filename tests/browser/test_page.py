"""The page in a real browser, on a real engine: it shows the market and its buttons work."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.engine_process import Engine, wait_for


def load_driver() -> ModuleType:
    """Return the driver beside this file; importlib mode knows no sibling imports."""
    path = Path(__file__).with_name("chromium.py")
    spec = importlib.util.spec_from_file_location("chromium_driver", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


driver = load_driver()
Page = Any  # driver.Browser, which only exists at run time
BINARY = driver.browser_path()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="no Chromium is installed on this machine"),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("home")
    running = Engine(home, "--generate", "2", "--seed", "3", "--name", f"page{os.getpid()}")
    try:
        running.wait_ready()
        yield running
        code, output, errors = running.terminate()
        assert code == 0, f"{output}\n{errors}"
    finally:
        running.kill()


@pytest.fixture
def page(engine: Engine, tmp_path: Path) -> Iterator[Page]:
    with driver.Browser(BINARY, tmp_path / "profile") as browser:
        browser.open(engine.url + "/")
        browser.wait("document.querySelectorAll('#cards .card').length >= 8")
        yield browser


def text(selector: str) -> str:
    return f"document.querySelector({selector!r}).textContent"


def test_the_page_shows_money_roles_and_instruments(page: Page) -> None:
    assert page.evaluate(text("#money")) == "practice money"
    assert page.wait(f"{text('#roles')}.includes('READY')")
    assert page.wait(f"{text('#instruments')}.includes('quote live')")
    assert page.evaluate(text("#banner")) == ""


def test_halt_and_resume_by_button(page: Page, engine: Engine) -> None:
    def state() -> str:
        status = engine.status()
        return status["trading_state"] if status else ""

    page.evaluate("document.getElementById('halt').click()")
    page.wait(f"{text('#state')} === 'HALTED'")
    assert state() == "HALTED"
    page.evaluate("document.getElementById('resume').click()")
    page.evaluate("document.getElementById('reason').value = 'browser test'")
    page.evaluate("document.getElementById('askyes').click()")
    page.wait(f"{text('#state')} === 'ENABLED'")
    wait_for("the engine to be enabled", lambda: state() == "ENABLED")


def test_the_page_makes_no_foreign_request(page: Page, engine: Engine) -> None:
    names = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in names if not name.startswith((engine.url, "data:"))] == []
