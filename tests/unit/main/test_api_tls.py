"""The API over TLS and mutual TLS, with certificates made here."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.api_client import call
from engine.config import Config
from engine.config_people import AccessConfig
from engine.processes.api import ApiThread
from engine.processes.runfile import RunFile, RunningEngine, find_engine
from engine.processes.tls import own_context, tls_options
from engine.web.routes import create_app
from tests.api_rig import TOKEN, Served
from tests.engine_process import wait_for


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("server", "ca", "stranger"):
        subject = ("-subj", f"/CN={name}", "-days", "2")
        openssl(
            made, "req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", *subject
        )
    openssl(made, "req", *key, "-keyout", "client.key", "-out", "client.csr", "-subj", "/CN=client")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    openssl(made, "x509", "-req", "-in", "client.csr", "-out", "client.pem", *signed)
    return made


def serve(folder: Path, access: AccessConfig) -> Iterator[ApiThread]:
    served = Served(folder / "home")
    served.api.start()
    served.api.serve(lambda: create_app(served.reach, served.gate), tls_options(access))
    try:
        yield served.api
    finally:
        served.api.stop(5.0)


@pytest.fixture
def secure(folder: Path) -> Iterator[ApiThread]:
    yield from serve(
        folder,
        AccessConfig(
            tls_certificate=str(folder / "server.pem"), tls_key=str(folder / "server.key")
        ),
    )


@pytest.fixture
def mutual(folder: Path) -> Iterator[ApiThread]:
    yield from serve(
        folder,
        AccessConfig(
            tls_certificate=str(folder / "server.pem"),
            tls_key=str(folder / "server.key"),
            tls_client_ca=str(folder / "ca.pem"),
        ),
    )


def status(api: ApiThread, context: ssl.SSLContext) -> int | str:
    """Return the status of /health, or the name of what kept it from coming."""
    connection = http.client.HTTPSConnection("127.0.0.1", api.port, timeout=5, context=context)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def test_it_speaks_tls_to_who_knows_its_certificate(secure: ApiThread, folder: Path) -> None:
    known, stranger = (own_context(str(folder / f"{name}.pem")) for name in ("server", "stranger"))
    wait_for("TLS", lambda: status(secure, known) == 200)
    assert status(secure, stranger) == "SSLCertVerificationError"


def test_it_speaks_nothing_else(secure: ApiThread, folder: Path) -> None:
    wait_for("TLS", lambda: status(secure, own_context(str(folder / "server.pem"))) == 200)
    plain = http.client.HTTPConnection("127.0.0.1", secure.port, timeout=5)
    plain.request("GET", "/health")
    with pytest.raises((OSError, http.client.HTTPException)):
        plain.getresponse()
    plain.close()


def test_the_command_line_pins_the_certificate(secure: ApiThread, folder: Path) -> None:
    engine = RunningEngine(
        "main", 1, "127.0.0.1", secure.port, TOKEN, "", str(folder / "server.pem")
    )
    answer = wait_for("the API", lambda: call(engine, "POST", "/v1/halt", {"reason": "x"}))
    assert answer["trading_state"] == "HALTED"
    foreign = RunningEngine(
        "main", 1, "127.0.0.1", secure.port, TOKEN, "", str(folder / "stranger.pem")
    )
    assert call(foreign, "GET", "/status") is None


def test_mutual_tls_wants_a_certificate_of_its_own_ca(mutual: ApiThread, folder: Path) -> None:
    def context(name: str) -> ssl.SSLContext:
        found = own_context(str(folder / "server.pem"))
        found.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        return found

    wait_for("mutual TLS", lambda: status(mutual, context("client")) == 200)
    assert status(mutual, context("stranger")) != 200
    assert status(mutual, own_context(str(folder / "server.pem"))) != 200


def commanded(api: ApiThread, folder: Path, shown: str) -> RunningEngine:
    """Return an engine whose run file names the certificate that commands show."""
    files = (str(folder / f"{shown}.pem"), str(folder / f"{shown}.key")) if shown else ("", "")
    pinned = str(folder / "server.pem")
    return RunningEngine("main", 1, "127.0.0.1", api.port, TOKEN, "", pinned, *files)


def test_the_command_line_shows_its_certificate(mutual: ApiThread, folder: Path) -> None:
    engine = commanded(mutual, folder, "client")
    answer = wait_for("the API", lambda: call(engine, "POST", "/v1/halt", {"reason": "x"}))
    assert answer["trading_state"] == "HALTED"


@pytest.mark.parametrize("shown", ["", "stranger", "none-such"])
def test_who_shows_no_certificate_of_the_ca_gets_no_answer(
    mutual: ApiThread, folder: Path, shown: str
) -> None:
    known = commanded(mutual, folder, "client")
    wait_for("the API", lambda: call(known, "GET", "/status"))
    assert call(commanded(mutual, folder, shown), "GET", "/status") is None


def test_the_run_file_says_what_a_command_shows(tmp_path: Path) -> None:
    access = AccessConfig(
        tls_certificate="c", tls_key="k", tls_client_certificate="own", tls_client_key="own.key"
    )
    RunFile(tmp_path, "main").write(Config(access=access), "127.0.0.1", 1, TOKEN)
    (tmp_path / "run").symlink_to(tmp_path)
    found = find_engine(str(tmp_path), "main")
    assert found is not None
    assert (found.tls_certificate, found.tls_client_certificate, found.tls_client_key) == (
        "c", "own", "own.key",
    )  # fmt: skip
    assert '"k"' not in (tmp_path / "main.json").read_text(encoding="utf-8")


def test_without_a_certificate_nothing_is_asked_of_the_server() -> None:
    assert tls_options(AccessConfig()) == {}
