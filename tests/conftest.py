"""What every test gets: a clean environment, a home of its own, and the way to recorded data."""

import atexit
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

from engine.processes import kernel_cache, logs
from tests.bucket import s3
from tests.engine_process import KERNELS

__all__ = ["s3"]  # a fixture of every test

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"

# Files whose tests start engines begin with one of these: one worker has them all.
ENGINES = (
    *(f"tests/{folder}/" for folder in ("browser", "crash", "faults")),
    *(f"tests/replay/test_{name}" for name in ("captures_live", "paper_session", "tape_live")),
    "tests/unit/bench/test_brain_side.py",
    "tests/unit/feed/test_feed_news.py",
    "tests/unit/main/",
    "tests/unit/processes/",
    "tests/unit/research/test_chart.py",
    "tests/unit/store/test_postgres_lease.py",
    "tests/unit/test_",
)

# Numba's cache looks at one file, so a changed callee in another would go unnoticed: the name of
# this folder changes with any kernel source. It is the one that engines under test compile into.
# It is set before Numba is imported, and children inherit it.
os.environ.setdefault("NUMBA_CACHE_DIR", str(KERNELS / f"kernels-{kernel_cache.cache_key()}"))

hypothesis.settings.register_profile("quick", deadline=None, max_examples=100)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
hypothesis.settings.register_profile("long", deadline=None, max_examples=2_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--slow-sample=N`: run the quick tests and N of the slow ones."""
    parser.addoption(
        "--slow-sample",
        type=int,
        default=0,
        metavar="N",
        help="run N of the slow tests too, evenly spaced over all of them",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the hypothesis profile and make room for a sample of the slow tests."""
    sampled = config.getoption("--slow-sample") > 0
    if sampled and config.option.markexpr == "not slow":
        config.option.markexpr = ""
    from engine.domain import kernel_compiler  # imports Numba, which reads the variable above

    kernel_compiler.install()  # for the kernels of the rings too, whichever test comes first
    # What tests held back is no role's to tell, and the streams they logged to are closed by then.
    atexit.unregister(logs.tell_held)
    if not config.getoption("--hypothesis-profile", default=None):
        in_ci = os.environ.get("CI") == "true"
        hypothesis.settings.load_profile("ci" if in_ci else "quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep every quick test; with `--slow-sample=N` N slow ones over the suite, and the sampled."""
    count = config.getoption("--slow-sample")
    if count <= 0:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    step = max(1, -(-len(slow) // count))
    always = {item for item in slow if item.get_closest_marker("sampled")}
    dropped = set(slow) - set(slow[::step]) - always
    config.hook.pytest_deselected(items=[item for item in items if item in dropped])
    items[:] = [item for item in items if item not in dropped]


class OneWorkerHasTheEngines(LoadFileScheduling):
    """Spread the files over pytest-xdist's workers, those that start engines as if they were one.

    Engines of two tests at once would meet in the names of their segments, which are a machine's.
    """

    def _split_scope(self, nodeid: str) -> str:
        return "engines" if nodeid.startswith(ENGINES) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneWorkerHasTheEngines:
    """Return the scheduler of `pytest -n`."""
    return OneWorkerHasTheEngines(config, log)


def contract_variables() -> list[str]:
    """Return the names of all environment variables that `.env.example` documents."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", text, flags=re.MULTILINE)


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Hide the caller's settings: a test sees defaults, and a home that is its own."""
    for name in contract_variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of recorded markets beside the checkout; skip where there is none."""
    if not SHARED.is_dir():
        pytest.skip("no recorded markets: ../shared/data is absent")
    return SHARED


@pytest.fixture(scope="session")
def captures(shared_data: Path) -> list[Path]:
    """Return the raw USD-M captures, sorted by name; skip where there are none."""
    found = sorted(shared_data.glob("hftbacktest/usdm_*.gz"))
    if not found:
        pytest.skip("no recorded markets: ../shared/data/hftbacktest holds no usdm_*.gz")
    return found


@pytest.fixture
def root_as_it_was() -> Iterator[None]:
    """Give the root logger back its handlers and level."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger(logs.LOGGER_NAME).setLevel(logging.NOTSET)
