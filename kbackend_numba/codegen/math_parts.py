"""What the functions of floats are made of: polynomials, powers of two, calls of the C library.

None of it assumes that there is no NaN or infinity, and no operation is reordered: a result is the
same on every machine that has fused multiply-adds, but for what the C library computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from llvmlite import ir

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Type, Value


class Form(NamedTuple):
    """How a dtype holds numbers.

    Attributes:
        bits: the integer of its width.
        mantissa: bits behind the leading one.
        bias: what is added to exponents.
        magic: added to a small number it rounds it to an integer, which its low bits then hold.
        log2e: 1 / log(2).
        ln2: log(2), with so few bits that small integers times it are exact.
        ln2_rest: what is missing.
    """

    bits: str
    mantissa: int
    bias: int
    magic: float
    log2e: float
    ln2: float
    ln2_rest: float


FORMS = {
    "float32": Form(
        "int32", 23, 127, 12582912.0, 1.44269504088896340736, 0.693145751953125,
        1.42860682030941723212e-06,
    ),
    "float64": Form(
        "int64", 52, 1023, 6755399441055744.0, 1.44269504088896340736, 6.93147180369123816490e-01,
        1.90821492927058770002e-10,
    ),
}  # fmt: skip


def form(x: Value) -> Form:
    """The form of a value's dtype."""
    return FORMS[x.type.dtype]


def polynomial(code: Code, x: Value, coefficients: Sequence[float]) -> Value:
    """Horner's rule; coefficients from the highest power down."""
    total = code.number(coefficients[0], x.type.dtype, x.type.lanes)
    for c in coefficients[1:]:
        total = code.fma(total, x, c)
    return total


def magnitude(code: Code, x: Value) -> Value:
    """|x|"""
    return code.call("fabs", x)


def with_sign(code: Code, x: Value, sign: Value) -> Value:
    """|x| with the sign of another value."""
    return code.call("copysign", x, sign)


def at_most(code: Code, x: Value, limit: float) -> Value:
    """The smaller of x and the limit; NaN stays."""
    return code.select(x > limit, limit, x)


def at_least(code: Code, x: Value, limit: float) -> Value:
    """The larger of x and the limit; NaN stays."""
    return code.select(x < limit, limit, x)


def nearest(code: Code, x: Value, factor: float) -> tuple[Value, Value]:
    """The integer next to x times a factor: as a float, and as the low bits of an integer."""
    magic = form(x).magic
    shifted = code.fma(x, factor, magic)
    return shifted - magic, shifted.bits_as(form(x).bits)


def power_of_two(code: Code, low: Value, dtype: str) -> Value:
    """2^n of an integer from `nearest`, if that is a normal number."""
    of = FORMS[dtype]
    return ((low << of.mantissa) + (of.bias << of.mantissa)).bits_as(dtype)


def times_power(code: Code, x: Value, n: Value, low: Value) -> Value:
    """x * 2^n, rounded once where that is subnormal; n as `nearest` returns it."""
    scaled = _scaled_by_instruction(code, x, n)
    if scaled is not None:
        return scaled
    of = form(x)
    # The bits that `nearest` has set above those of the integer.
    n = low - _magic_bits(x.type.dtype)
    half = n >> 1
    first = ((half + of.bias) << of.mantissa).bits_as(x.type.dtype)
    second = ((n - half + of.bias) << of.mantissa).bits_as(x.type.dtype)
    return x * first * second


def _magic_bits(dtype: str) -> int:
    """The bits of the magic number: 1.5 * 2^mantissa."""
    of = FORMS[dtype]
    return ((of.bias + of.mantissa) << of.mantissa) | (1 << (of.mantissa - 1))


def _scaled_by_instruction(code: Code, x: Value, n: Value) -> Value | None:
    """The same by AVX-512's own instruction, if that is there."""
    bits = x.type.bits * x.type.lanes
    if code.target.width != 64 or bits not in (256, 512):
        return None
    kind = "ps" if x.type.dtype == "float32" else "pd"
    which = ir.IntType(max(x.type.lanes, 8))
    ones = ir.Constant(which, (1 << x.type.lanes) - 1)
    arguments = [x.ir, n.ir, x.ir, ones]
    types = [x.type.ir, x.type.ir, x.type.ir, which]
    if bits == 512:
        # Rounding as the machine is set.
        arguments.append(ir.Constant(ir.IntType(32), 4))
        types.append(ir.IntType(32))
    name = f"llvm.x86.avx512.mask.scalef.{kind}.{bits}"
    function = code.declare(name, ir.FunctionType(x.type.ir, types))
    return Value(code, code.builder.call(function, arguments), x.type)


def lane_by_lane(code: Code, name: str, *values: Value) -> Value:
    """A function of the C library of that name, such as "erf" or "sinf"."""
    type = values[0].type
    function = code.declare(name, ir.FunctionType(type.scalar, [type.scalar] * len(values)))

    def one(arguments: list[Any]) -> Any:
        return code.builder.call(function, arguments)

    if not type.lanes:
        return Value(code, one([value.ir for value in values]), type)
    memory = [code.local(type.dtype, type.lanes) for _ in (*values, None)]
    for value, place in zip(values, memory, strict=False):
        code.store(value, place, 0)
    with code.loop(0, type.lanes) as i:
        given = [code.load(place, i, type.dtype).ir for place in memory[:-1]]
        code.store(Value(code, one(given), Type(type.dtype)), memory[-1], i)
    return code.load(memory[-1], 0, type.dtype, type.lanes)
