"""`dot` over the NumPy API: every contraction becomes one matrix product, of views if possible."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from kbackend.base.dtypes import NUMPY_DTYPES
from kbackend.engine.interface import Kernel, KernelFn

Ints = tuple[int, ...]
Pairs = tuple[Ints, Ints]

# Accumulated in float32 and rounded once.
LOW_PRECISION = frozenset(
    NUMPY_DTYPES[name] for name in ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
)


class _Operand(NamedTuple):
    """How one operand becomes a stack of matrices."""

    axes: Ints | None  # transposition: batch axes, then rows, then columns; None if it is that
    collapse: bool  # whether rows or columns are not exactly one axis
    rows: int  # number of axes that make up the rows
    swapped: bool  # laid out as columns x rows, to be swapped after the reshape


class _Plan(NamedTuple):
    """How a contraction becomes a matrix product."""

    flat: int  # 1-4 for two plain matrices, by which of them is transposed; else 0
    rows: bool  # whether it is the last axis of x by a plain matrix y
    stacked: bool  # whether both are stacks of matrices as they are
    x: _Operand
    y: _Operand
    batch: int  # number of batch axes
    collapsed: bool  # whether the result's dimensions have to be restored


def _operand(ndim: int, batch: Ints, rows: Ints, columns: Ints) -> _Operand:
    # Columns before rows in memory is as good for BLAS: reshape first, swap after, copy nothing.
    swapped = bool(rows and columns) and max(columns) < min(rows)
    axes = batch + (columns + rows if swapped else rows + columns)
    return _Operand(
        None if axes == tuple(range(ndim)) else axes,
        len(rows) != 1 or len(columns) != 1,
        len(columns) if swapped else len(rows),
        swapped,
    )


@lru_cache(maxsize=1024)
def _plan(x_ndim: int, y_ndim: int, contract: Pairs, batch: Pairs) -> _Plan:
    x_free = tuple(i for i in range(x_ndim) if i not in contract[0] and i not in batch[0])
    y_free = tuple(i for i in range(y_ndim) if i not in contract[1] and i not in batch[1])
    # The order of the summed pairs is free: that of x's axes lets x collapse without a copy.
    pairs = sorted(zip(*contract, strict=True))
    x_sum, y_sum = tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)
    flat = 0
    if x_ndim == y_ndim == 2 and len(x_sum) == 1 and not batch[0]:
        flat = 1 + (x_sum == (0,)) + 2 * (y_sum == (1,))
    x_operand = _operand(x_ndim, batch[0], x_free, x_sum)
    y_operand = _operand(y_ndim, batch[1], y_sum, y_free)
    return _Plan(
        flat,
        x_ndim > 2 and x_sum == (x_ndim - 1,) and y_ndim == 2 and not batch[0],
        not any(o.collapse or o.swapped or o.axes for o in (x_operand, y_operand)),
        x_operand,
        y_operand,
        len(batch[0]),
        len(x_free) != 1 or len(y_free) != 1,
    )


def _matrices(a: Any, plan: _Operand, batch: int) -> tuple[Any, Ints, Ints]:
    """`a` as a stack of matrices, and the dimensions behind its rows and its columns."""
    if plan.axes is not None:
        a = a.transpose(plan.axes)
    shape = a.shape
    first, second = shape[batch : batch + plan.rows], shape[batch + plan.rows :]
    if plan.collapse:
        a = a.reshape((*shape[:batch], prod(first), prod(second)))
    if plan.swapped:
        return a.swapaxes(-1, -2), second, first
    return a, first, second


def accumulating(xp: Any, fn: KernelFn) -> KernelFn:
    """`fn`, a sum of products of two arrays, with its sums in a dtype that can take them.

    Low precision floats are summed in float32 and rounded once. For bool it is `any` of `and`.
    """
    float32 = xp.dtype("float32")

    def kernel(x: Any, y: Any, **params: Any) -> Any:
        dtype = x.dtype
        if dtype in LOW_PRECISION:
            return fn(x.astype(float32), y.astype(float32), **params).astype(dtype)
        if dtype.kind == "b":
            # A sum of non-negative terms is positive if any of them is, so BLAS can count.
            return fn(x.astype(float32), y.astype(float32), **params) > 0
        return fn(x, y, **params)

    return kernel


def kernels(xp: Any) -> dict[str, Kernel]:
    """The kernels of this family on the array module `xp`."""
    float32, float64 = xp.dtype("float32"), xp.dtype("float64")
    matmul = xp.matmul

    def product(x: Any, y: Any, contract: Pairs, batch: Pairs) -> Any:
        plan = _plan(x.ndim, y.ndim, contract, batch)
        flat = plan.flat
        if flat:
            return (x.T if not flat & 1 else x).dot(y.T if flat > 2 else y)
        if plan.stacked:
            return matmul(x, y)
        if plan.rows:
            shape = x.shape
            if plan.y.swapped:
                y = y.T
            rows = shape[:-1]
            return x.reshape(prod(rows), shape[-1]).dot(y).reshape(*rows, y.shape[1])
        x, x_free, _ = _matrices(x, plan.x, plan.batch)
        y, _, y_free = _matrices(y, plan.y, plan.batch)
        out = matmul(x, y)
        if plan.collapsed:
            out = out.reshape(out.shape[: plan.batch] + x_free + y_free)
        return out

    wide = accumulating(xp, product)

    def dot(x: Any, y: Any, contract: Pairs, batch: Pairs = ((), ())) -> Any:
        dtype = x.dtype
        if dtype is float32 or dtype is float64:
            return product(x, y, contract, batch)
        return wide(x, y, contract=contract, batch=batch)

    return {"dot": Kernel(dot)}
