"""A red button of hardware: a signed address that halts, once.

        aegis access button desk-red --days 90   ->   POST /v1/press/desk-red.ID.EXPIRES.SIGNATURE

The signature is HMAC-SHA256 by a key of this home, so an address can be neither made nor changed
elsewhere, and no credential lies in a device. A press is written down as a file before it acts, so
that it counts once, over restarts too; one that cannot be written down halts all the same. Removing
`AEGIS_HOME/buttons/key` makes every address useless.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
import time
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = "buttons"
KEY_FILE: Final = "key"
KEY_BYTES: Final = 32
ADDRESS_LENGTH_MAX: Final = 160
_FORM: Final = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9_-]{0,38})\.(?P<id>[0-9a-f]{16})\.(?P<expires>[0-9]{1,11})"
    r"\.(?P<signature>[A-Za-z0-9_-]{43})"
)


class ButtonError(Exception):
    """A button cannot be made; the message is a sentence."""


class Pressed(NamedTuple):
    """What a press came to: `error` empty, and it counts."""

    name: str
    id: str
    status: int = 200
    error: str = ""


class Buttons:
    """The buttons of a home."""

    def __init__(self, home: Path) -> None:
        """Remember where; nothing is read yet."""
        self._folder = home / FOLDER

    def make(self, name: str, life_s: float) -> str:
        """Return the signed part of an address; it cannot be shown again.

        Args:
            name: shown by the audit trail.
            life_s: until it expires.

        Raises:
            ButtonError: it is no name, or the folder cannot be written.
        """
        signed = f"{name}.{secrets.token_hex(8)}.{int(time.time() + life_s)}"
        try:
            address = f"{signed}.{_signature(self._own_key(), signed)}"
        except OSError as error:
            raise ButtonError(f"{self._folder}: cannot be written ({error.strerror})") from error
        if _FORM.fullmatch(address) is None:
            raise ButtonError(f"{name!r}: lower-case letters, digits, - and _, at most 39")
        return address

    def press(self, address: str) -> Pressed:
        """Return whether an address counts, and use it up when it does."""
        found = _FORM.fullmatch(address) if len(address) <= ADDRESS_LENGTH_MAX else None
        signed = address.rpartition(".")[0]
        key = self._key()
        wanted = _signature(key, signed) if key else ""
        if found is None or not key or not hmac.compare_digest(wanted, found["signature"]):
            return Pressed("", "", 403, "no such button")
        expires_s = int(found["expires"])
        if time.time() >= expires_s:
            return Pressed(found["name"], found["id"], 403, "this button has expired")
        if not self._use(found["id"], expires_s):
            return Pressed(found["name"], found["id"], 409, "this button was pressed already")
        return Pressed(found["name"], found["id"])

    def _use(self, button_id: str, expires_s: int) -> bool:
        """Write a press down; return False when it was there already."""
        try:
            self._forget_expired()
            path = self._folder / f"used-{button_id}-{expires_s}"
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return False
        except OSError:
            return True  # who presses wants a halt; a full disk must not refuse it
        return True

    def _forget_expired(self) -> None:
        now_s = time.time()
        for path in self._folder.glob("used-*"):
            expires = path.name.rpartition("-")[2]
            if expires.isdecimal() and int(expires) <= now_s:
                path.unlink(missing_ok=True)

    def _key(self) -> bytes:
        try:
            key = (self._folder / KEY_FILE).read_bytes()
        except OSError:
            return b""
        return key if len(key) == KEY_BYTES else b""

    def _own_key(self) -> bytes:
        """Return the key of this home, made if there is none."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / KEY_FILE
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return path.read_bytes()
        with os.fdopen(file, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        return path.read_bytes()


def _signature(key: bytes, signed: str) -> str:
    digest = hmac.digest(key, f"halt {signed}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
