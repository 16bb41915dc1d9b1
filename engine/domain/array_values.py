"""What a kernel knows of an array stays in registers, from the first instruction written.

Numba writes an array's structure to the stack and reads it back at every access: about forty
instructions for one element of a column, which its compiler writes as text, parses, and takes away
again. Here the structure is a value, and what was put into it is known without asking; the same
machine code comes out of fewer instructions. Where somebody wants its address it moves to the stack
for good.

`install` replaces one function of Numba, so it is held to the locked version, as
`kernel_compiler` is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from numba.core import cgutils, types
from numba.np import arrayobj

# WHY: the library's own types leave these undeclared.
Context: TypeAlias = Any
Builder: TypeAlias = Any
Value: TypeAlias = Any
Kind: TypeAlias = Any

_arrayobj: Any = arrayobj
_ir: Any = cgutils.ir  # type: ignore[attr-defined]
KNOWN: Final = "_aegis_known"  # of an instruction: members of the structure it answers, by name


class ArrayValue:
    """The structure of an array, as Numba's own answers and takes its members."""

    def __init__(self, kind: Kind, context: Context, builder: Builder, value: Value) -> None:
        """Begin with a structure, or with zeros."""
        self._fe_type, self._context, self._builder = kind, context, builder
        self._datamodel = context.data_model_manager[kind]
        if value is None:
            value = _ir.Constant(self._datamodel.get_value_type(), None)
        self._whole = value
        self._known = dict(getattr(value, KNOWN, ()))  # was put in, so is there wherever it is
        self._read: dict[str, Value] = {}  # was taken out, maybe in a branch
        self._stack: Any = None

    def __getattr__(self, name: str) -> Value:
        """Return a member."""
        if name.startswith("_"):
            raise AttributeError(name)
        if self._stack is not None:
            return getattr(self._stack, name)
        if name in self._known:
            return self._known[name]
        if name not in self._read:
            place = self._datamodel.get_field_position(name)
            self._read[name] = self._builder.extract_value(self._whole, place)
        return self._read[name]

    def __setattr__(self, name: str, value: Value) -> None:
        """Take a member."""
        if name.startswith("_"):
            super().__setattr__(name, value)
        elif self._stack is not None:
            setattr(self._stack, name, value)
        else:
            place = self._datamodel.get_field_position(name)
            self._whole = self._builder.insert_value(self._whole, value, place)
            self._known[name] = value

    def _getvalue(self) -> Value:
        if self._stack is not None:
            return self._stack._getvalue()  # noqa: SLF001  named by Numba
        if isinstance(self._whole, _ir.Instruction):
            setattr(self._whole, KNOWN, self._known)
        return self._whole

    def _getpointer(self) -> Value:
        if self._stack is None:
            made = _on_the_stack(self._fe_type)
            self._stack = made(self._context, self._builder, value=self._whole)
        return self._stack._getpointer()  # noqa: SLF001  named by Numba


_on_the_stack: Final[Callable[[Kind], Any]] = _arrayobj.make_array


def install() -> None:
    """From now on Numba keeps the structures of plain arrays as values."""
    _arrayobj.make_array = _make_array


def _make_array(kind: Kind) -> Any:  # noqa: ANN401  makes a structure
    if type(kind) is not types.Array:
        return _on_the_stack(kind)

    def make(context: Context, builder: Builder, value: Value = None, ref: Value = None) -> Kind:
        if ref is not None:
            return _on_the_stack(kind)(context, builder, value=value, ref=ref)
        return ArrayValue(kind, context, builder, value)

    return make
