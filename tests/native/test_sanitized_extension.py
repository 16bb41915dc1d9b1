"""The extensions built with sanitizers, under the tests of the ring and of the feed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.native import fuzz_build
from tests.ring_builders import ROOT

DEADLINE_S = 400
RING = ("producer", "consumer", "observer", "ring", "segment", "clock", "layout")
FEED = ("decode", "feed_book", "feed_heal", "feed_liveness", "feed_reader", "lanes", "conflation")
SUITES = {
    "ring": [f"tests/unit/ringbuffer/test_{subject}.py" for subject in RING],
    "feed": [
        *(f"tests/unit/feed/test_{subject}.py" for subject in FEED),
        "tests/native/test_frames.py",
        "tests/native/test_fuzz_findings.py",
        "tests/property/test_feed_fuzz.py",
        "tests/property/test_decoder_json.py",
    ],
    "orders": [f"tests/unit/venues/test_order_{part}.py" for part in ("wire", "line", "records")],
}


def runtime(name: str) -> str:
    """Return the path of a sanitizer's runtime library, which must be loaded first."""
    done = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both extensions with sanitizers into a folder of their own."""
    folder = tmp_path_factory.mktemp("sanitized")
    if not fuzz_build.can_run("gcc", folder, "-fsanitize=address,undefined"):
        pytest.skip("gcc cannot build and run with -fsanitize=address,undefined here")
    target = folder / "lib" / "native_ext"
    folders = ["--build-lib", str(folder / "lib"), "--build-temp", str(folder / "objects")]
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", *folders],
        cwd=ROOT,
        env={**os.environ, "AEGIS_SANITIZE": "address,undefined"},
        check=True,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    shutil.copy(ROOT / "native_ext/__init__.py", target)
    return target


@pytest.mark.slow
@pytest.mark.parametrize("room", sorted(SUITES))
def test_the_suite_passes_under_address_and_undefined_sanitizers(room: str, package: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{package.parent}:{ROOT}",
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter keeps what it allocates
        "UBSAN_OPTIONS": "halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }
    where = "import native_ext._native as n, native_ext._feed as f; print(n.__file__, f.__file__)"
    python = [sys.executable, "-P"]  # WHY: without -P the checkout's own build would come first
    loaded = subprocess.run(
        [*python, "-c", where],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.count(str(package)) == 2, "the sanitized builds must be the ones tested"
    suites = [str(ROOT / name) for name in SUITES[room]]
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
