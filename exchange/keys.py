"""Whose signature it is: HMAC-SHA256 in hexadecimal digits, or Ed25519 in Base64.

The kind of key decides. An account's secret is the shared one of HMAC, or `ed25519:` and the
public key, the Base64 of its DER form: the line between BEGIN and END of a PEM file. Only an
Ed25519 key may log a session on.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = "ed25519:"


class KeyTextError(ValueError):
    """A text that should hold an Ed25519 public key and does not."""


def is_ed25519(secret: str) -> bool:
    """Tell whether an account signs with an Ed25519 key."""
    return secret.startswith(ED25519)


@lru_cache(maxsize=1_024)
def public_key(secret: str) -> Ed25519PublicKey:
    """Return the public key of an Ed25519 account.

    Raises:
        KeyTextError: the text is no Ed25519 key.
    """
    # Not loaded by an exchange whose accounts are all of the other kind.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(base64.b64decode(secret.removeprefix(ED25519), validate=True))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyTextError(f"not an Ed25519 public key: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyTextError("a public key, but not of Ed25519")
    return key


def signature_fits(secret: str, text: str, signature: str) -> bool:
    """Tell whether a signature covers a text and was made with the account's key."""
    if not is_ed25519(secret):
        expected = hmac.digest(secret.encode(), text.encode(), hashlib.sha256).hex()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())
    from cryptography.exceptions import InvalidSignature

    try:
        sent = base64.b64decode(signature, validate=True)
        public_key(secret).verify(sent, text.encode())
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True
