"""Kernels are handed a tuple of arrays as one address: of a table that says where its arrays lie.

Numba takes a NamedTuple apart at every call: seven words for a flat array, two more per dimension,
two hundred for the market's side of a state, written to the stack by whoever calls and read from it
by whoever is called, and a thousand steps of the compiler each time. Here a NamedTuple whose fields
are all arrays, or such tuples, is passed as the address of their words, one after the other:

        owner (none), parent | items | bytes of an item | address | shape ... | strides ...

A kernel reads from the table the words it needs, where it needs them. The table does not change
while a kernel runs, and the compiler is told so: a store into an array makes it read nothing again.

`engine.processes.kernel_image` lays out the same words for a call that knows no Numba; a call from
Python has them on the stack of its way in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from numba import extending
from numba.core import cgutils, types
from numba.core.typing.templates import AttributeTemplate

Context: TypeAlias = Any  # Numba's compiler context, and what it converts with
Kind: TypeAlias = Any  # a type of Numba's
Builder: TypeAlias = Any  # writes instructions
Value: TypeAlias = Any  # what an instruction answers

# WHY: the library's own types leave most of these undeclared.
_cgutils: Any = cgutils
_numba: Any = extending
_dispatch: Any = _numba.typeof_impl
ir: Any = _cgutils.ir  # the instructions, as Numba has them

WORD: Final = ir.IntType(64)
HEAD_WORDS: Final = 5  # of an array, before its shape
SHAPE_MEMBER, STRIDES_MEMBER = 5, 6  # of Numba's structure of an array


class ArrayTuple(types.Type):
    """The type of a tuple of arrays: its fields, and where each begins in the table, in words."""

    def __init__(self, fields: Sequence[str], kinds: Sequence[Kind], name: str) -> None:
        """Lay the fields out one after the other."""
        self.fields = tuple(fields)
        self.kinds = tuple(kinds)
        self.places: dict[str, tuple[Kind, int]] = {}
        place = 0
        for field, kind in zip(fields, kinds, strict=True):
            self.places[field] = (kind, place)
            place += words_of(kind)
        self.words = place
        # Types are compared by name; spelt out, that of a state would fill a page.
        digest = hashlib.sha256("|".join(map(str, (*fields, *kinds))).encode()).hexdigest()
        super().__init__(f"{name}[{digest[:16]}]")


def words_of(kind: Kind) -> int:
    """Return how many words of a table an array, or a tuple of arrays, takes."""
    return int(kind.words) if isinstance(kind, ArrayTuple) else HEAD_WORDS + 2 * int(kind.ndim)


def install() -> None:
    """From now on Numba passes every tuple of arrays in this way."""
    plain = _dispatch.dispatch(tuple)
    if getattr(plain, "makes_array_tuples", False):
        return

    def type_of(value: tuple[object, ...], context: object) -> Kind:
        fields = getattr(value, "_fields", ())
        kinds = [_dispatch(field, context) for field in value] if fields else []
        if kinds and all(isinstance(kind, (types.Array, ArrayTuple)) for kind in kinds):
            return ArrayTuple(fields, kinds, type(value).__name__)
        return plain(value, context)

    registered = _dispatch.register(tuple, type_of)
    registered.makes_array_tuples = True


class _Fields(AttributeTemplate):
    key = ArrayTuple

    def generic_resolve(self, kind: ArrayTuple, name: str) -> Kind:  # type: ignore[override]
        """Return the type of a field; None when there is no such field."""
        found, _ = kind.places.get(name, (None, 0))
        return found


def _read_field(
    context: Context, builder: Builder, kind: ArrayTuple, table: Value, name: str
) -> Value:
    found, place = kind.places[name]
    words = builder.bitcast(table, WORD.as_pointer())
    at = builder.gep(words, [ir.Constant(WORD, place)])
    if isinstance(found, ArrayTuple):
        return builder.bitcast(at, _cgutils.voidptr_t)
    array = context.get_value_type(found)
    read = builder.load(builder.bitcast(at, array.as_pointer()))
    read.set_metadata("tbaa", _never_written(builder.module))
    return _with_known_strides(context, builder, found, read) if found.layout == "C" else read


def _with_known_strides(context: Context, builder: Builder, kind: Kind, read: Value) -> Value:
    # Rows lie side by side: a field of row i is a constant away from that of the next.
    stride = ir.Constant(WORD, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    for dimension in reversed(range(kind.ndim)):
        read = builder.insert_value(read, stride, [STRIDES_MEMBER, dimension])
        if dimension > 0:
            length = builder.extract_value(read, [SHAPE_MEMBER, dimension])
            stride = builder.mul(stride, length)
    return read


def _never_written(module: Context) -> Value:
    # Of what LLVM knows of types only this is used: that memory read so is constant.
    root = module.add_metadata(["tables of arrays"])
    word = module.add_metadata(["word", root, ir.Constant(WORD, 0)])
    return module.add_metadata([word, word, ir.Constant(WORD, 0), ir.Constant(WORD, 1)])


def _from_python(kind: ArrayTuple, value: Value, context: Context) -> Any:  # noqa: ANN401
    builder = context.builder
    table = _cgutils.alloca_once(builder, ir.ArrayType(WORD, kind.words))
    # WHY: the optimiser must not see that the table it may take for constant was just written.
    hide = ir.FunctionType(_cgutils.voidptr_t, [_cgutils.voidptr_t])
    at = builder.bitcast(table, _cgutils.voidptr_t)
    codes = _fill(kind, value, context, builder.bitcast(table, WORD.as_pointer()))
    failed = builder.icmp_signed("!=", codes, ir.Constant(codes.type, 0))
    with builder.if_then(failed, likely=False):
        context.pyapi.err_set_string("PyExc_TypeError", "a field of the tuple is no array")
    hidden = builder.asm(hide, "", "=r,0,~{memory}", [at], side_effect=True)
    return _numba.NativeValue(hidden, is_error=failed)


def _fill(kind: ArrayTuple, value: Value, context: Context, words: Value) -> Value:
    """Write where the arrays of a tuple lie, borrowed from it; return 0, or what went wrong."""
    builder, code = context.builder, ir.IntType(32)
    adapt = _cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(code, [_cgutils.voidptr_t, _cgutils.voidptr_t]),
        "numba_adapt_ndarray",
    )
    codes = ir.Constant(code, 0)
    for k, (found, place) in enumerate(kind.places.values()):
        item = context.pyapi.tuple_getitem(value, k)
        at = builder.gep(words, [ir.Constant(WORD, place)])
        if isinstance(found, ArrayTuple):
            answer = _fill(found, item, context, at)
        else:
            pointer = builder.bitcast(at, _cgutils.voidptr_t)
            answer = builder.call(adapt, [builder.bitcast(item, _cgutils.voidptr_t), pointer])
        codes = builder.or_(codes, answer)
    return codes


_numba.register_model(ArrayTuple)(_numba.models.OpaqueModel)
_numba.infer_getattr(_Fields)
_numba.lower_getattr_generic(ArrayTuple)(_read_field)
_numba.unbox(ArrayTuple)(_from_python)
