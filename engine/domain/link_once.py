"""Kernels are linked, optimised and made into machine code once: with the entry that needs them.

Numba finishes every function by itself: it links in all that the function calls, optimises the
whole, and makes machine code of it, before it goes on to the function's caller, which does the same
with everything again. With 270 kernels ten calls deep most of a cold compile is repetition. After
`finish_on_demand` a function is left as it is, with the names of those it calls. The first that is
asked for its address is linked, optimised and compiled with everything below it at once.

What the cache keeps of the others is their own code, in files named by what is in them, as nobody
calls them from Python:

        <cache>/functions/<hash>        the code of one function, and the hashes of those it calls

`machine_code` makes an object file of a function for who loads it without Numba. What it calls may
be left to another object file.

It changes methods of Numba's code library in place, so it is held to the locked version by the
tests of the kernel image, which compile through it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

FINISHING: Final = "aegis:finish"  # event of Numba's: from here on kernels become machine code
FOLDER: Final = "functions"
SPEED_LEVEL: Final = 3  # of LLVM's optimiser, as Numba's own

SHARED: Final = {"weak_odr", "linkonce_odr"}  # linkages of kernels, and of Numba's own functions

_WAITING = "_aegis_waiting"  # neither optimised nor machine code: what others may call
_KEPT = "_aegis_kept"  # the hash under which a function's code is kept
_CALLS = "_aegis_calls"  # the hashes of what it calls
_KEPT_CODE: Final = msgspec.msgpack.Decoder(tuple[bytes, list[str]])


class MachineCode(NamedTuple):
    """An object file, and the names it does not define."""

    code: bytes
    lacks: tuple[str, ...]


def finish_on_demand() -> None:
    """From now on let functions wait for their address to be asked for."""
    from numba.core import codegen as its_own

    codegen: Any = its_own
    library: Any = codegen.JITCodeLibrary
    jit: Any = codegen.JITCPUCodegen
    if library.finalize is _wait_for_callers:
        return
    unserialize = library._unserialize.__func__  # noqa: SLF001  Numba has no setting for it
    library.finalize = _wait_for_callers
    library.get_pointer_to_function = _pointer_on_demand(library.get_pointer_to_function)
    library.serialize_using_object_code = _serialize_kept(library.serialize_using_object_code)
    library._unserialize = classmethod(_unserialize_kept(unserialize))  # noqa: SLF001
    jit.set_env = _set_known_env(jit.set_env)


def kept_as(library: Any) -> str:  # noqa: ANN401  Numba has no types
    """Return the hash under which a function's code is kept, "" if it is not."""
    return str(getattr(library, _KEPT, ""))


def machine_code(library: Any, name: str, left: Iterable[str] = ()) -> MachineCode:  # noqa: ANN401
    """Make an object file of function `name` of a library that waits, with everything below it.

    Args:
        library: Numba's, of a kernel that was compiled by this process.
        name: the function's symbol, the only one that others will find.
        left: hashes of functions that are in another object file.
    """
    from numba.core import event

    its_own: Any = event
    with its_own.trigger_event(FINISHING, name):
        module = library._final_module.clone()  # noqa: SLF001
        _complete(module, library, [name], set(left))
        lacks = tuple(it.name for it in module.functions if it.is_declaration)
        machine = _near(library._codegen)  # noqa: SLF001
        return MachineCode(bytes(machine.emit_object(module)), lacks)


def _near(codegen: Any) -> Any:  # noqa: ANN401
    # Numba's own machine may lie anywhere, so each call loads an address of eight bytes first.
    # `kernel_image` puts an object into one block of memory: what it calls is near.
    from numba.core import codegen as its_own

    llvm: Any = its_own.ll  # type: ignore[attr-defined]
    options: dict[str, Any] = {"opt": SPEED_LEVEL}
    codegen._customize_tm_options(options)  # noqa: SLF001
    options |= {"reloc": "pic", "codemodel": "small"}
    target = llvm.Target.from_triple(codegen._tm.triple)  # noqa: SLF001
    return target.create_target_machine(**options)


def _pointer_on_demand(its_own: Any) -> Any:  # noqa: ANN401  Numba has no types
    def pointer(self: Any, name: str) -> int:  # noqa: ANN401
        self._ensure_finalized()
        waiting = getattr(self, _WAITING, None)
        if waiting is not None:
            if name not in waiting:
                return 0
            _finish(self, name)
        return int(its_own(self, name))

    return pointer


def _serialize_kept(its_own: Any) -> Any:  # noqa: ANN401
    def serialize(self: Any) -> Any:  # noqa: ANN401
        if getattr(self, _WAITING, None) is None:
            return its_own(self)
        code = self._final_module.as_bitcode()
        setattr(self, _KEPT, _keep(msgspec.msgpack.encode((code, tuple(getattr(self, _CALLS))))))
        return self.name, _KEPT, kept_as(self)

    return serialize


def _unserialize_kept(its_own: Any) -> Any:  # noqa: ANN401
    def unserialize(cls: Any, codegen: Any, state: Any) -> Any:  # noqa: ANN401
        name, kind, data = state
        if kind != _KEPT:
            return its_own(cls, codegen, state)
        # Its code is read when a caller is linked: it defines nothing that could be asked for.
        found = codegen.create_library(name)
        found._finalized = True  # noqa: SLF001
        setattr(found, _WAITING, [])
        setattr(found, _KEPT, data)
        return found

    return unserialize


def _folder() -> Path:
    from numba import config

    settings: Any = config
    return Path(settings.CACHE_DIR or Path(__file__).parent / "__pycache__") / FOLDER


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _content(name: str) -> bytes:
    place = _folder() / name
    content = place.read_bytes()
    if _name(content) != name:
        raise OSError(errno.EIO, "damaged: remove the kernel cache that it is in", str(place))
    return content


def _keep(content: bytes) -> str:
    name = _name(content)
    place = _folder() / name
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_name(f"{name}.{os.getpid()}")
        unfinished.write_bytes(content)
        unfinished.replace(place)
    return name


def _set_known_env(its_own: Any) -> Any:  # noqa: ANN401
    def set_env(self: Any, name: str, env: object) -> None:  # noqa: ANN401
        # Only entries have an environment that code reads; a waiting function has no address.
        if self._engine.is_symbol_defined(name):
            its_own(self, name, env)

    return set_env


def _wait_for_callers(self: Any) -> None:  # noqa: ANN401
    # In place of CPUCodeLibrary.finalize. Callers find what is kept by its hash; Numba's own
    # functions, which are not kept, become part of who calls them.
    self._raise_if_finalized()
    calls: dict[str, None] = {}  # in the order of the calls
    for library in dict.fromkeys(self._linking_libraries):
        self._reload_init.update(library._reload_init)  # noqa: SLF001
        if kept_as(library):
            calls[kept_as(library)] = None
        else:
            calls.update(getattr(library, _CALLS, {}))
            code = library._get_module_for_linking()  # noqa: SLF001
            self._final_module.link_in(code, preserve=True)
    # Numba would copy a function to say that it may be there twice; it says so itself until it is
    # finished. Weak, for LLVM leaves a function that is linked once out where nobody calls it yet.
    own = [it for it in self._final_module.functions if not it.is_declaration]
    outer = [it for it in own if it.linkage.name == "external"]
    for function in outer:
        function.linkage = "weak_odr"
    self._finalized = True
    self._shared_module = self._final_module
    setattr(self, _CALLS, calls)
    setattr(self, _WAITING, [function.name for function in outer])


def _finish(self: Any, name: str) -> None:  # noqa: ANN401
    # The second half of CPUCodeLibrary.finalize.
    from numba.core import event

    its_own: Any = event
    outer = getattr(self, _WAITING)
    setattr(self, _WAITING, None)
    self._shared_module = None
    with its_own.trigger_event(FINISHING, name):
        _complete(self._final_module, self, outer, set())
        self._finalize_final_module()


def _complete(module: Any, library: Any, outer: list[str], left: set[str]) -> None:  # noqa: ANN401
    """Link in all that a library calls, but `left`, and optimise; only `outer` can be found."""
    _link(module, library, left)
    for name in outer:
        module.get_function(name).linkage = "external"
    _hide_callees(module)
    _optimise(library._codegen, module)  # noqa: SLF001
    module.verify()


def _link(module: Any, library: Any, done: set[str]) -> None:  # noqa: ANN401
    """Link all that a library's functions call into a module, but what is in `done`.

    In the order of the calls, which is that of the machine code: what follows each other lies so.
    """
    from numba.core import codegen

    llvm: Any = codegen.ll  # type: ignore[attr-defined]  # llvmlite, as Numba has it
    parts: list[Any] = []
    due = list(reversed(getattr(library, _CALLS)))
    while due:
        name = due.pop()
        if name in done:
            continue
        done.add(name)
        code, calls = _KEPT_CODE.decode(_content(name))
        parts.append(llvm.parse_bitcode(code))
        due += reversed(calls)
    # In pairs: to link one in, LLVM looks through all of what it is linked into.
    while len(parts) > 1:
        for into, part in zip(parts[::2], parts[1::2], strict=False):
            into.link_in(part)
        parts = parts[::2]
    for part in parts:
        module.link_in(part)


def _optimise(codegen: Any, module: Any) -> None:  # noqa: ANN401
    # In place of CPUCodeLibrary._optimize_final_module, which goes over the module twice, the first
    # time for counts of references: kernels have none. Lanes that a kernel writes down become one
    # instruction for two of them, with the same bits. No loop is written out several times: a bar's
    # features ran 128 kB of code, four times what a first cache holds, and waited for it; 84 now.
    from numba.core import codegen as its_own

    llvm: Any = its_own.ll  # type: ignore[attr-defined]
    options = llvm.create_pipeline_tuning_options()
    options.speed_level = SPEED_LEVEL
    options.loop_vectorization = True
    options.slp_vectorization = True
    options.loop_unrolling = False
    builder = llvm.create_pass_builder(codegen._tm, options)  # noqa: SLF001
    builder.getModulePassManager().run(module, builder)


def _hide_callees(module: Any) -> None:  # noqa: ANN401
    # Numba passes an array word by word: five words and two per dimension, of which a kernel reads
    # one or two. Nobody else will ask for what was linked in, so the optimiser may leave out the
    # others.
    for function in module.functions:
        if function.linkage.name in SHARED and not function.is_declaration:
            function.linkage = "internal"
