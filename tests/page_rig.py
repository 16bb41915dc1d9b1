"""What the tests of the page share: how it is asked, and how somebody logs in."""

from __future__ import annotations

from tests.chromium import Browser
from tests.engine_process import Engine


def text(selector: str) -> str:
    """Return the expression of an element's text; between two pages there is nothing."""
    return f"(document.querySelector({selector!r})?.textContent ?? '')"


def state(engine: Engine) -> str:
    """Return whether an engine trades; empty while nobody says."""
    status = engine.status()
    return status["trading_state"] if status else ""


def token_of(engine: Engine) -> str:
    """Return the token of an engine's run."""
    return (engine.home / "run" / f"{engine.name}.token").read_text(encoding="ascii").strip()


def log_in(page: Browser, secret: str) -> None:
    """Give a token as a person does."""
    page.evaluate("document.getElementById('login').open || document.getElementById('who').click()")
    page.evaluate(f"document.getElementById('secret').value = {secret!r}")
    page.evaluate("document.getElementById('loginyes').click()")


def press(page: Browser, selector: str, reason: str = "browser test") -> None:
    """Press a button that asks whether one is sure, and say yes."""
    page.evaluate(f"document.querySelector({selector!r}).click()")
    page.evaluate(f"document.getElementById('reason').value = {reason!r}")
    page.evaluate("document.getElementById('askyes').click()")
