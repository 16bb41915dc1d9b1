"""`aegis access`: accounts and tokens by command, and what a run refuses of its own access."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from engine.config import Config
from engine.config_people import AccessConfig
from engine.processes.engine_start import StartError, check_access, is_weak
from engine.web.accounts import read_access
from tests.engine_process import AEGIS, aegis

pytest.importorskip("argon2", reason="argon2-cffi is not installed")
STRONG = "k3Jq8VfW2mZt6NcR9xYb4LhD"


def with_password(home: Path, *words: str, password: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AEGIS, "access", *words],
        input=password + "\n",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "AEGIS_HOME": str(home)},
    )


def test_an_account_its_token_and_its_end(tmp_path: Path) -> None:
    added = with_password(tmp_path, "add", "alice", "--role", "operator", password="twelve or more")
    assert (added.returncode, added.stdout) == (0, "alice is operator\n")
    made = aegis(tmp_path, "access", "token", "alice", "--scope", "halt", "--days", "1", "--json")
    token = json.loads(made.stdout)["token"]
    listed = json.loads(aegis(tmp_path, "access", "list", "--json").stdout)
    assert listed["accounts"] == [{"name": "alice", "role": "operator", "password": True}]
    (row,) = listed["tokens"]
    assert (row["scopes"], row["state"]) == (["halt"], "live")
    assert token.split("_")[1] == row["id"]
    assert aegis(tmp_path, "access", "revoke", row["id"]).returncode == 0
    assert "revoked" in aegis(tmp_path, "access", "list").stdout
    assert aegis(tmp_path, "access", "remove", "alice").returncode == 0
    assert read_access(tmp_path).accounts == []


@pytest.mark.parametrize(
    "words",
    [
        ("token", "nobody"),
        ("revoke", "nothing"),
        ("remove", "nobody"),
        ("token", "nobody", "--days", "-1"),
        ("token", "nobody", "--days", "nan"),
        ("add",),
        ("add", "Bad Name", "--no-password"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = aegis(tmp_path, "access", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("aegis: ")


def test_a_short_password_is_refused(tmp_path: Path) -> None:
    assert with_password(tmp_path, "add", "alice", password="short").returncode == 2
    assert read_access(tmp_path).accounts == []


@pytest.mark.parametrize(
    "token", ["short", "a" * 40, "changeme-changeme-0123456789", "MyPassword1234567890abcdefg"]
)
def test_a_default_secret_is_refused_off_loopback(token: str) -> None:
    config = Config(access=AccessConfig(api_token=token))
    check_access(config, is_public=False)
    with pytest.raises(StartError, match="api_token") as caught:
        check_access(config, is_public=True)
    assert caught.value.exit_code == 2
    assert token not in str(caught.value)


def test_a_strong_secret_is_taken() -> None:
    assert not is_weak(STRONG)
    check_access(Config(access=AccessConfig(api_token=STRONG)), is_public=True)
    check_access(Config(), is_public=True)


def test_a_run_off_loopback_with_a_default_secret_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [*AEGIS, "run", "--port", "0", "--host", "0.0.0.0"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "AEGIS_HOME": str(tmp_path), "API_TOKEN": "changeme"},
    )
    assert done.returncode == 2
    assert "access.api_token" in done.stderr
    assert "changeme" not in done.stderr


@pytest.mark.parametrize(
    "access",
    [
        AccessConfig(tls_certificate="x.pem"),
        AccessConfig(tls_key="x.pem"),
        AccessConfig(tls_client_ca="x.pem"),
        AccessConfig(tls_client_certificate="x.pem"),
        AccessConfig(tls_client_key="x.pem"),
        AccessConfig(tls_client_certificate="/nonexistent/c.pem", tls_client_key="/etc/hostname"),
        AccessConfig(tls_certificate="/nonexistent/c.pem", tls_key="/nonexistent/k.pem"),
    ],
)
def test_half_a_tls_configuration_is_refused(access: AccessConfig) -> None:
    with pytest.raises(StartError, match="tls_"):
        check_access(Config(access=access), is_public=False)
