"""Values in code that is being written: numbers and vectors of numbers, with Python's operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from llvmlite import ir

if TYPE_CHECKING:
    from kbackend_numba.codegen.code import Code

_FLOATS = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
_WIDTHS = {"bool": 1, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32,
           "int64": 64, "uint64": 64}  # fmt: skip
DTYPES = frozenset(_FLOATS) | frozenset(_WIDTHS)
# Floats that are only loaded, stored and cast: a value of such a type is its bits. There is no
# arithmetic on them; what computes with them computes in float32.
HALVES = frozenset(("float16", "bfloat16"))


class Type(NamedTuple):
    """The type of a value.

    Attributes:
        dtype: name of the dtype. A bool is one bit in a value and a byte in memory.
        lanes: numbers in a vector, or 0 for a single number.
    """

    dtype: str
    lanes: int = 0

    @property
    def floating(self) -> bool:
        """Whether it is a floating point type."""
        return self.dtype in _FLOATS

    @property
    def signed(self) -> bool:
        """Whether it is a signed integer."""
        return self.dtype.startswith("int")

    @property
    def bits(self) -> int:
        """Bits of a number in memory."""
        if self.dtype == "bool":
            return 8
        if self.dtype in HALVES:
            return 16
        return {"float32": 32, "float64": 64}.get(self.dtype) or _WIDTHS[self.dtype]

    @property
    def scalar(self) -> Any:
        """LLVM's type of a single number."""
        if self.dtype in HALVES:
            return ir.IntType(16)
        return _FLOATS.get(self.dtype) or ir.IntType(_WIDTHS[self.dtype])

    @property
    def ir(self) -> Any:
        """LLVM's type."""
        return ir.VectorType(self.scalar, self.lanes) if self.lanes else self.scalar

    @property
    def memory(self) -> Any:
        """LLVM's type of what is loaded and stored."""
        scalar = ir.IntType(8) if self.dtype == "bool" else self.scalar
        return ir.VectorType(scalar, self.lanes) if self.lanes else scalar

    def of(self, dtype: str) -> Type:
        """As many numbers of another dtype."""
        return Type(dtype, self.lanes)


class Address:
    """Where an array begins.

    Args:
        value: the pointer, as LLVM's.
    """

    __slots__ = ("ir",)

    def __init__(self, value: Any) -> None:
        self.ir = value


class Value:
    """A number or a vector of numbers that the code computes.

    Operators take another value of the same type, or a Python number. A single number beside a
    vector is spread over its lanes. Integers divide as C divides them: towards zero.
    """

    __slots__ = ("code", "ir", "type")

    def __init__(self, code: Code, value: Any, type: Type) -> None:
        self.code, self.ir, self.type = code, value, type

    # ----- arithmetic -----

    def _both(self, other: Any) -> tuple[Value, Value]:
        if not isinstance(other, Value):
            other = self.code.number(other, self.type.dtype)
        a, b = self, other
        if a.type.lanes and not b.type.lanes:
            b = self.code.splat(b, a.type.lanes)
        elif b.type.lanes and not a.type.lanes:
            a = self.code.splat(a, b.type.lanes)
        if a.type != b.type:
            raise TypeError(f"Values of two types: {a.type} and {b.type}.")
        return a, b

    def _arithmetic(self, other: Any, integer: str, floating: str, swap: bool = False) -> Value:
        a, b = self._both(other)
        if swap:
            a, b = b, a
        name = floating if a.type.floating else integer
        return Value(self.code, getattr(self.code.builder, name)(a.ir, b.ir), a.type)

    def __add__(self, other: Any) -> Value:
        return self._arithmetic(other, "add", "fadd")

    __radd__ = __add__

    def __sub__(self, other: Any) -> Value:
        return self._arithmetic(other, "sub", "fsub")

    def __rsub__(self, other: Any) -> Value:
        return self._arithmetic(other, "sub", "fsub", swap=True)

    def __mul__(self, other: Any) -> Value:
        return self._arithmetic(other, "mul", "fmul")

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Value:
        return self._arithmetic(other, "", "fdiv")

    def __rtruediv__(self, other: Any) -> Value:
        return self._arithmetic(other, "", "fdiv", swap=True)

    def __floordiv__(self, other: Any) -> Value:
        return self._arithmetic(other, "sdiv" if self.type.signed else "udiv", "")

    def __mod__(self, other: Any) -> Value:
        return self._arithmetic(other, "srem" if self.type.signed else "urem", "frem")

    def __neg__(self) -> Value:
        name = "fneg" if self.type.floating else "neg"
        return Value(self.code, getattr(self.code.builder, name)(self.ir), self.type)

    # ----- bits -----

    def __and__(self, other: Any) -> Value:
        return self._arithmetic(other, "and_", "")

    def __or__(self, other: Any) -> Value:
        return self._arithmetic(other, "or_", "")

    def __xor__(self, other: Any) -> Value:
        return self._arithmetic(other, "xor", "")

    def __invert__(self) -> Value:
        return Value(self.code, self.code.builder.not_(self.ir), self.type)

    def __lshift__(self, other: Any) -> Value:
        return self._arithmetic(other, "shl", "")

    def __rshift__(self, other: Any) -> Value:
        return self._arithmetic(other, "ashr" if self.type.signed else "lshr", "")

    # ----- comparisons; with NaN only `!=` holds -----

    def _compare(self, sign: str, other: Any) -> Value:
        a, b = self._both(other)
        build = self.code.builder
        if a.type.floating:
            compare = build.fcmp_unordered if sign == "!=" else build.fcmp_ordered
        else:
            compare = build.icmp_signed if a.type.signed else build.icmp_unsigned
        return Value(self.code, compare(sign, a.ir, b.ir), a.type.of("bool"))

    def __lt__(self, other: Any) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Value:
        return self._compare(">=", other)

    def equals(self, other: Any) -> Value:
        """Where both are the same number."""
        return self._compare("==", other)

    def differs(self, other: Any) -> Value:
        """Where they are not the same number; NaN differs from everything."""
        return self._compare("!=", other)

    # ----- other types -----

    def cast(self, dtype: str) -> Value:
        """The nearest numbers of another dtype, as C casts them; `!= 0` for bools."""
        if dtype == self.type.dtype:
            return self
        if self.type.dtype in HALVES:
            return self._from_half().cast(dtype)
        if dtype in HALVES:
            return self.cast("float32")._to_half(dtype)
        if dtype == "bool":
            return self.differs(0)
        wanted, own = self.type.of(dtype), self.type
        build = self.code.builder
        if own.floating and wanted.floating:
            name = "fpext" if wanted.bits > own.bits else "fptrunc"
        elif own.floating:
            name = "fptosi" if wanted.signed else "fptoui"
        elif wanted.floating:
            name = "sitofp" if own.signed else "uitofp"
        elif own.dtype == "bool":
            name = "zext"
        elif wanted.bits < own.bits:
            name = "trunc"
        elif wanted.bits == own.bits:
            return Value(self.code, self.ir, wanted)
        else:
            name = "sext" if own.signed else "zext"
        return Value(self.code, getattr(build, name)(self.ir, wanted.ir), wanted)

    def _from_half(self) -> Value:
        """Half precision as float32, which has all of its numbers."""
        if self.type.dtype == "bfloat16":
            bits = Value(self.code, self.ir, self.type.of("uint16")).cast("uint32")
            return (bits << 16).bits_as("float32")
        build, wanted = self.code.builder, self.type.of("float32")
        half = build.bitcast(self.ir, _half(self.type))
        return Value(self.code, build.fpext(half, wanted.ir), wanted)

    def _to_half(self, dtype: str) -> Value:
        """Float32 as half precision, rounded to the nearest number, and to even between two."""
        build, wanted = self.code.builder, self.type.of(dtype)
        if dtype == "float16":
            half = build.fptrunc(self.ir, _half(wanted))
            return Value(self.code, build.bitcast(half, wanted.ir), wanted)
        bits = self.bits_as("uint32")
        high = bits >> 16
        rounded = (bits + 0x7FFF + (high & 1)) >> 16
        # Of NaN the low bits may be all that is set.
        found = self.code.select(self.differs(self), high | 0x40, rounded).cast("uint16")
        return Value(self.code, found.ir, wanted)

    def bits_as(self, dtype: str) -> Value:
        """The same bits read as a dtype of the same width."""
        wanted = self.type.of(dtype)
        return Value(self.code, self.code.builder.bitcast(self.ir, wanted.ir), wanted)

    def lane(self, number: int) -> Value:
        """One number of a vector."""
        index = ir.Constant(ir.IntType(32), number)
        return Value(
            self.code, self.code.builder.extract_element(self.ir, index), Type(self.type.dtype)
        )


def _half(type: Type) -> Any:
    """LLVM's type of float16."""
    return ir.VectorType(ir.HalfType(), type.lanes) if type.lanes else ir.HalfType()
