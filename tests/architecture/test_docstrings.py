"""Everything public is documented; every function says what it takes and returns."""

import ast

from tests.architecture.tree import Definition, Module, modules


def own_arguments(node: Definition) -> list[ast.arg]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [argument for argument in every if argument.arg not in {"self", "cls"}]


def annotated(node: Definition) -> bool:
    return node.returns is not None and all(arg.annotation for arg in own_arguments(node))


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(module.path) for module in modules() if not ast.get_docstring(module.tree)]
    assert silent == []


def test_everything_public_is_documented() -> None:
    silent = [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules()
        for node in module.named()
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_every_function_is_annotated() -> None:
    bare = [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules()
        for node in module.definitions()
        if not annotated(node)
    ]
    assert bare == []


def test_annotated_sees_every_kind_of_argument() -> None:
    source = "def f(a: int, /, *b: int, c: int, **d) -> None: ..."
    (node,) = Module.parse("x.py", source).definitions()
    assert not annotated(node)
