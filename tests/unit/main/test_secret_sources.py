"""Secrets come from the variable, a file or AWS Secrets Manager, and never into a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config_load import ConfigError, load_config
from engine.secret_sources import SECRET_BYTES_MAX, SecretSources

REGION = "eu-west-1"
SECRET = "s3cret-in-clear"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of a Secrets Manager that moto plays."""
    boto3 = pytest.importorskip("boto3", reason="the extra aws is not installed")
    moto = pytest.importorskip("moto", reason="moto is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        yield boto3.client("secretsmanager", region_name=REGION)


@given(st.text(max_size=80).filter(lambda text: not text.startswith(("file:", "aws:"))))
def test_any_other_text_is_the_secret_itself(text: str) -> None:
    assert SecretSources().resolve(text) == text


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_a_file_gives_its_text_without_the_last_line_end(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "secret"
    path.write_bytes(text.encode() + b"\n")
    found = SecretSources().resolve(f"file:{path}")
    assert found in {text, text.removesuffix("\r")}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"\xff" + SECRET.encode(), "byte 0 is no UTF-8"),
        (b"x" * (SECRET_BYTES_MAX + 1), "longer than"),
    ],
)
def test_a_file_that_is_no_secret_is_a_phrase_that_names_it(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config({"BINANCE_API_SECRET": f"file:{path}"})
    assert str(caught.value).startswith("BINANCE_API_SECRET in the environment: ")
    assert SECRET not in str(caught.value)


def test_every_secret_variable_may_be_a_file_and_no_other_is_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n", encoding="ascii")
    given = f"file:{path}"
    variables = ("BINANCE_API_KEY", "BINANCE_API_SECRET", "DATABASE_URL", "API_TOKEN", "ALERT_URLS")
    config = load_config({**dict.fromkeys(variables, given), "S3_BUCKET": given})
    found = (config.venue.api_key, config.venue.api_secret, config.database_url)
    assert found == (SECRET,) * 3
    assert (config.access.api_token, config.alerts.urls) == (SECRET,) * 2
    assert config.s3_bucket == given


def test_a_key_and_a_whole_secret_come_from_aws(aws: Any) -> None:  # noqa: ANN401  boto3's
    pair = json.dumps({"api_key": "k", "api_secret": SECRET})
    aws.create_secret(Name="aegis/binance", SecretString=pair)
    aws.create_secret(Name="aegis/database", SecretString="postgresql://u:p@h/d")
    config = load_config(
        {
            "AWS_REGION": REGION,
            "BINANCE_API_KEY": "aws:aegis/binance#api_key",
            "BINANCE_API_SECRET": "aws:aegis/binance#api_secret",
            "DATABASE_URL": "aws:aegis/database",
        }
    )
    assert (config.venue.api_key, config.venue.api_secret) == ("k", SECRET)
    assert config.database_url == "postgresql://u:p@h/d"


def test_a_secret_is_asked_for_once_and_a_new_start_sees_the_new_one(
    aws: Any,  # noqa: ANN401  boto3's
) -> None:
    aws.create_secret(Name="s", SecretString="first")
    sources = SecretSources(REGION)
    assert sources.resolve("aws:s") == "first"
    aws.put_secret_value(SecretId="s", SecretString="second")
    assert sources.resolve("aws:s") == "first"
    assert SecretSources(REGION).resolve("aws:s") == "second"


@pytest.mark.parametrize(
    ("stored", "asked", "said"),
    [
        (None, "aws:s", "answered ResourceNotFoundException"),
        ({"SecretString": SECRET}, "aws:s#key", "no JSON object with a key 'key'"),
        ({"SecretString": json.dumps({"other": SECRET})}, "aws:s#key", "with a key 'key'"),
        ({"SecretString": json.dumps([SECRET])}, "aws:s#key", "with a key 'key'"),
        ({"SecretString": json.dumps({"key": 5})}, "aws:s#key", "is no text"),
        ({"SecretBinary": SECRET.encode()}, "aws:s", "is binary"),
    ],
)
def test_what_aws_does_not_have_is_a_phrase_without_the_secret(
    aws: Any,  # noqa: ANN401  boto3's
    stored: dict[str, Any] | None,
    asked: str,
    said: str,
) -> None:
    if stored is not None:
        aws.create_secret(Name="s", **stored)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config({"AWS_REGION": REGION, "API_TOKEN": asked})
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_region_or_the_package_it_is_a_phrase(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3", reason="the extra aws is not installed")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ValueError, match="NoRegionError"):
        SecretSources().resolve("aws:s")
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ValueError, match="extra"):
        SecretSources(REGION).resolve("aws:s")


def test_nobody_who_keeps_no_secret_there_imports_its_client() -> None:
    script = (
        "import sys; from engine.config_load import load_config\n"
        "load_config({'API_TOKEN': 'x'}); print('boto3' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
