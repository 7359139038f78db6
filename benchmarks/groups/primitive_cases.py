"""The primitives that are measured by size, each beside the raw NumPy call for the same.

A new one is a new row.

A row's `make` is given the number of elements and a random generator and returns the arguments,
the call through kbackend's binders, the call of NumPy alone (None where it has no such thing), and
the operations and bytes of one call. Bytes count each array once; a transcendental counts as one
operation, so that only contractions come near the machine's GEMM.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kbackend.core import lang


class Work(NamedTuple):
    """One primitive on one size."""

    arguments: tuple[Any, ...]
    ours: Callable[..., Any]
    numpy: Callable[..., Any] | None
    flops: int
    bytes: int


Make = Callable[[int, np.random.Generator], Work]

# Elements: the cost of a call, within the caches, out of them.
SIZES = (1_000, 100_000, 4_000_000)
QUICK_SIZES = (1_000, 1_000_000)


def _unary(ours: Callable[..., Any], raw: Callable[..., Any] | None) -> Make:
    def make(size: int, rng: np.random.Generator) -> Work:
        x = rng.random(size, "float32") + np.float32(0.1)
        return Work((x,), ours, raw, size, 8 * size)

    return make


def _binary(ours: Callable[..., Any], raw: Callable[..., Any], width: int = 4) -> Make:
    def make(size: int, rng: np.random.Generator) -> Work:
        x, y = (rng.random(size, "float32") + np.float32(0.1) for _ in range(2))
        return Work((x, y), ours, raw, size, (8 + width) * size)

    return make


def _rows(size: int) -> tuple[int, int]:
    columns = 2 ** int(math.log2(math.sqrt(size)))
    return size // columns, columns


def _on_rows(ours: Callable[..., Any], raw: Callable[..., Any], written: int) -> Make:
    """On a matrix; `written` results of every element, 0 for one of each row."""

    def make(size: int, rng: np.random.Generator) -> Work:
        rows, columns = _rows(size)
        x = rng.random((rows, columns), "float32")
        results = written * rows * columns or rows
        return Work((x,), ours, raw, rows * columns, 4 * (rows * columns + results))

    return make


def _matmul(size: int, rng: np.random.Generator) -> Work:
    n = int(math.sqrt(size))
    x, y = (rng.random((n, n), "float32") for _ in range(2))
    return Work(
        (x, y), lambda a, b: lang.dot(a, b, ((1,), (0,))), np.matmul, 2 * n**3, 3 * n * n * 4
    )


def _gather(size: int, rng: np.random.Generator) -> Work:
    rows, columns = size // 64 + 1, 64
    x = rng.random((rows, columns), "float32")
    at = rng.integers(0, rows, rows)
    return Work(
        (x, at),
        lambda a, i: lang.gather(a, (i,), (0,)),
        lambda a, i: np.take(a, i, axis=0),
        rows * columns,
        8 * rows * columns,
    )


def _pad(size: int, rng: np.random.Generator) -> Work:
    x = rng.random(_rows(size), "float32")
    return Work(
        (x, np.float32(0)),
        lambda a, zero: lang.pad(a, zero, ((1, 1, 0), (1, 1, 0))),
        lambda a, zero: np.pad(a, 1),
        x.size,
        8 * x.size,
    )


def _images(size: int, channels: int) -> tuple[int, int, int, int]:
    return max(1, size // (16 * 16 * channels)), 16, 16, channels


def _conv(size: int, rng: np.random.Generator) -> Work:
    batch, height, width, channels = shape = _images(size, 32)
    x = rng.random(shape, "float32")
    w = rng.random((3, 3, channels, channels), "float32")
    positions = batch * height * width
    return Work(
        (x, w),
        lambda a, b: lang.conv(a, b, (1, 1), ((1, 1), (1, 1)), (1, 1)),
        None,
        2 * positions * 9 * channels * channels,
        4 * (2 * positions * channels + w.size),
    )


def _window_max(size: int, rng: np.random.Generator) -> Work:
    shape = _images(size, 32)
    x = rng.random(shape, "float32")
    return Work(
        (x,),
        lambda a: lang.window_max(a, (2, 2), (2, 2), ((0, 0), (0, 0))),
        None,
        x.size,
        5 * x.size,
    )


PRIMITIVES: dict[str, Make] = {
    "neg": _unary(lang.neg, np.negative),
    "exp": _unary(lang.exp, np.exp),
    "log": _unary(lang.log, np.log),
    "sqrt": _unary(lang.sqrt, np.sqrt),
    "rsqrt": _unary(lang.rsqrt, lambda x: 1 / np.sqrt(x)),
    "tanh": _unary(lang.tanh, np.tanh),
    "sigmoid": _unary(lang.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "erf": _unary(lang.erf, None),
    "sin": _unary(lang.sin, np.sin),
    "add": _binary(lang.add, np.add),
    "mul": _binary(lang.mul, np.multiply),
    "div": _binary(lang.div, np.divide),
    "pow": _binary(lang.pow_, np.power),
    "maximum": _binary(lang.maximum, np.maximum),
    "lt": _binary(lang.lt, np.less, width=1),
    "reduce_sum": _on_rows(lambda x: lang.reduce_sum(x, (1,)), lambda x: np.sum(x, 1), 0),
    "reduce_max": _on_rows(lambda x: lang.reduce_max(x, (1,)), lambda x: np.max(x, 1), 0),
    "argmax": _on_rows(lambda x: lang.argmax(x, 1), lambda x: np.argmax(x, 1), 0),
    "cumsum": _on_rows(lambda x: lang.cumsum(x, 1), lambda x: np.cumsum(x, 1), 1),
    "sort": _on_rows(lambda x: lang.sort(x, 1), lambda x: np.sort(x, 1), 1),
    "pad": _pad,
    "gather": _gather,
    "dot": _matmul,
    "conv": _conv,
    "window_max": _window_max,
}
