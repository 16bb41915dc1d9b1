"""Kernels are optimised and made into machine code once: with the entry that needs them.

Numba finishes every function by itself: it links in all that the function calls, optimises the
whole, and makes machine code of it, before it goes on to the function's caller, which does the same
with everything again. With 270 kernels ten calls deep most of a cold compile is repetition. After
`finish_on_demand` a function is only linked; the first that is asked for its address is optimised
and compiled, with everything below it at once. What the cache keeps of the others is their linked
code, not their machine code: nobody calls them from Python.

It changes methods of Numba's code library in place, so it is held to the locked version by the
tests of the kernel image, which compile through it.
"""

from __future__ import annotations

from typing import Any, Final

FINISHING: Final = "aegis:finish"  # event of Numba's: from here on kernels become machine code
SPEED_LEVEL: Final = 3  # of LLVM's optimiser, as Numba's own

_WAITING = "_aegis_waiting"  # linked, neither optimised nor machine code: what others may call


def finish_on_demand() -> None:
    """From now on let functions wait for their address to be asked for."""
    from numba.core import codegen as its_own

    codegen: Any = its_own
    library: Any = codegen.JITCodeLibrary
    jit: Any = codegen.JITCPUCodegen
    if library.finalize is _link:
        return
    unserialize = library._unserialize.__func__  # noqa: SLF001  Numba has no setting for it
    library.finalize = _link
    library.get_pointer_to_function = _pointer_on_demand(library.get_pointer_to_function)
    library.serialize_using_object_code = _serialize_linked(library.serialize_using_object_code)
    library._unserialize = classmethod(_unserialize_linked(codegen, unserialize))  # noqa: SLF001
    jit.set_env = _set_known_env(jit.set_env)


def _pointer_on_demand(its_own: Any) -> Any:  # noqa: ANN401  Numba has no types
    def pointer(self: Any, name: str) -> int:  # noqa: ANN401
        self._ensure_finalized()
        if getattr(self, _WAITING, None) is not None:
            defined = [it.name for it in self._final_module.functions if not it.is_declaration]
            if name not in defined:
                return 0
            _finish(self, name)
        return int(its_own(self, name))

    return pointer


def _serialize_linked(its_own: Any) -> Any:  # noqa: ANN401
    def serialize(self: Any) -> Any:  # noqa: ANN401
        if getattr(self, _WAITING, None) is None:
            return its_own(self)
        return self.name, "bitcode", self._get_module_for_linking().as_bitcode()

    return serialize


def _unserialize_linked(codegen: Any, its_own: Any) -> Any:  # noqa: ANN401
    def unserialize(cls: Any, codegen_: Any, state: Any) -> Any:  # noqa: ANN401
        name, kind, code = state
        if kind != "bitcode":
            return its_own(cls, codegen_, state)
        found = codegen_.create_library(name)
        found._final_module = codegen.ll.parse_bitcode(code)  # noqa: SLF001
        _wait(found)
        return found

    return unserialize


def _set_known_env(its_own: Any) -> Any:  # noqa: ANN401
    def set_env(self: Any, name: str, env: object) -> None:  # noqa: ANN401
        # Only entries have an environment that code reads; a waiting function has no address.
        if self._engine.is_symbol_defined(name):
            its_own(self, name, env)

    return set_env


def _link(self: Any) -> None:  # noqa: ANN401
    # In place of CPUCodeLibrary.finalize.
    self._raise_if_finalized()
    for library in dict.fromkeys(self._linking_libraries):
        self._reload_init.update(library._reload_init)  # noqa: SLF001
        self._final_module.link_in(library._get_module_for_linking(), preserve=True)  # noqa: SLF001
    _wait(self)


def _wait(self: Any) -> None:  # noqa: ANN401
    # Callers link a function in as one that may be there twice. Numba would copy all of it, with
    # everything below, to say so; nobody runs this one, so it says so itself until it is finished.
    own = [it for it in self._final_module.functions if not it.is_declaration]
    outer = [it for it in own if it.linkage.name == "external"]
    for function in outer:
        function.linkage = "linkonce_odr"
    self._finalized = True
    self._shared_module = self._final_module
    setattr(self, _WAITING, [function.name for function in outer])


def _finish(self: Any, name: str) -> None:  # noqa: ANN401
    # The second half of CPUCodeLibrary.finalize.
    from numba.core import event

    its_own: Any = event
    for outer in getattr(self, _WAITING):
        self._final_module.get_function(outer).linkage = "external"
    setattr(self, _WAITING, None)
    self._shared_module = None
    with its_own.trigger_event(FINISHING, name):
        _hide_callees(self._final_module, name)
        _optimise(self)
        self._final_module.verify()
        self._finalize_final_module()


def _optimise(self: Any) -> None:  # noqa: ANN401
    # In place of CPUCodeLibrary._optimize_final_module, which goes over the module twice, the first
    # time for counts of references: kernels have none. Lanes that a kernel writes down become one
    # instruction for two of them, with the same bits. No loop is written out several times: a bar's
    # features ran 128 kB of code, four times what a first cache holds, and waited for it; 84 now.
    from numba.core import codegen as its_own

    llvm: Any = its_own
    options = llvm.ll.create_pipeline_tuning_options()
    options.speed_level = SPEED_LEVEL
    options.loop_vectorization = True
    options.slp_vectorization = True
    options.loop_unrolling = False
    builder = llvm.ll.create_pass_builder(self._codegen._tm, options)  # noqa: SLF001
    builder.getModulePassManager().run(self._final_module, builder)


def _hide_callees(module: Any, name: str) -> None:  # noqa: ANN401
    # Numba passes an array word by word: five words and two per dimension, of which a kernel reads
    # one or two. Nobody else will ask for what was linked in, so the optimiser may leave out the
    # others.
    for function in module.functions:
        is_linked_in = function.linkage.name == "linkonce_odr" and not function.is_declaration
        if is_linked_in and function.name != name:
            function.linkage = "internal"
