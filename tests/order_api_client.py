"""An outside client of the order API: `websockets`, `cryptography` and nothing of the engine."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from websockets.asyncio.client import ClientConnection, connect

DEADLINE_S = 20.0
PATH = "/ws-fapi/v1"
Json: TypeAlias = Any  # whatever a test sends or the venue answers
# Test keys: made from a number, known to everybody.
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def secret_of(key: Ed25519PrivateKey = PRIVATE_KEY) -> str:
    """Return the account secret that stands for a key at the practice exchange."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "ed25519:" + base64.b64encode(der).decode()


def pem_of(key: Ed25519PrivateKey = PRIVATE_KEY) -> str:
    """Return a private key as a PEM text."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def payload_of(params: dict[str, Json]) -> bytes:
    """Return what a signature covers: parameters sorted by name."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params)).encode()


def ed25519_signature(params: dict[str, Json], key: Ed25519PrivateKey = PRIVATE_KEY) -> str:
    """Return a signature in Base64."""
    return base64.b64encode(key.sign(payload_of(params))).decode()


def hmac_signature(params: dict[str, Json], secret: str) -> str:
    """Return a signature in hexadecimal digits."""
    return hmac.new(secret.encode(), payload_of(params), hashlib.sha256).hexdigest()


class OrderClient:
    """One connection; requests are answered by id, in whatever order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._last_id = 0

    @classmethod
    async def open(cls, port: int, query: str = "") -> OrderClient:
        url = f"ws://127.0.0.1:{port}{PATH}{query}"
        return cls(await connect(url, compression=None, open_timeout=DEADLINE_S))

    async def send(self, method: str, params: Json = None) -> int:
        """Send a request and return its id."""
        self._last_id += 1
        frame = {"id": self._last_id, "method": method, "params": params or {}}
        await self.socket.send(json.dumps(frame))
        return self._last_id

    async def next(self) -> Json:
        async with asyncio.timeout(DEADLINE_S):
            return json.loads(await self.socket.recv())

    async def ask(self, method: str, params: Json = None) -> Json:
        """Return the answer to a request; it must be the next frame."""
        request_id = await self.send(method, params)
        answer = await self.next()
        assert answer["id"] == request_id, answer
        return answer

    async def log_on(
        self, now_ms: int, key: Ed25519PrivateKey = PRIVATE_KEY, name: str = "pair"
    ) -> Json:
        params = {"apiKey": name, "timestamp": now_ms}
        return await self.ask(
            "session.logon", {**params, "signature": ed25519_signature(params, key)}
        )

    async def close(self) -> None:
        await self.socket.close()
