"""Writing one compiled function: loops, choices, memory.

All functions have one form: `name(arrays, sizes, begin, end, worker)`. `arrays` are the addresses
of arrays, `sizes` are integers that were not known when the code was written (dimensions, strides).
The work is made of items, and the function does those from `begin` up to `end`. What an item's
result is must not depend on which other items are done along with it, or by which thread: so the
number of threads never changes a result.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from kbackend_numba.codegen.target import Target, host
from kbackend_numba.codegen.value import Address, Type, Value

_POINTER = ir.PointerType()
_I64 = ir.IntType(64)
_I32 = ir.IntType(32)
_VOID = ir.VoidType()
SIGNATURE = ir.FunctionType(_VOID, [_POINTER, _POINTER, _I64, _I64, _I64])


class Var:
    """A value that changes while the code runs. It lives in registers."""

    __slots__ = ("_code", "_place", "type")

    def __init__(self, code: Code, place: Any, type: Type) -> None:
        self._code, self._place, self.type = code, place, type

    @property
    def value(self) -> Value:
        """What it is now."""
        return Value(self._code, self._code.builder.load(self._place, typ=self.type.ir), self.type)

    def set(self, value: Value | float) -> None:
        """Makes it `value`."""
        value = self._code.number(value, self.type.dtype) if not isinstance(value, Value) else value
        if self.type.lanes and not value.type.lanes:
            value = self._code.splat(value, self.type.lanes)
        if value.type != self.type:
            raise TypeError(f"A variable of {self.type} was set to a value of {value.type}.")
        self._code.builder.store(value.ir, self._place)


class Code:
    """A function that is being written.

    Args:
        name: of the function; unique among all compiled functions.
        target: what it is compiled for.

    Attributes:
        begin: first of the items that the call does.
        end: behind the last of them.
        worker: number of the thread that does them, to choose scratch memory.
    """

    def __init__(self, name: str, target: Target | None = None) -> None:
        self.target = target or host()
        self.module = ir.Module(name)
        self.module.triple = self.target.triple
        self._open(ir.Function(self.module, SIGNATURE, name))

    def _open(self, function: ir.Function) -> None:
        """Goes on in a function whose first arguments are those of all functions."""
        self.function = function
        for argument in function.args[:2]:
            argument.add_attribute("noalias")
        self._entry = function.append_basic_block("entry")
        self._body = function.append_basic_block("body")
        self.builder = ir.IRBuilder(self._body)
        self._arrays, self._sizes = function.args[:2]
        self.begin, self.end, self.worker = [
            Value(self, argument, Type("int64")) for argument in function.args[2:5]
        ]
        # Loaded once, at the beginning.
        self._loaded: dict[tuple[str, int], Any] = {}

    def _close(self) -> None:
        """Completes the function."""
        self.builder.ret_void()
        ir.IRBuilder(self._entry).branch(self._body)

    def finish(self) -> ir.Module:
        """The module, with the function complete."""
        self._close()
        return self.module

    @contextmanager
    def apart(self, *values: Value) -> Iterator[list[Value]]:
        """Makes of what is inside a function that is called here, and has all registers to itself.

        Args:
            values: what it needs besides arrays and sizes. It gets them anew; nothing else from
                outside can be used there.
        """
        kind = ir.FunctionType(_VOID, [*SIGNATURE.args, *[value.type.ir for value in values]])
        name = f"{self.function.name}_{len(self.module.functions)}"
        function = ir.Function(self.module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        outside = dict(self.__dict__)
        self._open(function)
        yield [
            Value(self, argument, value.type)
            for argument, value in zip(function.args[5:], values, strict=True)
        ]
        self._close()
        self.__dict__.update(outside)
        self.builder.call(function, [*self.function.args[:5], *[value.ir for value in values]])

    @property
    def lanes(self) -> int:
        """float32 numbers in a vector."""
        return self.target.lanes()

    # ----- numbers -----

    def number(self, value: Any, dtype: str = "int64", lanes: int = 0) -> Value:
        """A constant."""
        type = Type(dtype, lanes)
        if type.floating:
            constant = ir.Constant(type.scalar, _exact(float(value), dtype))
        else:
            constant = ir.Constant(type.scalar, int(value))
        if lanes:
            constant = ir.Constant(type.ir, [constant] * lanes)
        return Value(self, constant, type)

    def vector(self, values: Sequence[Any], dtype: str) -> Value:
        """A constant vector."""
        type = Type(dtype, len(values))
        items = [self.number(value, dtype).ir for value in values]
        return Value(self, ir.Constant(type.ir, items), type)

    def splat(self, value: Value, lanes: int) -> Value:
        """A number in every lane of a vector. A vector is handed through."""
        if value.type.lanes or not lanes:
            return value
        type = Type(value.type.dtype, lanes)
        empty = ir.Constant(type.ir, ir.Undefined)
        one = self.builder.insert_element(empty, value.ir, ir.Constant(_I32, 0))
        zeros = ir.Constant(ir.VectorType(_I32, lanes), None)
        return Value(self, self.builder.shuffle_vector(one, empty, zeros), type)

    def shuffle(self, a: Value, b: Value, places: Sequence[int]) -> Value:
        """The vector of the given lanes; those of `b` count on from those of `a`."""
        type = Type(a.type.dtype, len(places))
        mask = ir.Constant(ir.VectorType(_I32, len(places)), list(places))
        return Value(self, self.builder.shuffle_vector(a.ir, b.ir, mask), type)

    def var(self, value: Value) -> Var:
        """A variable that begins as `value`."""
        place = ir.IRBuilder(self._entry).alloca(value.type.ir)
        var = Var(self, place, value.type)
        var.set(value)
        return var

    def select(self, condition: Value, a: Any, b: Any) -> Value:
        """`a` where the condition holds, else `b`. One of the two may be a Python number."""
        if isinstance(a, Value):
            a, b = a._both(b)
        else:
            b, a = b._both(a)
        condition = self.splat(condition, a.type.lanes)
        if condition.type.lanes and not a.type.lanes:
            a, b = (self.splat(x, condition.type.lanes) for x in (a, b))
        return Value(self, self.builder.select(condition.ir, a.ir, b.ir), a.type)

    def call(self, intrinsic: str, *args: Value) -> Value:
        """An LLVM intrinsic whose arguments and result have one type, as "fma" or "sqrt"."""
        a = args[0]
        widest = next((x for x in args if x.type.lanes), a)
        values = [widest._both(x)[1] for x in args]
        type = widest.type
        name = f"llvm.{intrinsic}.{_suffix(type)}"
        function = self.declare(name, ir.FunctionType(type.ir, [type.ir] * len(args)))
        return Value(self, self.builder.call(function, [x.ir for x in values]), type)

    def fma(self, a: Value, b: Any, c: Any) -> Value:
        """a * b + c, rounded once."""
        return self.call("fma", a, a._both(b)[1], a._both(c)[1])

    def minimum(self, a: Value, b: Any) -> Value:
        """The smaller one; NaN if either is."""
        a, b = a._both(b)
        if not a.type.floating:
            return self.select(a < b, a, b)
        smaller = self.select(a < b, a, b)
        return self.select(a.differs(a), a, smaller)

    def maximum(self, a: Value, b: Any) -> Value:
        """The larger one; NaN if either is."""
        a, b = a._both(b)
        larger = self.select(a > b, a, b)
        return self.select(a.differs(a), a, larger) if a.type.floating else larger

    def any(self, condition: Value) -> Value:
        """Whether a condition holds in any lane."""
        lanes = condition.type.lanes
        if not lanes:
            return condition
        bits = self.builder.bitcast(condition.ir, ir.IntType(lanes))
        some = self.builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(lanes), 0))
        return Value(self, some, Type("bool"))

    def sum(self, value: Value) -> Value:
        """The sum of a vector's lanes, by halves."""
        return self._fold(value, lambda a, b: a + b)

    def largest(self, value: Value) -> Value:
        """The largest lane; NaN if one is."""
        return self._fold(value, self.maximum)

    def smallest(self, value: Value) -> Value:
        """The smallest lane; NaN if one is."""
        return self._fold(value, self.minimum)

    def _fold(self, value: Value, combine: Any) -> Value:
        lanes = value.type.lanes
        while lanes > 1:
            lanes //= 2
            low = self.shuffle(value, value, range(lanes))
            high = self.shuffle(value, value, range(lanes, 2 * lanes))
            value = combine(low, high)
        return value.lane(0)

    # ----- memory -----

    def array(self, position: int) -> Address:
        """The address of an array: outputs come first, then inputs, then scratch."""
        return Address(self._argument("array", position, self._arrays, _POINTER))

    def size(self, position: int | Value) -> Value:
        """One of the integers that the call brings. Tables among them are read by a `Value`."""
        if isinstance(position, Value):
            return self.load(Address(self._sizes), position, "int64")
        return Value(self, self._argument("size", position, self._sizes, _I64), Type("int64"))

    def _argument(self, kind: str, position: int, table: Any, type: Any) -> Any:
        found = self._loaded.get((kind, position))
        if found is None:
            build = ir.IRBuilder(self._entry)
            index = ir.Constant(_I64, position)
            found = build.load(build.gep(table, [index], source_etype=type), typ=type)
            self._loaded[kind, position] = found
        return found

    def local(self, dtype: str, count: int) -> Address:
        """Memory of `count` elements on the stack, contents undefined: the address."""
        type = Type(dtype)
        place = ir.IRBuilder(self._entry).alloca(type.memory, ir.Constant(_I64, count))
        place.align = 64
        # llvmlite would ask for single elements; memory takes vectors, too.
        place.type = _POINTER
        return Address(place)

    def offset(self, address: Address, index: Value | int, dtype: str) -> Address:
        """The address of an array's element number `index`."""
        index = self.number(index) if isinstance(index, int) else index
        etype = Type(dtype).memory
        moved = self.builder.gep(address.ir, [index.ir], source_etype=etype)
        return Address(moved)

    def choose(self, condition: Value, a: Address, b: Address) -> Address:
        """Address `a` if the condition holds, else `b`."""
        return Address(self.builder.select(condition.ir, a.ir, b.ir))

    def same(self, a: Address, b: Address) -> Value:
        """Whether two arrays begin at one place."""
        places = [self.builder.ptrtoint(address.ir, _I64) for address in (a, b)]
        return Value(self, self.builder.icmp_unsigned("==", *places), Type("bool"))

    def load(
        self,
        address: Address,
        index: Value | int,
        dtype: str,
        lanes: int = 0,
        mask: Value | None = None,
    ) -> Value:
        """The element number `index`, or that many from there.

        Args:
            address: of the array.
            index: number of an element.
            dtype: of the array.
            lanes: how many, or 0 for one single number.
            mask: which lanes to read; the others become 0.
        """
        type = Type(dtype, lanes)
        place = self.offset(address, index, dtype).ir
        if mask is None:
            found = self.builder.load(place, typ=type.memory, align=type.bits // 8)
        else:
            found = self._masked_load(type, place, mask)
        if dtype == "bool":
            found = self.builder.icmp_unsigned("!=", found, ir.Constant(type.memory, None))
        return Value(self, found, type)

    def store(
        self, value: Value, address: Address, index: Value | int, mask: Value | None = None
    ) -> None:
        """Writes a number or a vector to the element number `index` and on."""
        type = value.type
        place = self.offset(address, index, type.dtype).ir
        data = self.builder.zext(value.ir, type.memory) if type.dtype == "bool" else value.ir
        if mask is None:
            self.builder.store(data, place, align=type.bits // 8)
            return
        name = f"llvm.masked.store.{_suffix(type, memory=True)}.p0"
        bits = ir.VectorType(ir.IntType(1), type.lanes)
        kind = ir.FunctionType(_VOID, [type.memory, _POINTER, _I32, bits])
        align = ir.Constant(_I32, type.bits // 8)
        self.builder.call(self.declare(name, kind), [data, place, align, mask.ir])

    def prefetch(self, address: Address, index: Value | int, dtype: str) -> None:
        """Asks for the element number `index`, which will be read soon, and what is around it."""
        kind = ir.FunctionType(_VOID, [_POINTER, _I32, _I32, _I32])
        # For reading, as near as can be, data.
        how = [ir.Constant(_I32, number) for number in (0, 3, 1)]
        place = self.offset(address, index, dtype).ir
        self.builder.call(self.declare("llvm.prefetch.p0", kind), [place, *how])

    def _masked_load(self, type: Type, place: Any, mask: Value) -> Any:
        name = f"llvm.masked.load.{_suffix(type, memory=True)}.p0"
        kind = ir.FunctionType(type.memory, [_POINTER, _I32, mask.type.ir, type.memory])
        align, zero = ir.Constant(_I32, type.bits // 8), ir.Constant(type.memory, None)
        build = self.builder
        found = build.call(self.declare(name, kind), [place, align, mask.ir, zero])
        # Frozen, or LLVM joins it with a choice by the same mask and reads where that stands, which
        # may be behind what is written meanwhile.
        frozen = ir.Instruction(build.block, type.memory, "freeze", [found])
        build._insert(frozen)
        return frozen

    def gather(
        self,
        address: Address,
        index: Value | int,
        step: Value,
        dtype: str,
        lanes: int,
        mask: Value | None = None,
    ) -> Value:
        """The elements number `index`, `index + step`, `index + 2 * step` and so on.

        Args:
            address: of the array.
            index: number of an element.
            step: elements from one to the next.
            dtype: of the array.
            lanes: how many.
            mask: which lanes to read; the others become 0.
        """
        type, build = Type(dtype, lanes), self.builder
        start = build.ptrtoint(self.offset(address, index, dtype).ir, _I64)
        places = self.vector(range(lanes), "int64") * (step * (type.bits // 8))
        places = places + Value(self, start, Type("int64"))
        pointers = ir.VectorType(_POINTER, lanes)
        bits = ir.VectorType(ir.IntType(1), lanes)
        name = f"llvm.masked.gather.{_suffix(type, memory=True)}.v{lanes}p0"
        kind = ir.FunctionType(type.memory, [pointers, _I32, bits, type.memory])
        which = self.number(1, "bool", lanes).ir if mask is None else mask.ir
        align, zero = ir.Constant(_I32, type.bits // 8), ir.Constant(type.memory, None)
        place = build.inttoptr(places.ir, pointers)
        found = build.call(self.declare(name, kind), [place, align, which, zero])
        if dtype == "bool":
            found = build.icmp_unsigned("!=", found, ir.Constant(type.memory, None))
        return Value(self, found, type)

    def first(self, count: Value, lanes: int) -> Value:
        """A mask of the first `count` lanes."""
        numbers = self.vector(range(lanes), "int32")
        return numbers < self.splat(self.minimum(count, lanes).cast("int32"), lanes)

    # ----- order -----

    @contextmanager
    def loop(self, start: Value | int, stop: Value | int, step: Value | int = 1) -> Iterator[Value]:
        """Runs what is inside for start, start + step, ... below stop."""
        counter = self.var(self._integer(start))
        stop, step = self._integer(stop), self._integer(step)
        head, body, done = [self.function.append_basic_block(n) for n in ("head", "loop", "done")]
        self.builder.branch(head)
        self.builder.position_at_end(head)
        index = counter.value
        self.builder.cbranch((index < stop).ir, body, done)
        self.builder.position_at_end(body)
        yield index
        counter.set(index + step)
        self.builder.branch(head)
        self.builder.position_at_end(done)

    @contextmanager
    def as_long_as(self, condition: Callable[[], Value]) -> Iterator[None]:
        """Runs what is inside again and again, as long as a condition holds before."""
        head, body, done = [self.function.append_basic_block(n) for n in ("ask", "again", "done")]
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(condition().ir, body, done)
        self.builder.position_at_end(body)
        yield
        self.builder.branch(head)
        self.builder.position_at_end(done)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Runs what is inside if a condition holds."""
        with self.builder.if_then(condition.ir):
            yield

    @contextmanager
    def either(self, condition: Value) -> Iterator[tuple[Any, Any]]:
        """Two contexts: what to write for the condition, and what for the contrary."""
        with self.builder.if_else(condition.ir) as (then, otherwise):
            yield then, otherwise

    def _integer(self, value: Value | int) -> Value:
        return value if isinstance(value, Value) else self.number(value)

    def run(self, kernel: Value, arrays: Value, sizes: Value, begin: Value, end: Value) -> None:
        """Calls another kernel, given by its address, on this thread.

        Args:
            kernel: where its code begins.
            arrays: address of the table of its arrays.
            sizes: address of its sizes.
            begin: first of the items that the call does.
            end: behind the last of them.
        """
        called = self.builder.inttoptr(kernel.ir, ir.PointerType(SIGNATURE))
        tables = [self.builder.inttoptr(table.ir, _POINTER) for table in (arrays, sizes)]
        self.builder.call(called, [*tables, begin.ir, end.ir, self.worker.ir])

    def declare(self, name: str, type: Any) -> Any:
        """A function that is not written here: LLVM's own, or one of the C library."""
        found = self.module.globals.get(name)
        return found if found is not None else ir.Function(self.module, type, name)


def _suffix(type: Type, memory: bool = False) -> str:
    """How LLVM names a type in the names of intrinsics."""
    scalar = f"f{type.bits}" if type.floating else f"i{type.bits}"
    if type.dtype == "bool" and not memory:
        scalar = "i1"
    return f"v{type.lanes}{scalar}" if type.lanes else scalar


def _exact(value: float, dtype: str) -> float:
    """The number as the dtype holds it: LLVM takes no other constants."""
    if dtype != "float32" or value != value or value in (float("inf"), float("-inf")):
        return value
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
