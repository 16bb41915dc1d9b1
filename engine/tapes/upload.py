"""Copies of finished files in S3-compatible storage, or wherever fsspec reaches (`file://`).

A copy counts when what is stored was read back and is what we have: its length, and the SHA-256 of
its bytes. Until then nothing here may be deleted, and nothing is deleted here at all.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.tapes.errors import UploadError, missing_extra

if TYPE_CHECKING:
    from types import ModuleType

ATTEMPTS_MAX: Final = 5
FIRST_PAUSE_S: Final = 0.5
PAUSE_MAX_S: Final = 20.0
CHUNK_BYTES: Final = 8 << 20


class Destination:
    """A place in some storage, named by a URL: `s3://bucket/folder`, `file:///folder`."""

    def __init__(self, url: str, *, region: str = "", endpoint: str = "") -> None:
        """Open the storage; keys come from where the storage's own client looks for them.

        Args:
            url: the folder that copies go into.
            region: of the bucket; empty: what its client finds.
            endpoint: of storage that is not Amazon's; empty: Amazon's.

        Raises:
            MissingExtraError: fsspec or the storage's package is not installed.
            UploadError: no such kind of storage, or it cannot be opened.
        """
        self.url = url.rstrip("/")
        fsspec = _fsspec()
        options: dict[str, Any] = {"skip_instance_cache": True}
        if url.startswith("s3://"):
            client = {key: value for key, value in (("region_name", region),) if value}
            options |= {"client_kwargs": client, "use_listings_cache": False}
            if endpoint:
                options["endpoint_url"] = endpoint
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.url, **options)
        except ImportError as error:
            raise missing_extra("s3fs", "history") from error
        except ValueError as error:
            raise UploadError(f"{url}: {error}") from error
        self._errors = _storage_errors(url)

    def put(
        self, path: Path, name: str, *, pause: Callable[[float], object] = time.sleep
    ) -> dict[str, Any]:
        """Copy a file under a name, read it back, and return what is known of the copy.

        Tried ATTEMPTS_MAX times with growing, jittered pauses. A copy that is there already and is
        the same is not made again.

        Raises:
            UploadError: no attempt led to a verified copy; the message says why the last did not.
        """
        target = f"{self._root}/{name}"
        wanted = _digest_of(path)
        reason: object = ""
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                pause(_pause_s(attempt))
            try:
                if attempt or not self._holds(target, *wanted):
                    self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
                    self._files.put_file(str(path), target)
                if self._holds(target, *wanted):
                    size, digest = wanted
                    return {"url": f"{self.url}/{name}", "bytes": size, "sha256": digest}
                reason = "what was read back is not what was written"
            except self._errors as error:
                reason = f"{type(error).__name__}: {error}"
        raise UploadError(f"{self.url}/{name}: no verified copy after {ATTEMPTS_MAX}: {reason}")

    def _holds(self, target: str, size: int, digest: str) -> bool:
        """Return whether the storage holds these bytes, all of them read."""
        try:
            if self._files.info(target)["size"] != size:
                return False
        except FileNotFoundError:
            return False
        found = hashlib.sha256()
        with self._files.open(target, "rb") as stored:
            while chunk := stored.read(CHUNK_BYTES):
                found.update(chunk)
        return found.hexdigest() == digest


def _fsspec() -> ModuleType:
    try:
        import fsspec
        import fsspec.core
    except ImportError as error:
        raise missing_extra("fsspec", "history") from error
    found: ModuleType = fsspec
    return found


def _storage_errors(url: str) -> tuple[type[Exception], ...]:
    """Return what a storage raises when a copy cannot be made now; there is no common root."""
    if not url.startswith("s3://"):
        return (OSError, ValueError)
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, ValueError, BotoCoreError, ClientError)


def _digest_of(path: Path) -> tuple[int, str]:
    try:
        with path.open("rb") as file:
            return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UploadError(f"{path}: {error.strerror}") from error


def _pause_s(attempt: int) -> float:
    bound_s = min(PAUSE_MAX_S, FIRST_PAUSE_S * 2.0 ** (attempt - 1))
    return bound_s * random.uniform(0.5, 1.0)  # noqa: S311  jitter, no secret
