"""The page of an engine with accounts: each role sees and may what it is for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import Browser
from tests.engine_process import Engine, aegis, fetch, wait_for
from tests.page_rig import log_in, press, text, token_of, within

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROLES = ("viewer", "operator")
COMMANDS = ("halt", "pause", "flatten", "resume", "set_module_state", "trigger_shutdown")
STREAMED = within(
    "live",
    "its.connection.stream !== null && document.querySelectorAll('#cards .card').length >= 8",
)
# What a page without its login's second word, and what another site's page could send.
BARE_POST = """fetch("/v1/pause", {method: "POST", body: "{}",
    headers: {"content-type": "application/json"}}).then(answer => answer.status)"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = tmp_path_factory.mktemp("home")
    config = home / "roles.toml"
    # A browser beside the engine may take every core for seconds: no role is hung for that.
    config.write_text("heartbeat_timeout_ms = 60000\n", encoding="utf-8")
    words = ("--generate", "1", "--seed", "3", "--config", str(config))
    running = Engine(home, *words, "--name", f"roles{os.getpid()}")
    try:
        running.wait_ready()
        for role in ROLES:
            added = aegis(home, "access", "add", role, "--role", role, "--no-password")
            assert added.returncode == 0, added.stderr
        wait_for("accounts to count", lambda: running.status() is None)
        yield running
        code, output, errors = running.terminate()
        assert code == 0, f"{output}\n{errors}"
    finally:
        running.kill()


@pytest.fixture(scope="module")
def tokens(engine: Engine) -> dict[str, str]:
    made = {role: token_for(engine.home, role) for role in ROLES}
    for token in made.values():  # a change counts within a second
        wait_for("a token to count", partial(counts, engine, token))
    return made


def counts(engine: Engine, token: str) -> bool:
    return "roles" in (look(engine, {"x-aegis-token": token}) or {})


def look(engine: Engine, head: dict[str, str]) -> dict[str, Any] | None:
    return fetch(engine.url, "/status", head)


def token_for(home: Path, role: str) -> str:
    return str(json.loads(aegis(home, "access", "token", role, "--json").stdout)["token"])


def trades(engine: Engine) -> str:
    return str((look(engine, {"x-aegis-token": token_of(engine)}) or {})["trading_state"])


def enter(page: Browser, role: str, tokens: dict[str, str]) -> None:
    """Log in as the account that has the role's name."""
    page.wait("document.getElementById('login').open")
    log_in(page, tokens[role])
    page.wait(f"{text('#who')}.includes('{role} ({role})')")


def ask(page: Browser, name: str) -> Any:  # noqa: ANN401  an answer
    """Return what the engine says to a command of the page's own, whatever its buttons show."""
    body = {"who": "forger", "reason": "browser test", "request_id": f"forged-{name}"}
    if name == "set_module_state":
        body |= {"module": "all", "state": "off"}
    return page.evaluate(within("engine", f"its.ask({name!r}, {json.dumps(body)})"))


def test_who_is_not_logged_in_sees_nothing_of_the_engine(visitor: Browser) -> None:
    visitor.wait("document.getElementById('login').open")
    visitor.wait(f"{text('#banner')}.includes('Log in')")
    assert visitor.evaluate("document.getElementById('halt').disabled")
    assert visitor.evaluate(text("#cards")) == ""
    assert "records" not in visitor.evaluate(text("#first"))


def test_a_viewer_sees_all_and_may_nothing(
    visitor: Browser, engine: Engine, tokens: dict[str, str]
) -> None:
    enter(visitor, "viewer", tokens)
    visitor.wait("document.querySelectorAll('#cards .card').length >= 8")
    visitor.wait("document.querySelectorAll('#parts select').length > 0")
    assert visitor.evaluate("document.getElementById('halt').disabled")
    for hidden in ("acts", "resume"):
        assert visitor.evaluate(f"document.getElementById('{hidden}').hidden")
    assert visitor.evaluate(
        "[...document.querySelectorAll('#parts select, #lines button, #waiting button')]"
        ".every(control => control.disabled)"
    )
    visitor.provoke("403 (Forbidden)")
    for name in COMMANDS:
        done, said = ask(visitor, name)
        assert not done
        assert "viewer (viewer) may not" in said["error"]
    assert visitor.evaluate(BARE_POST) == 403
    visitor.evaluate("{ const b = document.getElementById('halt'); b.disabled = false; b.click() }")
    visitor.wait(f"{text('#banner')}.includes('viewer (viewer) may not')")
    assert trades(engine) == "ENABLED"


def test_an_operator_may_pause_resume_and_halt_and_not_shut_down(
    visitor: Browser, engine: Engine, tokens: dict[str, str]
) -> None:
    enter(visitor, "operator", tokens)
    visitor.wait("document.getElementById('acts')?.hidden === false")
    press(visitor, "[data-act=pause]")
    visitor.wait(f"{text('#state')} === 'PAUSED'")
    assert trades(engine) == "PAUSED"
    press(visitor, "#resume")
    visitor.wait(f"{text('#state')} === 'ENABLED'")
    visitor.evaluate("document.getElementById('halt').click()")
    visitor.wait(f"{text('#state')} === 'HALTED'")
    visitor.wait(f"{text('#trail')}.includes('operator')")
    visitor.provoke("403 (Forbidden)")
    done, said = ask(visitor, "trigger_shutdown")
    assert not done
    assert "operator (operator) may not" in said["error"]
    assert visitor.evaluate(BARE_POST) == 403, "the login alone is not enough"
    press(visitor, "#resume")
    visitor.wait(f"{text('#state')} === 'ENABLED'")


def test_a_stream_that_is_refused_says_that_the_session_ended_and_does_not_spin(
    visitor: Browser, engine: Engine, tmp_path: Path
) -> None:
    for name in ("ended", "again"):
        added = aegis(engine.home, "access", "add", name, "--role", "viewer", "--no-password")
        assert added.returncode == 0, added.stderr
    tokens = {name: token_for(engine.home, name) for name in ("ended", "again")}
    for token in tokens.values():
        wait_for("a token to count", partial(counts, engine, token))
    visitor.wait("document.getElementById('login').open")
    log_in(visitor, tokens["ended"])
    visitor.wait(f"{text('#who')}.includes('ended (viewer)')")
    visitor.wait(STREAMED)
    visitor.provoke("401 (Unauthorized)")
    removed = aegis(engine.home, "access", "remove", "ended")
    assert removed.returncode == 0, removed.stderr
    visitor.wait("document.getElementById('login').open")
    visitor.wait(f"{text('#banner')}.includes('Your session has ended')")
    assert visitor.evaluate(text("#state")) == "not logged in"
    assert visitor.evaluate("document.getElementById('halt').disabled")
    assert visitor.evaluate("fetch('/events').then(answer => answer.status)") == 401
    visitor.evaluate("performance.clearResourceTimings()")
    asked = "performance.getEntriesByType('resource').map(e => [e.name, e.startTime])"
    visitor.wait(f"{asked}.length >= 4")
    names, times = zip(*visitor.evaluate(asked), strict=True)
    assert all(name.endswith("/v1/whoami") for name in names), names
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) > 450.0, "it asks who it is, and waits in between"
    assert visitor.evaluate(within("live", "its.connection.waitMs")) > 1_000, "longer and longer"
    visitor.screenshot(tmp_path / "session_ended.png")
    log_in(visitor, tokens["again"])
    visitor.wait(f"{text('#who')}.includes('again (viewer)')")
    visitor.wait(STREAMED)
