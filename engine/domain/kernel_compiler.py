"""Numba's compiler as kernels need it: fewer passes, and no question asked twice.

Of Numba's 26 passes half look for what no kernel has: closures, generators, `with` blocks, loops
over literals, array expressions, parallel loops; after each the whole function is analysed anew.
Reading the byte code it looks for `with`, dictionaries and calls with `**`. A kernel goes through
PASSES, and is analysed where one of them asks for it. What a kernel must not contain is refused by
the others, when it is typed or lowered.

`install` makes three answers of Numba's cheap. An event that nobody listens to is not made: there
is one at each call of LLVM. The size of a type is asked of LLVM once; Numba has it parse a module
each time. What an operator makes of its arguments is looked up once for their types; Numba tries
every overload at every use, and again whenever it goes over the function. Settings are equal when
what was set is; Numba reads all of both sides, at every use of an operator. Symbols are short, and
machine code is made of what is called (`link_once`). Before that a function is only tidied: what
LLVM can do to it alone it does again, and better, when it has all.

One thing is compiled otherwise: an index is taken as it is. Numba adds an array's length to one
below zero, and asks at each access whether it is; no kernel counts from an array's end.

It changes functions of Numba in place, so it is held to the locked version, as `link_once` is.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, Final

from numba.core import (
    base,
    caching,
    codegen,
    compiler,
    cpu,
    event,
    interpreter,
    ir,
    itanium_mangler,
    targetconfig,
    typed_passes,
    types,
    untyped_passes,
)
from numba.core.compiler_machinery import PassManager
from numba.core.types import functions
from numba.np import arrayobj

from engine.domain import array_values, link_once

SIGNATURES_KEPT: Final = 4_096  # of Numba's own functions, which are fewer

NEVER_FOUND: Final = (  # what Numba looks for when it has read a function's byte code
    "peep_hole_delete_with_exit",
    "peep_hole_fuse_dict_add_updates",
    "peep_hole_call_function_ex_to_call_function_kw",
)
TIDY_LEVEL: Final = 1  # of LLVM's optimiser

_COMPILER: Final[Any] = compiler  # the library's own types leave most undeclared
_CODEGEN: Final[Any] = codegen
_LLVM: Final[Any] = _CODEGEN.ll  # llvmlite, as Numba has it
_EVENT: Final[Any] = event
_IR: Final[Any] = ir
_WITHOUT_VARIABLES: Final[set[type]] = set()  # kinds of what statements are made of
_UNTYPED: Final[Any] = untyped_passes
_TYPED: Final[Any] = typed_passes

PASSES: Final = (
    (_UNTYPED.TranslateByteCode, "read the byte code"),
    (_UNTYPED.FixupArgs, "name the arguments"),
    (_UNTYPED.IRProcessing, "analyse"),
    (_UNTYPED.GenericRewrites, "tell constant fields and places from others"),
    (_UNTYPED.ReconstructSSA, "one name for each value"),
    (_TYPED.NopythonTypeInference, "infer types"),
    (_TYPED.PreLowerStripPhis, "values of two origins"),
    (_TYPED.IRLegalization, "analyse once more"),
    (_TYPED.NativeLowering, "write LLVM's code"),
    (_TYPED.NoPythonBackend, "answer"),
)


class _Passes(PassManager):
    def _runPass(self, _index: int, step: Any, state: Any) -> None:  # noqa: ANN401, N802
        # Numba's own times each pass and analyses the function after it.
        step.run_pass(state)


def _passes() -> Any:  # noqa: ANN401  has no types
    found: Any = _Passes("kernel")  # type: ignore[no-untyped-call]
    for step, reason in PASSES:
        found.add_pass(step, reason)
    found.finalize()
    return found


_PASSES: Final[Any] = _passes()


class KernelCompiler(_COMPILER.CompilerBase):  # type: ignore[misc]
    """What `numba.njit` compiles a kernel with."""

    def define_pipelines(self) -> list[Any]:
        """Return the one list of passes."""
        return [_PASSES]


def install() -> None:
    """From now on Numba asks once, names briefly, and finishes a kernel when it is called."""
    if getattr(_EVENT.start_event, "asks_once", False):
        return
    _EVENT.start_event = _heard(_EVENT.start_event)
    _EVENT.end_event = _heard(_EVENT.end_event)
    _EVENT.install_timer = _no_timer
    context: Any = base.BaseContext
    context.get_abi_sizeof = _remembered_size(context.get_abi_sizeof)
    settings: Any = targetconfig.TargetConfig
    settings.__eq__, settings.__hash__ = _equal_settings(settings.__eq__), _hash_of_settings
    its_base: Any = base
    its_base._has_loc = lru_cache(SIGNATURES_KEPT)(its_base._has_loc)  # noqa: SLF001  no setting
    function: Any = functions.Function
    function.get_call_type = _remembered_type(function.get_call_type)
    cpu.CPUContext.mangler = _symbol  # type: ignore[method-assign]  # Numba has no setting for it
    for look in NEVER_FOUND:
        setattr(interpreter, look, lambda function: function)
    folder: Any = caching._CacheLocator  # noqa: SLF001  as above
    folder.ensure_cache_path = _made_once(folder.ensure_cache_path)
    caching.IndexDataCacheFile.save = _save_by_key  # type: ignore[method-assign]  # as above
    arrayobj.fix_integer_index = _plain_index
    _CODEGEN.CPUCodeLibrary._optimize_functions = _tidy  # noqa: SLF001  no setting
    _IR.Inst._rec_list_vars = _variables  # noqa: SLF001  no setting
    array_values.install()
    link_once.finish_on_demand()


def _equal_settings(its_own: Any) -> Any:  # noqa: ANN401
    def equal(self: Any, other: Any) -> Any:  # noqa: ANN401
        is_same = type(self) is type(other) and self._values == other._values  # noqa: SLF001
        return is_same or its_own(self, other)

    return equal


def _hash_of_settings(self: object) -> int:
    return hash(type(self))  # as Numba's own, which hashes the options' names alone


def keep_apart(dispatcher: Any) -> None:  # noqa: ANN401  has no types
    """Keep what this dispatcher compiles beside what another one made of the same function."""
    cache = dispatcher._cache  # noqa: SLF001  Numba has no setting for it
    key_of = cache._index_key  # noqa: SLF001
    cache._index_key = lambda *words: (*key_of(*words), "from Python")  # noqa: SLF001


def _save_by_key(self: Any, key: object, data: object) -> None:  # noqa: ANN401
    # Numba numbers the files of a function and writes its index first. So two processes that
    # compile it for two signatures at once would take the same number, and one would find the code
    # of the other; an index that a kill left behind would name what an older one meant by it.
    number = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:7])
    name = self._data_name(number)
    self._save_data(name, data)
    self._save_index({**self._load_index(), key: name})


def _variables(self: Any, value: Any) -> list[Any]:  # noqa: ANN401
    # Numba looks through every word of every statement, again after each pass.
    kind = type(value)
    if kind is _IR.Var:
        return [value]
    if kind in _WITHOUT_VARIABLES:
        return []
    if isinstance(value, _IR.Inst):
        return list(value.list_vars())
    if not isinstance(value, dict | list | tuple):
        _WITHOUT_VARIABLES.add(kind)
        return []
    found = []
    for part in value.values() if isinstance(value, dict) else value:
        if type(part) not in _WITHOUT_VARIABLES:
            found += _variables(self, part)
    return found


def _tidy(self: Any, module: Any) -> None:  # noqa: ANN401
    # What makes the text of a function small. Short loops are written out here: no more are later.
    options = _LLVM.create_pipeline_tuning_options(TIDY_LEVEL)
    builder = _LLVM.create_pass_builder(self._codegen._tm, options)  # noqa: SLF001
    passes = builder.getFunctionPassManager()
    module.data_layout = self._codegen._data_layout  # noqa: SLF001
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)


def _made_once(its_own: Any) -> Any:  # noqa: ANN401
    # Numba tries whether it can write there, with a file, for every kernel.
    made: set[str] = set()  # bounded by the folders of the kernels

    def make(self: Any) -> None:  # noqa: ANN401
        if self.get_cache_path() not in made:
            its_own(self)
            made.add(self.get_cache_path())

    return make


def _symbol(  # Numba's own signature of it
    _context: object,
    name: str,
    kinds: tuple[object, ...],
    *,
    abi_tags: tuple[str, ...] = (),
    uid: int | None = None,
) -> str:
    # Numba's symbols spell out every field of every record of every argument: 20 KB for a kernel
    # of the order side, at each call, in text that LLVM parses (measured: a cache of 110 MB with,
    # of 30 MB without; the number that makes a name unique stays).
    digest = hashlib.sha256("|".join(map(str, kinds)).encode()).hexdigest()[:16]
    named: Any = itanium_mangler.mangle  # has no types
    return str(named(name, (), abi_tags=(*abi_tags, digest), uid=uid))


def _plain_index(
    context: Any,  # noqa: ANN401  Numba's own, as the others
    builder: Any,  # noqa: ANN401
    kind: Any,  # noqa: ANN401
    index: Any,  # noqa: ANN401
    _size: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    # Three instructions less at each access, and no length to keep at hand (a sixth of what a bar's
    # features run). With NUMBA_BOUNDSCHECK an index below zero is an error, as one behind the end.
    return context.cast(builder, index, kind, types.intp)


def _heard(its_own: Any) -> Any:  # noqa: ANN401
    def tell(kind: str, *data: object, **named: object) -> None:
        if _EVENT._registered.get(kind):  # noqa: SLF001  Numba has no question for it
            its_own(kind, *data, **named)

    tell.asks_once = True  # type: ignore[attr-defined]
    return tell


def _no_timer(_kind: str, _callback: object) -> AbstractContextManager[None]:
    # Every kernel that is being compiled would listen to every call of LLVM, its callees' too.
    return nullcontext()


def _remembered_size(its_own: Any) -> Any:  # noqa: ANN401
    sizes: dict[str, int] = {}  # bounded by the types of the kernels

    def size(self: Any, kind: Any) -> int:  # noqa: ANN401
        name = str(kind)
        if name not in sizes:
            sizes[name] = int(its_own(self, kind))
        return sizes[name]

    return size


def _remembered_type(its_own: Any) -> Any:  # noqa: ANN401
    found: dict[Any, tuple[Any, Any]] = {}  # bounded by operators and the types of the kernels

    def call_type(self: Any, context: Any, arguments: Any, named: Any) -> Any:  # noqa: ANN401
        if named:
            return its_own(self, context, arguments, named)
        key = (self, arguments)
        if key not in found:
            signature = its_own(self, context, arguments, named)
            if signature is None:
                return None
            found[key] = signature, self.get_impl_key(signature)
        signature, implementation = found[key]
        self._impl_keys[signature.args] = implementation
        return signature

    return call_type
