"""Kernels are handed a tuple of arrays as one address: of a table that says where its arrays lie.

Numba takes a NamedTuple apart at every call: seven words for a flat array, two more per dimension,
two hundred for the market's side of a state, written to the stack by whoever calls and read from it
by whoever is called, and a thousand steps of the compiler each time. Here a NamedTuple whose fields
are all arrays, or such tuples, is passed as the address of their words, one after the other:

        addresses of its arrays | items, shape, strides of each | tables of its tuples

A kernel reads from the table the words it needs, where it needs them: mostly addresses, which share
a few cache lines. The table does not change while a kernel runs, and the compiler is told so: a
store into an array makes it read nothing again.

`engine.processes.kernel_image` lays out the same words for a call that knows no Numba; a call from
Python has them on the stack of its way in, and a kernel that puts a tuple together on its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from numba import extending
from numba.core import cgutils, serialize, types
from numba.core.typeconv.castgraph import Conversion
from numba.core.typing.templates import AttributeTemplate

Context: TypeAlias = Any  # Numba's compiler context, and what it converts with
Kind: TypeAlias = Any  # a type of Numba's
Builder: TypeAlias = Any  # writes instructions
Value: TypeAlias = Any  # what an instruction answers

# WHY: the library's own types leave most of these undeclared.
_cgutils: Any = cgutils
_serialize: Any = serialize
_numba: Any = extending
_dispatch: Any = _numba.typeof_impl
ir: Any = _cgutils.ir  # the instructions, as Numba has them

WORD: Final = ir.IntType(64)
ITEMS, ITEM_BYTES, DATA, SHAPE, STRIDES = 2, 3, 4, 5, 6  # of Numba's structure of an array


class ArrayTuple(types.Type):
    """The type of a tuple of arrays: its fields, and where each is told of in the table, in words.

    Attributes:
        places: of a field, its type, the word of its address (0 for a tuple) and where the rest is.
        words: length of the table.
    """

    words: int

    def __init__(self, fields: Sequence[str], kinds: Sequence[Kind], name: str) -> None:
        """Lay the fields out: addresses, then what else is known of arrays, then tuples."""
        self.places: dict[str, tuple[Kind, int, int]] = {}
        arrays = [it for it in zip(fields, kinds, strict=True) if not isinstance(it[1], ArrayTuple)]
        tuples = [it for it in zip(fields, kinds, strict=True) if isinstance(it[1], ArrayTuple)]
        place = len(arrays)
        for word, (field, kind) in enumerate([*arrays, *tuples]):
            self.places[field] = (kind, word if word < len(arrays) else 0, place)
            place += kind.words if isinstance(kind, ArrayTuple) else 1 + 2 * kind.ndim
        self.words = place
        self.fields = tuple(fields)
        # Types are compared by name; spelt out, that of a state would fill a page.
        digest = hashlib.sha256("|".join(map(str, (*fields, *kinds))).encode()).hexdigest()
        super().__init__(f"{name}[{digest[:16]}]")

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickles this type: its bytes, made once."""
        return _pickled(self, super().__reduce__)

    def can_convert_from(self, _context: Context, other: Kind) -> Conversion | None:
        """Say that a tuple a kernel put together can be passed as its table."""
        return Conversion.safe if passed_as(other) == self else None


_bytes_of: dict[Kind, bytes] = {}  # bounded by the types of the kernels, as the next
_kind_of: dict[bytes, Kind] = {}


def _pickled(kind: Kind, parts: Callable[[], Any]) -> tuple[Any, ...]:
    # What is kept of a kernel spells out the types of its arguments twice: hundreds of fields, in a
    # fifth of a cold compile's time.
    if kind not in _bytes_of:
        _bytes_of[kind] = _serialize.dumps(parts())
    return _unpickled, (_bytes_of[kind],)


def _unpickled(parts: bytes) -> Kind:
    if parts not in _kind_of:
        make, arguments = _serialize.loads(parts)
        _kind_of[parts] = make(*arguments)
    return _kind_of[parts]


def passed_as(kind: Kind) -> Kind:
    """Return the type under which a kernel is handed what another kernel has under this one."""
    named = isinstance(kind, (types.NamedTuple, types.NamedUniTuple))
    if named and all(isinstance(it, types.Array) for it in kind.types):
        return ArrayTuple(kind.fields, kind.types, kind.instance_class.__name__)
    return kind


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

    record: Any = types.Record
    spelt_out = record.__reduce__
    record.__reduce__ = lambda kind: _pickled(kind, partial(spelt_out, kind))
    registered = _dispatch.register(tuple, type_of)
    registered.makes_array_tuples = True


class _Fields(AttributeTemplate):
    key = ArrayTuple

    def generic_resolve(self, kind: ArrayTuple, name: str) -> Kind:  # type: ignore[override]
        """Return the type of a field; None when there is no such field."""
        found, _, _ = kind.places.get(name, (None, 0, 0))
        return found


def _read_field(
    context: Context, builder: Builder, kind: ArrayTuple, table: Value, name: str
) -> Value:
    found, address, rest = kind.places[name]
    words = builder.bitcast(table, WORD.as_pointer())
    at = builder.gep(words, [ir.Constant(WORD, rest)])
    if isinstance(found, ArrayTuple):
        return builder.bitcast(at, _cgutils.voidptr_t)
    array = ir.Constant(context.get_value_type(found), None)
    lengths = ir.ArrayType(WORD, found.ndim)
    item_bytes = ir.Constant(WORD, context.get_abi_sizeof(context.get_data_type(found.dtype)))
    data = _read(builder, words, address, array.type.elements[DATA])
    shape = _read(builder, words, rest + 1, lengths)
    array = builder.insert_value(array, data, [DATA])
    array = builder.insert_value(array, _read(builder, words, rest, WORD), [ITEMS])
    array = builder.insert_value(array, item_bytes, [ITEM_BYTES])
    array = builder.insert_value(array, shape, [SHAPE])
    if found.layout != "C":
        strides = _read(builder, words, rest + 1 + found.ndim, lengths)
        return builder.insert_value(array, strides, [STRIDES])
    # Rows lie side by side: a field of row i is a constant away from that of the next.
    stride = item_bytes
    for dimension in reversed(range(found.ndim)):
        array = builder.insert_value(array, stride, [STRIDES, dimension])
        if dimension > 0:
            stride = builder.mul(stride, builder.extract_value(shape, [dimension]))
    return array


def _read(builder: Builder, words: Value, place: int, kind: Any) -> Value:  # noqa: ANN401
    at = builder.gep(words, [ir.Constant(WORD, place)])
    read = builder.load(builder.bitcast(at, kind.as_pointer()))
    read.set_metadata("tbaa", _never_written(builder.module))
    return read


def _never_written(module: Context) -> Value:
    # Of what LLVM knows of types only this is used: that memory read so is constant.
    root = module.add_metadata(["tables of arrays"])
    word = module.add_metadata(["word", root, ir.Constant(WORD, 0)])
    return module.add_metadata([word, word, ir.Constant(WORD, 0), ir.Constant(WORD, 1)])


def _from_python(kind: ArrayTuple, value: Value, context: Context) -> Any:  # noqa: ANN401
    builder = context.builder
    table = _table(builder, kind)
    codes = _fill(kind, value, context, builder.bitcast(table, WORD.as_pointer()))
    failed = builder.icmp_signed("!=", codes, ir.Constant(codes.type, 0))
    with builder.if_then(failed, likely=False):
        context.pyapi.err_set_string("PyExc_TypeError", "a field of the tuple is no array")
    return _numba.NativeValue(_hidden(builder, table), is_error=failed)


def _from_kernel(
    _context: Context, builder: Builder, kind: Kind, to: ArrayTuple, value: Value
) -> Value:
    table = _table(builder, to)
    words = builder.bitcast(table, WORD.as_pointer())
    for k, name in enumerate(kind.fields):
        _, address, rest = to.places[name]
        _write(builder, words, address, rest, builder.extract_value(value, k))
    return _hidden(builder, table)


def _table(builder: Builder, kind: ArrayTuple) -> Value:
    return _cgutils.alloca_once(builder, ir.ArrayType(WORD, kind.words))


def _hidden(builder: Builder, table: Value) -> Value:
    # WHY: the optimiser must not see that the table it may take for constant was just written.
    hide = ir.FunctionType(_cgutils.voidptr_t, [_cgutils.voidptr_t])
    at = builder.bitcast(table, _cgutils.voidptr_t)
    return builder.asm(hide, "", "=r,0,~{memory}", [at], side_effect=True)


def _fill(kind: ArrayTuple, value: Value, context: Context, words: Value) -> Value:
    """Write what is known of the arrays of a tuple; return 0, or what went wrong."""
    builder, code = context.builder, ir.IntType(32)
    codes = ir.Constant(code, 0)
    for k, name in enumerate(kind.fields):
        found, address, rest = kind.places[name]
        item = context.pyapi.tuple_getitem(value, k)
        at = builder.gep(words, [ir.Constant(WORD, rest)])
        if isinstance(found, ArrayTuple):
            answer = _fill(found, item, context, at)
        else:
            whole = _cgutils.alloca_once(builder, context.context.get_value_type(found))
            answer = _adapt(builder, item, whole)
            _write(builder, words, address, rest, builder.load(whole))
        codes = builder.or_(codes, answer)
    return codes


def _write(builder: Builder, words: Value, address: int, rest: int, array: Value) -> None:
    """Write what is known of one array into the table."""
    data = builder.ptrtoint(builder.extract_value(array, [DATA]), WORD)
    builder.store(data, builder.gep(words, [ir.Constant(WORD, address)]))
    elements = array.type.elements
    known = ir.Constant(ir.LiteralStructType([WORD, elements[SHAPE], elements[STRIDES]]), None)
    for place, member in enumerate((ITEMS, SHAPE, STRIDES)):
        known = builder.insert_value(known, builder.extract_value(array, [member]), [place])
    at = builder.gep(words, [ir.Constant(WORD, rest)])
    builder.store(known, builder.bitcast(at, known.type.as_pointer()))


def _adapt(builder: Builder, array: Value, whole: Value) -> Value:
    """Have Numba write what it knows of a numpy array; return 0, or what went wrong."""
    kind = ir.FunctionType(ir.IntType(32), [_cgutils.voidptr_t, _cgutils.voidptr_t])
    adapt = _cgutils.get_or_insert_function(builder.module, kind, "numba_adapt_ndarray")
    return builder.call(adapt, [builder.bitcast(it, _cgutils.voidptr_t) for it in (array, whole)])


_numba.register_model(ArrayTuple)(_numba.models.OpaqueModel)
_numba.infer_getattr(_Fields)
_numba.lower_getattr_generic(ArrayTuple)(_read_field)
_numba.unbox(ArrayTuple)(_from_python)
_numba.lower_cast(types.BaseTuple, ArrayTuple)(_from_kernel)
