"""What numba puts in the place of `kernels.lanes`: LLVM's vectors of eight float64.

LLVM cuts them to what the machine has: one register with AVX-512, two with AVX2, four with NEON.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.datamodel import PrimitiveModel, register_default
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic

from nautilus_metal.kernels import lanes
from nautilus_metal.kernels.lanes import LANES

_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_ORDER = ir.VectorType(ir.IntType(32), LANES)
_UNKNOWN = ir.Constant(_VECTOR, ir.Undefined)
_LINE = 64  # bytes of a cache line
_NUMBER = 8  # bytes of a float64

# Of two vectors: the even or odd numbers, pairs and halves of both. Three such steps turn eight by eight.
_STEPS = (
    (1, [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15]),
    (2, [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]),
    (4, [0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]),
)

_ARITHMETIC = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}


class _LanesType(types.Type):
    """Eight float64, as numba knows them."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


_lanes = _LanesType()


@register_default(_LanesType)
class _LanesModel(PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _kind(given: Any) -> Any:
    """The type that an operand is taken as: lanes, or any number as float64."""
    return given if isinstance(given, _LanesType) else types.float64


def _spread(builder: Any, value: Any) -> Any:
    """A number in every lane; lanes as they are."""
    if value.type == _VECTOR:
        return value
    first = builder.insert_element(_UNKNOWN, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, _UNKNOWN, ir.Constant(_ORDER, [0] * LANES))


def _define_operator(operation: Any, instruction: str) -> None:
    """Let an operator take lanes and numbers."""

    @infer_global(operation)
    class _Operator(AbstractTemplate):
        def generic(self, args: Any, _: Any) -> Any:
            numbers = (_LanesType, types.Float, types.Integer)
            if any(isinstance(each, _LanesType) for each in args) and all(isinstance(each, numbers) for each in args):
                return signature(_lanes, *map(_kind, args))
            return None

    def lower(_: Any, builder: Any, __: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*(_spread(builder, each) for each in args))

    for operands in ((_lanes, _lanes), (_lanes, types.float64), (types.float64, _lanes)):
        lower_builtin(operation, *operands)(lower)


for _operation, _instruction in _ARITHMETIC.items():
    _define_operator(_operation, _instruction)


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Where lanes of an array begin."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())


@intrinsic
def _load(_: Any, x: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_place(context, builder, sig.args[0], *args), align=_NUMBER)

    return _lanes(x, types.intp), generate


def _storing(align: int, streaming: bool) -> Any:
    @intrinsic
    def put(_: Any, x: Any, at: Any, values: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            done = builder.store(args[2], _place(context, builder, sig.args[0], *args[:2]), align=align)
            if streaming:
                done.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
            return context.get_dummy_value()

        return types.none(x, types.intp, _lanes), generate

    return put


@intrinsic
def _streamed(_: Any) -> Any:
    def generate(context: Any, builder: Any, __: Any, ___: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def _turned(_: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, args: Any) -> Any:
        rows = list(args)
        for distance, evens, odds in _STEPS:
            for i in range(LANES):
                if not i & distance:
                    pair = rows[i], rows[i + distance]
                    rows[i] = builder.shuffle_vector(*pair, ir.Constant(_ORDER, evens))
                    rows[i + distance] = builder.shuffle_vector(*pair, ir.Constant(_ORDER, odds))
        out = ir.Constant(ir.ArrayType(_VECTOR, LANES), ir.Undefined)
        for i, row in enumerate(rows):
            out = builder.insert_value(out, row, i)
        return out

    return types.UniTuple(_lanes, LANES)(*[_lanes] * LANES), generate


def _choosing(choose: Callable[[Any, Any, Any, Any], Any]) -> Any:
    """A function of lanes or a number, and of a number: `choose` is given the builder, both, and zero."""

    @intrinsic
    def chosen(_: Any, x: Any, y: Any) -> Any:
        def generate(_: Any, builder: Any, __: Any, args: Any) -> Any:
            x, y = args
            if x.type == _VECTOR:
                return choose(builder, x, _spread(builder, y), ir.Constant(_VECTOR, [0.0] * LANES))
            return choose(builder, x, y, ir.Constant(ir.DoubleType(), 0.0))

        return _kind(x)(_kind(x), types.float64), generate

    return chosen


def _named(builder: Any, name: str, operands: list[Any]) -> Any:
    """Call an intrinsic of LLVM's, of lanes or of a number."""
    kind = operands[0].type
    whole = f"llvm.{name}.{f'v{LANES}f64' if kind == _VECTOR else 'f64'}"
    function = get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * len(operands)), whole)
    return builder.call(function, operands)


@intrinsic
def _root(_: Any, x: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, args: Any) -> Any:
        return _named(builder, "sqrt", args)

    return _kind(x)(_kind(x)), generate


@intrinsic
def _times_plus(_: Any, rate: Any, x: Any, y: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, args: Any) -> Any:
        rate, x, y = args
        return _named(builder, "fmuladd", [_spread(builder, rate) if x.type == _VECTOR else rate, x, y])

    return _kind(x)(types.float64, _kind(x), _kind(x)), generate


INSTRUCTIONS: dict[Callable[..., Any], Any] = {
    lanes.load: _load,
    lanes.store: _storing(_NUMBER, streaming=False),
    lanes.stream: _storing(_LINE, streaming=True),
    lanes.streamed: _streamed,
    lanes.turned: _turned,
    lanes.larger: _choosing(lambda make, x, y, _: make.select(make.fcmp_ordered("<", x, y), y, x)),
    lanes.positive_or: _choosing(lambda make, x, y, zero: make.select(make.fcmp_ordered(">", x, zero), x, y)),
    lanes.nonzero_or: _choosing(lambda make, x, y, zero: make.select(make.fcmp_ordered("==", x, zero), y, x)),
    lanes.root: _root,
    lanes.times_plus: _times_plus,
}
"""What stands for each function of `kernels.lanes` in a compiled loop."""
