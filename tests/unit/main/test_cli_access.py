"""`aegis access`: accounts and tokens by command, and what a run refuses of its own access."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from engine.config import Config
from engine.config_people import AccessConfig
from engine.processes.engine_start import StartError, check_access, is_weak
from engine.store.control_audit import FILE_NAME, ControlAudit, broken_links
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


def test_each_change_is_in_the_trail_of_the_home_without_its_secret(tmp_path: Path) -> None:
    with_password(tmp_path, "add", "alice", "--role", "operator", password="twelve or more")
    made = aegis(tmp_path, "access", "token", "alice", "--scope", "halt", "--days", "1", "--json")
    token = json.loads(made.stdout)["token"]
    token_id = token.split("_")[1]
    button = aegis(tmp_path, "access", "button", "desk-red", "--json")
    address = json.loads(button.stdout)["path"].removeprefix("/v1/press/")
    aegis(tmp_path, "access", "list")
    aegis(tmp_path, "access", "revoke", token_id)
    aegis(tmp_path, "access", "token", "nobody")
    refused = aegis(tmp_path, "access", "revoke", token)  # all of it, by mistake
    assert refused.returncode == 2
    aegis(tmp_path, "access", "remove", "alice")
    rows = ControlAudit(tmp_path).rows(-1, 99)
    assert [(row["what"], row["done"]) for row in rows] == [
        ("access add alice", True),
        ("access token alice", True),
        ("access button desk-red", True),
        (f"access revoke {token_id}", True),
        ("access token nobody", False),
        (f"access revoke {token_id}", False),
        ("access remove alice", True),
    ]
    assert rows[0]["after"] == "operator, with a password"
    assert rows[1]["after"].startswith(f"{token_id} of alice: halt, valid until 20")
    assert rows[2]["after"] == address.rpartition(".")[0]
    assert (rows[3]["before"], rows[3]["after"]) == (rows[1]["after"], "revoked")
    assert rows[4]["effect"] == "there is no account 'nobody'"
    assert (rows[6]["before"], rows[6]["after"]) == (f"operator, 1 tokens: {token_id}", "removed")
    assert {row["who"] for row in rows} == {pwd.getpwuid(os.getuid()).pw_name}
    assert broken_links(rows) == []
    text = (tmp_path / FILE_NAME).read_text(encoding="utf-8")
    for secret in (token.split("_", 2)[2], "twelve or more", address.rpartition(".")[2], "argon2"):
        assert secret not in text


def test_a_trail_that_cannot_be_written_is_said_and_undoes_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    done = aegis(tmp_path, "access", "add", "bob", "--no-password")
    assert (done.returncode, done.stdout) == (0, "bob is viewer\n")
    assert "not in the audit trail" in done.stderr
    assert [each.name for each in read_access(tmp_path).accounts] == ["bob"]


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
