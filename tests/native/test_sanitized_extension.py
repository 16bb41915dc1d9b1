"""The extension built with sanitizers, under the unit tests of the ring."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ring_builders import ROOT

DEADLINE_S = 400
SUBJECTS = ("producer", "consumer", "observer", "ring", "segment", "clock", "layout")


def runtime(name: str) -> str:
    """Return the path of a sanitizer's runtime library, which must be loaded first."""
    done = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_the_ring_suite_passes_under_address_and_undefined_sanitizers(tmp_path: Path) -> None:
    package = tmp_path / "lib" / "native_ext"
    folders = ["--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "objects")]
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", *folders],
        cwd=ROOT,
        env={**os.environ, "AEGIS_SANITIZE": "address,undefined"},
        check=True,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    shutil.copy(ROOT / "native_ext/__init__.py", package)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path / 'lib'}:{ROOT}",
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter keeps what it allocates
        "UBSAN_OPTIONS": "halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }
    where = "import native_ext._native as n; print(n.__file__)"
    python = [sys.executable, "-P"]  # WHY: without -P the checkout's own build would come first
    loaded = subprocess.run(
        [*python, "-c", where],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.startswith(str(package)), "the sanitized build must be the one tested"
    suites = [str(ROOT / f"tests/unit/ringbuffer/test_{subject}.py") for subject in SUBJECTS]
    options = ["-q", "-o", "pythonpath=", "-p", "no:cacheprovider"]
    chosen = ["-k", "not multiprocessing and not independent"]
    done = subprocess.run(
        [*python, "-m", "pytest", *options, *chosen, *suites],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "ERROR: AddressSanitizer" not in done.stdout + done.stderr
    assert "runtime error" not in done.stdout + done.stderr
