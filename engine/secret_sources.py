"""Where a secret of the environment really is: in the variable, in a file, or at AWS.

        API_TOKEN=...                       the secret itself
        API_TOKEN=file:/run/secrets/token   the text of a file, without its last line end
        API_TOKEN=aws:aegis/api#token       one key of a secret of AWS Secrets Manager
        API_TOKEN=aws:aegis/api             the whole of one

A sentence about what went wrong names the place and never the secret. Read once, at the start: a
secret that is rotated counts with the next one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from engine.extras import install

FILE: Final = "file:"
AWS: Final = "aws:"
SECRET_BYTES_MAX: Final = 65_536  # what AWS keeps at most
NEEDS_EXTRA: Final = f"aws: needs the extra: {install('aws')}"


class SecretSources:
    """Fetches secrets by the text of their variables; each secret of AWS once."""

    def __init__(self, region: str = "") -> None:
        """Ask AWS in a region; empty: the one its client finds."""
        self._region = region
        self._fetched: dict[str, str] = {}

    def resolve(self, text: str) -> str:
        """Return the secret that a variable's text stands for.

        Raises:
            ValueError: the place cannot be read; the message is a phrase without the secret.
        """
        if text.startswith(FILE):
            return _read(Path(text.removeprefix(FILE)))
        if text.startswith(AWS):
            name, hash_sign, key = text.removeprefix(AWS).partition("#")
            whole = self._fetch(name)
            return _key_of(whole, name, key) if hash_sign else whole
        return text

    def _fetch(self, name: str) -> str:
        if name not in self._fetched:
            self._fetched[name] = _ask_aws(name, self._region)
        return self._fetched[name]


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if len(raw) > SECRET_BYTES_MAX:
        raise ValueError(f"{path}: longer than {SECRET_BYTES_MAX} bytes")
    try:
        return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is no UTF-8") from None


def _ask_aws(name: str, region: str) -> str:
    try:
        import boto3
        import botocore.exceptions
    except ImportError:
        raise ValueError(NEEDS_EXTRA) from None
    try:
        client: Any = boto3.client("secretsmanager", region_name=region or None)
        text = client.get_secret_value(SecretId=name).get("SecretString")
    except botocore.exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "an error")
        raise ValueError(f"aws:{name}: Secrets Manager answered {code}") from None
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise ValueError(f"aws:{name}: {type(error).__name__}: {error}") from None
    if isinstance(text, str):
        return text
    raise ValueError(f"aws:{name}: is binary; keep it as text")


def _key_of(whole: str, name: str, key: str) -> str:
    try:
        found = json.loads(whole)[key]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"aws:{name}: is no JSON object with a key {key!r}") from None
    if isinstance(found, str):
        return found
    raise ValueError(f"aws:{name}#{key}: is no text")
