"""What the tests of the page share: how it is asked, and how somebody logs in."""

from __future__ import annotations

import os
from pathlib import Path

from tests.chromium import Browser
from tests.engine_process import Engine, wanting

# Fills soon, and again and again. A browser beside the engine may take every core for seconds: no
# role is hung for that.
TRADING = """
strategies = ["often"]
heartbeat_timeout_ms = 60000
"""


def trading(home: Path, seed: int, port: int = 0, fills: int = 3) -> Engine:
    """Start an engine that trades, and wait until it has so many fills."""
    config = home / "trading.toml"
    config.write_text(TRADING + wanting(0.1), encoding="utf-8")
    words = ("--generate", "1", "--seed", str(seed), "--config", str(config))
    running = Engine(home, *words, "--name", f"trading{os.getpid()}", port=port)
    try:
        running.wait_ready()
        running.wait_count("fills", fills)
    except BaseException:
        running.kill()
        raise
    return running


def stop(engine: Engine) -> None:
    """End an engine in order: nothing of it is left."""
    try:
        code, output, errors = engine.terminate()
        assert code == 0, f"{output}\n{errors}"
    finally:
        engine.kill()


def text(selector: str) -> str:
    """Return the expression of an element's text; between two pages there is nothing."""
    return f"(document.querySelector({selector!r})?.textContent ?? '')"


def within(module: str, expression: str) -> str:
    """Return the expression of what a module of the page knows; between two pages, of nothing.

    Args:
        module: its name, without `.js`.
        expression: of what it exports, as `its.NAME`.
    """
    address = f"document.querySelector('link[href$=\"/{module}.js\"]')?.href"
    return f"""(async () => {{
        const address = {address};
        if (!address) return null;
        const its = await import(address);
        return {expression};
    }})()"""


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


def as_on_a_phone(page: Browser) -> None:
    """Show the page as wide as a small phone."""
    size = {"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": True}
    page.call("Emulation.setDeviceMetricsOverride", **size)
    page.wait("document.documentElement.clientWidth === 360")


def press(page: Browser, selector: str, reason: str = "browser test") -> None:
    """Press a button that asks whether one is sure, and say yes."""
    page.evaluate(f"document.querySelector({selector!r}).click()")
    page.evaluate(f"document.getElementById('reason').value = {reason!r}")
    page.evaluate("document.getElementById('askyes').click()")
