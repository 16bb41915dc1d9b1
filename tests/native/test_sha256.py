"""SHA-256 both ways it is compiled: with the processor's instructions, and without."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
VARIANTS = {"the processor's": [], "portable": ["-DAEGIS_PORTABLE_SHA256"]}
DEADLINE_S = 60


@pytest.fixture(scope="module", params=VARIANTS)
def library(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ctypes.CDLL:
    built = tmp_path_factory.mktemp("sha256") / "sha256.so"
    flags = ["-O2", "-std=c11", "-shared", "-fPIC", *VARIANTS[request.param]]
    source = ROOT / "native_ext/sha256.c"
    subprocess.run(["cc", *flags, "-o", built, source], check=True, timeout=DEADLINE_S)
    return ctypes.CDLL(str(built))


def digest(library: ctypes.CDLL, data: bytes) -> bytes:
    answer = ctypes.create_string_buffer(32)
    library.aegis_sha256(data, ctypes.c_size_t(len(data)), answer)
    return answer.raw


@given(data=st.binary(max_size=1_000))
def test_digest_is_the_one_of_the_library(library: ctypes.CDLL, data: bytes) -> None:
    assert digest(library, data) == hashlib.sha256(data).digest()


def test_every_length_around_the_block_size(library: ctypes.CDLL) -> None:
    for size in range(260):
        data = bytes(range(256))[:size] + b"x" * max(0, size - 256)
        assert digest(library, data) == hashlib.sha256(data).digest(), size
