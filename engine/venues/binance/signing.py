r"""How requests are signed: the kind of the secret decides.

        a shared secret        HMAC-SHA256 as hexadecimal digits, over HTTP only
        an Ed25519 PEM text    Base64; the only kind that may log a session on, after which no
                               order is signed any more

A PEM text may stand in one line, its line ends written as `\n`, as environments hold it.
"""

from __future__ import annotations

import base64
import hmac
from typing import Protocol
from urllib.parse import quote

PEM_BEGIN = "-----BEGIN"


class KeyTextError(ValueError):
    """A secret that looks like a private key and is none that signs orders."""


class Signer(Protocol):
    """Signs for one account."""

    @property
    def logs_on(self) -> bool:
        """Return whether a session can be logged on with this key."""
        ...

    def sign(self, payload: bytes) -> str:
        """Return the signature of a payload as text."""
        ...


class HmacSigner:
    """Signs with a secret that the venue has too."""

    logs_on = False

    def __init__(self, secret: str) -> None:
        """Keep the secret."""
        self._secret = secret.encode()

    def sign(self, payload: bytes) -> str:
        """Return 64 hexadecimal digits."""
        return hmac.digest(self._secret, payload, "sha256").hex()


class Ed25519Signer:
    """Signs with a private key of which the venue has the public half."""

    logs_on = True

    def __init__(self, pem: str) -> None:
        """Read the key.

        Raises:
            KeyTextError: it is no Ed25519 private key without a password.
        """
        # Only accounts with such a key need the library.
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm):
            raise KeyTextError("not a private key, or one with a password") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyTextError("a private key, but not of Ed25519")
        self._key = key

    def sign(self, payload: bytes) -> str:
        """Return 88 characters of Base64."""
        return base64.b64encode(self._key.sign(payload)).decode()


def is_private_key(secret: str) -> bool:
    """Return whether a secret is meant as a private key."""
    return secret.startswith(PEM_BEGIN)


def signer_of(secret: str) -> Signer:
    """Return what signs with a secret.

    Raises:
        KeyTextError: it looks like a private key and is none that signs orders.
    """
    return Ed25519Signer(secret) if is_private_key(secret) else HmacSigner(secret)


def in_query(signature: str) -> bytes:
    """Return a signature as the last parameter of a query."""
    return b"&signature=" + quote(signature, safe="").encode()
