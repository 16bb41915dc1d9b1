"""Secrets of a running engine: in no argument list, no log, no journal and no crash report.

They come by every way there is: from files, from variables, from the page and from the command
line. In an environment stands what its user put there, under that name, and nothing else.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from engine.web.accounts import FILE_NAME as ACCESS_FILE
from engine.web.accounts import add_account, add_token, changed
from tests.engine_process import Engine, fetch, post, wait_for
from tests.exchange_process import PracticeExchange
from tests.postgres_server import PostgresServer

pytest.importorskip("argon2", reason="argon2-cffi is not installed")

API_KEY = "venue-key-7Qm2xR9sK4tW8zB1"
API_SECRET = "venue-secret-5Hd8kP3vN6yJ0cF2"
API_TOKEN = "api-token-9Lw4gT7bX2qZ5mS8uE1rV6"
DATABASE_PASSWORD = "database-password-3Yn6hC9"
ALERT_PASSWORD = "alert-password-8Rf1jM4"
PASSWORD = "password-of-olga-6Ks2"
WRONG_PASSWORD = "guess-at-olga-0Vt5"
SETTINGS = """
instruments = ["BTCUSDT"]
[venue]
rest_url = "{url}"
stream_url = "{stream_url}"
order_url = "{stream_url}"
"""


class Rig(NamedTuple):
    """An engine with every kind of secret, and which of them its user gave in clear."""

    engine: Engine
    secrets: dict[str, str]  # by what each is
    in_clear: set[str]  # variables


@pytest.fixture
def exchange() -> Iterator[PracticeExchange]:
    running = PracticeExchange(
        *("--generate", "2", "--seed", "7", "--autostart", "--key", API_KEY, "--secret", API_SECRET)
    )
    yield running
    running.stop()


@pytest.fixture
def database_url() -> Iterator[str]:
    """Return the address of a server, with a password in it; empty where none can run."""
    try:
        server = PostgresServer()
    except pytest.skip.Exception:
        yield ""
        return
    yield f"{server.url}&password={DATABASE_PASSWORD}"
    server.stop()
    server.remove()


@pytest.fixture
def rigs() -> Iterator[list[Rig]]:
    started: list[Rig] = []
    yield started
    for each in started:
        each.engine.kill()


def started(
    tmp_path: Path, exchange: PracticeExchange, database_url: str = "", secret: str = API_SECRET
) -> Rig:
    """Start an engine on that exchange as if it were a venue; nothing is waited for."""
    home = tmp_path / "home"
    home.mkdir()
    given = {"BINANCE_API_KEY": API_KEY, "BINANCE_API_SECRET": secret}
    for name, text in given.items():
        (tmp_path / name).write_text(text + "\n", "ascii")
    clear = {
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": database_url,
        "ALERT_URLS": f"json://aegis:{ALERT_PASSWORD}@127.0.0.1:1/",
    }
    settings = tmp_path / "aegis.toml"
    settings.write_text(SETTINGS.format(url=exchange.url, stream_url=exchange.stream_url), "utf-8")
    with changed(home) as access:
        add_account(access, "olga", "operator", PASSWORD)
        token = add_token(access, "olga", 3_600.0, frozenset())
    engine = Engine(
        home,
        *("--venue", "binance", "--mode", "live", "--config", str(settings), "--json"),
        environment=clear | {name: f"file:{tmp_path / name}" for name in given},
    )
    secrets = {
        "the venue's key": API_KEY,
        "the venue's secret": secret,
        "the API's token": API_TOKEN,
        "the database's password": DATABASE_PASSWORD,
        "the alerts' password": ALERT_PASSWORD,
        "an account's password": PASSWORD,
        "a guess at a password": WRONG_PASSWORD,
        "an account's token": token.split("_", 2)[2],
    }
    return Rig(engine, secrets, set(clear))


def processes(engine: Engine) -> list[psutil.Process]:
    main = psutil.Process(engine.process.pid)
    return [main, *main.children(recursive=True)]


def found_in(text: bytes, secrets: dict[str, str]) -> list[str]:
    return [what for what, secret in secrets.items() if secret.encode() in text]


def found_in_lists(rig: Rig) -> dict[str, list[str]]:
    """Return which secrets stand in argument lists and environments, by process and place."""
    found = {}
    for process in processes(rig.engine):
        folder = Path(f"/proc/{process.pid}")
        variables = (folder / "environ").read_bytes().split(b"\0")
        kept = [row for row in variables if row.partition(b"=")[0].decode() not in rig.in_clear]
        for place, text in (
            ("cmdline", (folder / "cmdline").read_bytes()),
            ("environ", b"\n".join(kept)),
        ):
            if what := found_in(text, rig.secrets):
                found[f"{process.name()} {place}"] = what
    return found


def found_in_files(rig: Rig) -> dict[str, list[str]]:
    """Return which secrets stand in what the engine has written; its token's file is meant to."""
    token = next(rig.engine.home.glob("run/*.token"), None)
    found = {}
    for path in rig.engine.home.rglob("*"):
        if path == token or not path.is_file() or rig.engine.home / "cache" in path.parents:
            continue
        if what := found_in(path.read_bytes(), rig.secrets):
            found[str(path.relative_to(rig.engine.home))] = what
    return found


def test_secrets_stay_where_they_were_put_also_when_a_role_crashes(
    tmp_path: Path, exchange: PracticeExchange, database_url: str, rigs: list[Rig]
) -> None:
    rigs.append(started(tmp_path, exchange, database_url))
    rig, engine = rigs[0], rigs[0].engine
    (token_file,) = wait_for("the token", lambda: list(engine.home.glob("run/*.token")))
    rig.secrets["the run's token"] = token_file.read_text("ascii").strip()
    credential = {"x-aegis-token": rig.secrets["the run's token"]}

    def ready() -> bool:
        status = fetch(engine.url, "/status", credential) or {}
        return {row["state"] for row in status.get("roles", [])} == {"READY"}

    wait_for("all roles ready", ready, 500.0)
    for word, status in ((PASSWORD, 200), (WRONG_PASSWORD, 401)):
        assert post(engine.url, "/v1/login", {"account": "olga", "password": word}) == status
    assert post(engine.url, "/v1/pause", {}, {"x-aegis-token": API_TOKEN}) == 200
    assert post(engine.url, "/v1/pause", {}, {"x-aegis-token": f"{API_TOKEN}x"}) == 401
    names = {process.name() for process in processes(engine)}
    assert {"aegis:feed", "aegis:brain", "aegis:orchestrator"} <= names
    assert found_in_lists(rig) == {}

    brain = next(each for each in processes(engine) if each.name() == "aegis:brain")
    brain.send_signal(signal.SIGSEGV)  # its traceback is printed by faulthandler
    code, output, errors = engine.finish()
    assert code == 1
    assert "Segmentation fault" in errors
    assert found_in((output + errors).encode(), rig.secrets) == []
    assert found_in_files(rig) == {}
    assert list(engine.home.glob("logs/*.log"))
    assert list(engine.home.glob("state/*/journal/*/session.json"))
    assert ACCESS_FILE in {path.name for path in engine.home.iterdir()}


def test_a_key_that_the_venue_refuses_is_in_no_sentence(
    tmp_path: Path, exchange: PracticeExchange, rigs: list[Rig]
) -> None:
    rigs.append(started(tmp_path, exchange, secret="another-secret-2Wp7"))
    code, output, errors = rigs[0].engine.finish()
    assert code != 0
    assert "-1022" in errors or "signature" in errors.lower()
    assert found_in((output + errors).encode(), rigs[0].secrets) == []
    assert found_in_files(rigs[0]) == {}
