"""Inner kernels are called by kernels only: a call from Python would compile them once more."""

import ast
from collections.abc import Iterator
from itertools import chain

from tests.architecture.tree import Module, modules

INNER = {"kernel", "fused"}
COMPILED = INNER | {"entry", "exported"}


def decorators(function: ast.FunctionDef) -> set[str]:
    return {mark.id for mark in function.decorator_list if isinstance(mark, ast.Name)}


def functions(module: Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef))


def inner_kernels(module: Module) -> set[str]:
    return {node.name for node in functions(module) if decorators(node) & INNER}


def known_here(module: Module, kernels: dict[str, set[str]]) -> set[str]:
    """Return the names under which a module can call inner kernels, its own or imported."""
    found = set(kernels.get(module.name, ()))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom):
            there = kernels.get(node.module or "", set())
            found |= {alias.asname or alias.name for alias in node.names if alias.name in there}
    return found


def calls_from_python(module: Module, names: set[str]) -> Iterator[str]:
    for function in functions(module):
        if decorators(function) & COMPILED:
            continue
        for node in ast.walk(function):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in names:
                yield f"{module.path}:{called.lineno} {function.name} calls {called.id}"


def test_no_python_of_the_engine_calls_an_inner_kernel() -> None:
    everything = [*modules("engine"), *modules("ringbuffer")]
    kernels = {module.name: inner_kernels(module) for module in everything}
    found = (calls_from_python(it, known_here(it, kernels)) for it in modules("engine"))
    assert list(chain.from_iterable(found)) == []


def test_a_call_from_python_would_be_found() -> None:
    kernels = {"engine.domain.emit": {"echo"}}
    source = "from engine.domain.emit import echo\ndef f() -> None:\n    echo()\n"
    module = Module.parse("engine/one.py", source)
    assert len(list(calls_from_python(module, known_here(module, kernels)))) == 1
