"""Who may import whom, beyond what the contracts in pyproject.toml can say."""

import subprocess
import sys

import pytest

from tests.architecture.tree import ROOT, Module, modules, within

# Extras are imported where they are used, so that an engine without them starts, and starts fast.
EXTRAS = (
    "apprise", "binance", "fsspec", "ib_async", "ib_insync", "opentelemetry", "plotly", "psycopg",
    "pyarrow", "s3fs", "torch",
)  # fmt: skip
# Main binds its socket before anything of this size is loaded (budget: 50 ms from exec to accept).
HEAVY = ("numba", "numpy", "picows", "psutil", "starlette", "structlog", "uvicorn", "uvloop")
# Modules that are an extra's adapter: they load it, so nobody loads them before it is asked for.
ADAPTERS = {
    "engine.store.postgres",
    "engine.store.postgres_lease",
    "engine.venues.interactive_brokers",
}
# What several venues translate with; a venue of its own it is not.
VENUE_WORDS = {"engine.venues.venue", "engine.venues.order_records"}
DOMAIN_MAY_IMPORT = {"engine", "msgspec", "numba", "numpy"}


def offences(package: str, forbidden: str, *, allowed: str = "") -> list[str]:
    return [
        f"{module.path}:{line} imports {name}"
        for module in modules()
        if within(module.name, package)
        for line, name in module.imports()
        if within(name, forbidden) and not (allowed and within(name, allowed))
    ]


def test_domain_imports_nothing_else_of_the_engine() -> None:
    assert offences("engine.domain", "engine", allowed="engine.domain") == []


def test_domain_depends_on_numpy_numba_and_msgspec_only() -> None:
    outside = [
        f"{module.path}:{line} imports {name}"
        for module in modules("engine")
        if within(module.name, "engine.domain")
        for line, name in module.imports()
        if name.split(".")[0] not in DOMAIN_MAY_IMPORT | set(sys.stdlib_module_names)
    ]
    assert outside == []


@pytest.mark.parametrize("forbidden", ["engine.processes", "engine.store", "engine.web"])
def test_venues_know_no_other_room(forbidden: str) -> None:
    assert offences("engine.venues", forbidden) == []


def test_venues_do_not_know_each_other() -> None:
    names = {module.name for module in modules("engine")}
    venues = {".".join(name.split(".")[:3]) for name in names if name.startswith("engine.venues.")}
    venues -= VENUE_WORDS
    crossings = [
        offence
        for venue in venues
        for other in venues - {venue}
        for offence in offences(venue, other)
    ]
    assert crossings == []


@pytest.mark.parametrize("folder", ["bench", "tests"])
def test_nobody_imports_benches_and_tests(folder: str) -> None:
    packages = ("native_ext", "ringbuffer", "engine", "exchange", "research")
    assert [found for package in packages for found in offences(package, folder)] == []


def test_research_is_not_imported_by_the_engine() -> None:
    assert offences("engine", "research") == []


def test_extras_are_imported_where_they_are_used() -> None:
    at_load = [
        f"{module.path}:{line} imports {name} at load"
        for module in modules("engine", "ringbuffer", "native_ext", "exchange")
        if module.name not in ADAPTERS
        for line, name in module.imports(at_load=True)
        if name.split(".")[0] in EXTRAS or any(within(name, adapter) for adapter in ADAPTERS)
    ]
    assert at_load == []


def test_ringbuffer_contains_no_word_of_trading() -> None:
    words = ("order", "instrument", "price", "venue", "strategy", "position")
    names = [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules("ringbuffer")
        for node in module.named()
        if any(word in node.name.lower().split("_") for word in words)
    ]
    assert names == []


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def module_exists(path: str) -> bool:
    return any(str(module.path) == path for module in modules())


@pytest.mark.parametrize("name", ["engine.cli", "engine.processes.supervisor"])
def test_main_loads_nothing_heavy_before_it_listens(name: str) -> None:
    if not module_exists(name.replace(".", "/") + ".py"):
        pytest.skip(f"{name} does not exist yet")
    assert loaded_after(f"import {name}").intersection(HEAVY) == set()


def test_imports_are_found_where_they_run() -> None:
    source = "import a\ndef f():\n    import b\nif TYPE_CHECKING:\n    import c\n"
    module = Module.parse("x.py", source)
    assert {name for _, name in module.imports()} == {"a", "b", "c"}
    assert {name for _, name in module.imports(at_load=True)} == {"a"}
