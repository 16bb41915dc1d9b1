"""The checkout as the architecture tests see it: files, syntax trees, names."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("native_ext", "ringbuffer", "engine", "exchange", "research")

Definition = ast.FunctionDef | ast.AsyncFunctionDef
Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def files() -> list[Path]:
    """Return every file of the project, relative to its root: tracked, or new and not ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [Path(line) for line in listing.stdout.splitlines()]
    return sorted(path for path in found if (ROOT / path).is_file())


def text(path: Path) -> str:
    """Return a file's text."""
    return (ROOT / path).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Module:
    """One Python file of the project with its syntax tree."""

    path: Path
    tree: ast.Module

    @classmethod
    def parse(cls, path: str, source: str) -> "Module":
        """Return the module with the given source."""
        return cls(Path(path), ast.parse(source, filename=path))

    @property
    def name(self) -> str:
        """Return the dotted name under which the module is imported."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def definitions(self) -> Iterator[Definition]:
        """Yield every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, Definition):
                yield node

    def named(self) -> Iterator[Named]:
        """Yield every function, method and class, but nothing that lives inside a function."""
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Named):
                yield node
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                waiting.extend(ast.iter_child_nodes(node))

    def imports(self, *, at_load: bool = False) -> Iterator[tuple[int, str]]:
        """Yield (line, dotted name) of what is imported; at_load: only what importing it loads."""
        for node in self._nodes_run_at_load() if at_load else ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)

    def _nodes_run_at_load(self) -> Iterator[ast.AST]:
        pending: list[ast.AST] = [self.tree]
        while pending:
            node = pending.pop()
            yield node
            if not isinstance(node, Definition | ast.Lambda) and not is_type_checking(node):
                pending.extend(ast.iter_child_nodes(node))


def is_type_checking(node: ast.AST) -> bool:
    """Say whether a node is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


@cache
def modules(*folders: str) -> list[Module]:
    """Return the Python files below the folders; without folders, of the installed packages."""
    wanted = folders or PACKAGES
    paths = [path for path in files() if path.suffix == ".py" and path.parts[0] in wanted]
    return [Module.parse(str(path), text(path)) for path in paths]


def body_lines(node: Definition) -> int:
    """Return the lines of a function from `def` to its end, its docstring not counted."""
    assert node.end_lineno is not None
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return node.end_lineno - node.lineno + 1 - docstring


def within(name: str, package: str) -> bool:
    """Say whether a dotted name is a package or lies inside it."""
    return name == package or name.startswith(package + ".")
