"""The environment is read at the edge, only the runner catches everything, types are made once."""

import ast
from collections.abc import Iterator

from tests.architecture.tree import Module, modules

READS_ENVIRONMENT = {"engine/cli.py", "engine/config.py", "engine/config_load.py"}
CATCHES_EVERYTHING = {"engine/processes/runner.py"}
MAKES_TYPES = {"engine/domain/typed.py"}
TYPED = {"msgspec.convert", "msgspec.json.decode", "msgspec.json.Decoder"}


def environment_reads(module: Module) -> Iterator[int]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute | ast.ImportFrom):
            continue
        is_read = isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
        is_import = isinstance(node, ast.ImportFrom) and node.module == "os"
        names = {alias.name for alias in node.names} if isinstance(node, ast.ImportFrom) else set()
        if is_read or (is_import and names & {"environ", "environb", "getenv"}):
            yield node.lineno


def cleans_up(handler: ast.ExceptHandler) -> bool:
    """Say whether a handler undoes something and raises the same again, whatever it was."""
    last = handler.body[-1]
    caught = ast.unparse(handler.type) if handler.type else ""
    return caught == "BaseException" and isinstance(last, ast.Raise) and last.exc is None


def broad_handlers(module: Module) -> Iterator[int]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and not cleans_up(node):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            if {"Exception", "BaseException"} & set(caught.strip("()").split(", ")):
                yield node.lineno


def typed_at_run_time(module: Module) -> Iterator[int]:
    """Yield where msgspec is asked for a type in a function: two threads may ask at once."""
    for function in module.definitions():
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in TYPED:
                yield node.lineno


def test_environment_is_read_at_the_edge_only() -> None:
    found = [
        f"{module.path}:{line}"
        for module in modules()
        if str(module.path) not in READS_ENVIRONMENT and module.path.name != "__main__.py"
        for line in environment_reads(module)
    ]
    assert found == []


def test_only_the_runner_catches_everything() -> None:
    found = [
        f"{module.path}:{line}"
        for module in modules()
        if str(module.path) not in CATCHES_EVERYTHING
        for line in broad_handlers(module)
    ]
    assert found == []


def test_types_are_made_at_import_or_one_at_a_time() -> None:
    found = [
        f"{module.path}:{line}"
        for module in modules("engine", "ringbuffer")
        if str(module.path) not in MAKES_TYPES
        for line in typed_at_run_time(module)
    ]
    assert found == []


def test_typing_at_run_time_is_seen() -> None:
    for call in ("msgspec.convert(x, Row)", "msgspec.json.Decoder(Row).decode(x)"):
        assert list(typed_at_run_time(Module.parse("x.py", f"def f(x):\n    return {call}\n")))
        assert not list(typed_at_run_time(Module.parse("x.py", f"FOUND = {call}\n")))


def test_environment_reads_are_seen_in_every_spelling() -> None:
    for source in ("import os\nos.environ['A']", "from os import getenv", "os.getenv('A')"):
        assert list(environment_reads(Module.parse("x.py", source)))


def test_broad_handlers_are_seen_in_every_spelling() -> None:
    for caught in (":", " Exception:", " (OSError, Exception) as e:", " BaseException:"):
        source = f"try:\n    f()\nexcept{caught}\n    g()\n"
        assert list(broad_handlers(Module.parse("x.py", source)))


def test_cleaning_up_on_the_way_is_no_catching() -> None:
    source = "try:\n    f()\nexcept BaseException:\n    g()\n    raise\n"
    assert list(broad_handlers(Module.parse("x.py", source))) == []
    assert list(broad_handlers(Module.parse("x.py", source.replace("    raise\n", ""))))
