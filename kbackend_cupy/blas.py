"""Matrix products by cuBLAS's C interface, which, unlike CuPy's, a stream can record."""

from __future__ import annotations

import ctypes
import sys
from typing import Any, NamedTuple

from kbackend.base import config
from kbackend.engine.program import Ints, Prepared, Spec
from kbackend.engine.strides import contiguous_strides
from kbackend_cupy.codegen import contract as contract_
from kbackend_cupy.launches import from_calls, joinable

Pairs = tuple[Ints, Ints]

# cudaDataType, and the type that is computed in: float32, with the short products of TF32 only
# where they are asked for.
_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
_SINGLE, _DOUBLE, _TF32 = 68, 70, 77
_DEFAULT_ALGORITHM = -1
# cuBLAS would allocate in a capture; NVIDIA's advice for its largest devices.
_WORKSPACE = 32 << 20
# Multiplications up to which a product does not keep a device busy for long: where there are two of
# them, a launch of our own kernels for both is worth more than cuBLAS.
_JOINT = 1 << 27


class BlasError(RuntimeError):
    """cuBLAS reports a failure."""


class Matrix(NamedTuple):
    """An operand as cuBLAS takes it.

    Attributes:
        transposed: whether its columns, not its rows, are contiguous.
        lead: elements from one row (or column) to the next.
        step: elements from one matrix of a batch to the next.
    """

    transposed: bool
    lead: int
    step: int


class Product(NamedTuple):
    """A contraction as a batch of matrix products.

    Attributes:
        rows: of the result.
        columns: of the result.
        inner: how many products are added up.
        batch: how many matrices.
        x: the first operand.
        y: the second one.
    """

    rows: int
    columns: int
    inner: int
    batch: int
    x: Matrix
    y: Matrix


def _merged(shape: Ints, strides: Ints, axes: Ints) -> tuple[int, int] | None:
    """(size, step) of several dimensions as one, or `None` if they don't follow each other."""
    size, step = 1, 0
    for axis in reversed(axes):
        if shape[axis] == 1:
            continue
        if size > 1 and strides[axis] != step * size:
            return None
        step = step if size > 1 else strides[axis]
        size *= shape[axis]
    return size, step


def _matrix(
    spec: Spec, batch: Ints, rows: Ints, columns: Ints
) -> tuple[int, int, int, Matrix] | None:
    """(batch, rows, columns, how they lie) of an operand, or `None` if it is no such batch."""
    strides = spec.strides or contiguous_strides(spec.shape)
    groups = [_merged(spec.shape, strides, axes) for axes in (batch, rows, columns)]
    if any(group is None for group in groups):
        return None
    (count, step), (height, down), (width, right) = [g for g in groups if g is not None]
    if min(step, down, right) < 0:
        return None
    if width == 1 or right == 1:
        # A single row may lie anywhere.
        lead = down if height > 1 else width
        found = Matrix(False, lead, step)
        wide = width
    elif height == 1 or down == 1:
        found = Matrix(True, right, step)
        wide = height
    else:
        return None
    return (count, height, width, found) if found.lead >= max(1, wide) else None


def product(x: Spec, y: Spec, contract: Pairs, batch: Pairs) -> Product | None:
    """A contraction as matrix products, or `None` if an operand would have to be copied."""
    pairs = sorted(zip(*contract, strict=True))
    x_sum, y_sum = tuple([p[0] for p in pairs]), tuple([p[1] for p in pairs])
    x_rows = tuple([i for i in range(len(x.shape)) if i not in x_sum and i not in batch[0]])
    y_columns = tuple([i for i in range(len(y.shape)) if i not in y_sum and i not in batch[1]])
    one = _matrix(x, batch[0], x_rows, x_sum)
    other = _matrix(y, batch[1], y_sum, y_columns)
    if one is None or other is None:
        return None
    count, rows, inner, left = one
    _, _, columns, right = other
    return Product(rows, columns, inner, count, left, right)


class Blas:
    """cuBLAS on the current device.

    Args:
        cp: the module `cupy`.
    """

    def __init__(self, cp: Any) -> None:
        self._cp = cp
        self._library: Any = None
        self._handles: dict[int, Any] = {}
        # Device -> memory of its handle, and the stream that the handle uses.
        self._workspaces: dict[int, Any] = {}
        self._streams: dict[int, int] = {}

    def _load(self) -> Any:
        if self._library is None:
            # CuPy finds the library, wherever it is; from then on it is known by its name.
            self._cp.cuda.get_cublas_handle()
            major = self._cp.cuda.runtime.runtimeGetVersion() // 1000
            windows = sys.platform == "win32"
            name = f"cublas64_{major}.dll" if windows else f"libcublas.so.{major}"
            self._library = ctypes.CDLL(name)
        return self._library

    def _handle(self) -> Any:
        device = self._cp.cuda.runtime.getDevice()
        handle = self._handles.get(device)
        if handle is None:
            library, handle = self._load(), ctypes.c_void_p()
            _check(library.cublasCreate_v2(ctypes.byref(handle)), "cublasCreate")
            self._handles[device] = handle
            self._workspaces[device] = self._cp.cuda.alloc(_WORKSPACE)
        return handle

    def _follow(self, device: int) -> None:
        """Lets a handle work on the current stream."""
        stream = self._cp.cuda.get_current_stream().ptr
        if self._streams.get(device) == stream:
            return
        library, handle = self._library, self._handles[device]
        _check(library.cublasSetStream_v2(handle, ctypes.c_void_p(stream)), "cublasSetStream")
        # With a new stream cuBLAS forgets its workspace.
        place = ctypes.c_void_p(self._workspaces[device].ptr)
        size = ctypes.c_size_t(_WORKSPACE)
        _check(library.cublasSetWorkspace_v2(handle, place, size), "cublasSetWorkspace")
        self._streams[device] = stream

    def prepare(
        self,
        inputs: tuple[Spec, ...],
        outputs: tuple[Spec, ...],
        *,
        contract: Pairs,
        batch: Pairs,
    ) -> Prepared | None:
        """A `dot` for given shapes, or `None` where there is only the general kernel."""
        x, y = inputs
        dtype = outputs[0].dtype
        if dtype not in _TYPES or x.dtype != dtype or y.dtype != dtype:
            return None
        found = product(x, y, contract, batch)
        if found is None or not outputs[0].size or not found.inner:
            return None
        made = from_calls(((self._call(found, dtype), (), (0, 1, 2), ()),))
        work = found.batch * found.rows * found.columns * found.inner
        if dtype != "float32" or work > _JOINT or _computed(dtype) == _TF32:
            return made
        return joinable(made, contract_.dot(inputs, outputs, contract=contract, batch=batch))

    def _call(self, p: Product, dtype: str) -> Any:
        """The function that multiplies: called with the result, then both operands."""
        handle, library = self._handle(), self._load()
        kind, double = _TYPES[dtype], dtype == "float64"
        number: Any = ctypes.c_double if double else ctypes.c_float
        computed = _computed(dtype)
        one, zero = number(1), number(0)
        c, large = ctypes.c_int, ctypes.c_longlong
        # cuBLAS goes by columns: what it takes for the transposed result is the result by rows.
        shape = (c(p.y.transposed), c(p.x.transposed), c(p.columns), c(p.rows), c(p.inner))
        device, follow = self._cp.cuda.runtime.getDevice(), self._follow

        def call(out: Any, x: Any, y: Any) -> None:
            follow(device)
            status = library.cublasGemmStridedBatchedEx(
                handle, *shape, ctypes.byref(one),
                ctypes.c_void_p(y.data.ptr), c(kind), c(p.y.lead), large(p.y.step),
                ctypes.c_void_p(x.data.ptr), c(kind), c(p.x.lead), large(p.x.step),
                ctypes.byref(zero),
                ctypes.c_void_p(out.data.ptr), c(kind), c(p.columns),
                large(p.rows * p.columns), c(p.batch),
                c(computed), c(_DEFAULT_ALGORITHM),
            )  # fmt: skip
            _check(status, "cublasGemmStridedBatchedEx")

        return call


def _computed(dtype: str) -> int:
    """The type that products are computed in."""
    if dtype == "float32" and config.float32_matmul_precision() == "high":
        return _TF32
    return _DOUBLE if dtype == "float64" else _SINGLE


def _check(status: int, what: str) -> None:
    if status:
        raise BlasError(f"{what} failed with the status {status}.")
