"""The environment is read at the edge, and only the runner catches everything."""

import ast
from collections.abc import Iterator

from tests.architecture.tree import Module, modules

READS_ENVIRONMENT = {"engine/cli.py", "engine/config.py", "engine/config_load.py"}
CATCHES_EVERYTHING = {"engine/processes/runner.py"}


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
