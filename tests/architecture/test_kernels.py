"""Inner kernels are called by kernels only, and no kernel counts from an array's end.

A call from Python would compile an inner kernel once more. An index below zero is not looked at
where it is compiled; one that is computed is found by tests/replay/test_brain_agreement.py.
"""

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


def counts_from_an_end(module: Module) -> Iterator[str]:
    compiled = (node for node in functions(module) if decorators(node) & COMPILED)
    for node in chain.from_iterable(ast.walk(function) for function in compiled):
        if not isinstance(node, ast.Subscript):
            continue
        for index in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
            if isinstance(index, ast.UnaryOp) and isinstance(index.op, ast.USub):
                yield f"{module.path}:{index.lineno}"


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


def test_no_kernel_counts_from_an_arrays_end() -> None:
    everything = [*modules("engine"), *modules("ringbuffer")]
    assert list(chain.from_iterable(counts_from_an_end(it) for it in everything)) == []


def test_an_index_below_zero_would_be_found() -> None:
    source = "@kernel\ndef f(x: Floats) -> float:\n    return x[0, -1] + x[-2, 0]\n"
    assert len(list(counts_from_an_end(Module.parse("engine/one.py", source)))) == 2
