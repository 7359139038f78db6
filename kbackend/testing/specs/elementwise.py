"""Specs of the elementwise primitives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.testing.opspec import ANY, FLOAT32_64, FLOATS, INTS, NUMBERS, OpSpec, Sample

_SPECIAL = (np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0], dtype="float32"),)


def _one(low: float, high: float) -> Callable[[np.random.Generator], Sequence[Sample]]:
    """One argument between two bounds: a matrix, a scalar and nothing."""

    def samples(rng: np.random.Generator) -> Sequence[Sample]:
        return [
            Sample((rng.uniform(low, high, (3, 4)),)),
            Sample((rng.uniform(low, high, ()),)),
            Sample((rng.uniform(low, high, (0, 3)),)),
        ]

    return samples


def _two(
    low: float, high: float, low2: float | None = None, high2: float | None = None
) -> Callable[[np.random.Generator], Sequence[Sample]]:
    """Two arguments that broadcast: equal shapes, a row, a column, a scalar, nothing."""
    a, b = (low, high) if low2 is None or high2 is None else (low2, high2)

    def samples(rng: np.random.Generator) -> Sequence[Sample]:
        pairs = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((0, 3), (1, 3))]
        return [Sample((rng.uniform(low, high, s), rng.uniform(a, b, t))) for s, t in pairs]

    return samples


def _float_of(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The reference in float64 for narrow floats."""

    def reference(*args: Any, **params: Any) -> Any:
        return fn(*[np.asarray(a, dtype="float64") if _is_float(a) else a for a in args], **params)

    return reference


def _is_float(a: Any) -> bool:
    return np.asarray(a).dtype.kind in "fV" or "float" in str(np.asarray(a).dtype)


def _unary(
    name: str, fn: Callable[..., Any], low: float, high: float, dtypes: tuple[str, ...] = FLOATS,
    grad_order: int = 2, special: bool = True, tolerance: float = 1.0,
) -> OpSpec:  # fmt: skip
    return OpSpec(
        name, _float_of(fn), _one(low, high), dtypes, grad_order, tolerance=tolerance,
        special=(_SPECIAL,) if special else (),
    )  # fmt: skip


def _binary(
    name: str, fn: Callable[..., Any], low: float, high: float, dtypes: tuple[str, ...],
    grad_order: int = 0, low2: float | None = None, high2: float | None = None,
    special: bool = False, tolerance: float = 1.0,
) -> OpSpec:  # fmt: skip
    pairs = tuple(
        (np.float32(a) * np.ones(1, "float32"), np.float32(b) * np.ones(1, "float32"))
        for a in (np.inf, -np.inf, np.nan, 0.0)
        for b in (np.inf, np.nan, 0.0, 2.0)
    )
    return OpSpec(
        name, _float_of(fn), _two(low, high, low2, high2), dtypes, grad_order,
        special=pairs if special else (), tolerance=tolerance,
    )  # fmt: skip


def _erf(x: Any) -> Any:
    return np.vectorize(math.erf, otypes=["float64"])(x)


def _erfinv(y: Any) -> Any:
    """By bisection of math.erf, to the last bit."""

    def one(target: float) -> float:
        low, high = -6.0, 6.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if math.erf(middle) < target else (low, middle)
        return (low + high) / 2

    return np.vectorize(one, otypes=["float64"])(y)


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _cast_samples(rng: np.random.Generator) -> Sequence[Sample]:
    x = rng.uniform(-3, 3, (3, 4))
    return [Sample((x,), {"dtype": d}) for d in ("float32", "float64", "int32", "bool")] + [
        Sample((np.zeros((0, 2)),), {"dtype": "int32"})
    ]


def _cast(x: Any, dtype: str) -> Any:
    return np.asarray(x).astype(numpy_dtype(dtype))


def _bit_samples(rng: np.random.Generator) -> Sequence[Sample]:
    return [Sample((rng.uniform(-3, 3, (3, 4)).astype("float32"),), {"dtype": "int32"})]


def _int_pair(rng: np.random.Generator) -> Sequence[Sample]:
    return [
        Sample((rng.integers(-9, 9, (3, 4)), rng.integers(-9, 9, (4,)))),
        Sample((rng.integers(-9, 9, (0, 4)), rng.integers(-9, 9, (4,)))),
    ]


def _shift_pair(rng: np.random.Generator) -> Sequence[Sample]:
    return [Sample((rng.integers(-9, 9, (3, 4)), rng.integers(0, 4, (4,))))]


def _nonzero_pair(rng: np.random.Generator) -> Sequence[Sample]:
    y = rng.integers(1, 5, (4,)) * np.array([1, -1, 1, -1])
    return [
        Sample((rng.integers(-9, 9, (3, 4)), y)),
        Sample((rng.uniform(-9, 9, (3, 4)), rng.uniform(0.6, 2.0, (4,)))),
    ]


def _complex_one(rng: np.random.Generator) -> Sequence[Sample]:
    return [Sample((rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4)),))]


def _select_samples(rng: np.random.Generator) -> Sequence[Sample]:
    c = rng.uniform(size=(3, 4)) > 0.5
    x, y = rng.standard_normal((3, 4)), rng.standard_normal((4,))
    return [Sample((c, x, y)), Sample((c[0], x, y)), Sample((c[:0], x[:0], y))]


SPECS = [
    _unary("neg", np.negative, -3, 3, NUMBERS),
    _unary("abs", np.absolute, 0.2, 3, NUMBERS),
    _unary("sign", np.sign, -3, 3, NUMBERS, grad_order=0),
    _unary("exp", np.exp, -3, 3),
    _unary("expm1", np.expm1, -3, 3),
    _unary("log", np.log, 0.2, 5),
    _unary("log1p", np.log1p, -0.7, 5),
    _unary("sqrt", np.sqrt, 0.2, 5),
    _unary("rsqrt", lambda x: 1.0 / np.sqrt(x), 0.2, 5),
    _unary("sin", np.sin, -5, 5),
    _unary("cos", np.cos, -5, 5),
    _unary("tanh", np.tanh, -3, 3),
    _unary("sigmoid", _sigmoid, -9, 9),
    _unary("erf", _erf, -3, 3),
    _unary("erfinv", _erfinv, -0.95, 0.95, special=False, tolerance=2.0),
    _unary("floor", np.floor, -5, 5, grad_order=0),
    _unary("ceil", np.ceil, -5, 5, grad_order=0),
    _unary("round", np.rint, -5, 5, grad_order=0),
    _unary("isfinite", np.isfinite, -5, 5, grad_order=0),
    OpSpec("real", np.real, _complex_one, ("complex64", "complex128")),
    OpSpec("imag", np.imag, _complex_one, ("complex64", "complex128")),
    OpSpec("cast", _cast, _cast_samples, NUMBERS, grad_order=0),
    OpSpec(
        "bitcast", lambda x, dtype: x.view(dtype), _bit_samples, ("float32",), fixed=frozenset([0])
    ),
    _binary("add", np.add, -3, 3, ANY, 2, special=True),
    _binary("sub", np.subtract, -3, 3, NUMBERS, 2, special=True),
    _binary("mul", np.multiply, -3, 3, ANY, 2, special=True),
    _binary("div", np.true_divide, -3, 3, FLOATS, 2, 0.5, 3, special=True),
    _binary("pow", np.power, 0.3, 3, (*FLOAT32_64, "int32"), 2, 0.5, 3, tolerance=2.0),
    _binary("atan2", np.arctan2, 0.3, 3, FLOATS, 2, special=True),
    OpSpec("mod", np.mod, _nonzero_pair, (*FLOAT32_64, "int32", "int64"), 1),
    OpSpec("floor_divide", np.floor_divide, _nonzero_pair, (*FLOAT32_64, "int32", "int64")),
    _binary("maximum", np.maximum, -3, 3, ANY, 2, special=True),
    _binary("minimum", np.minimum, -3, 3, ANY, 2, special=True),
    OpSpec("bitwise_and", np.bitwise_and, _int_pair, (*INTS, "bool")),
    OpSpec("bitwise_or", np.bitwise_or, _int_pair, (*INTS, "bool")),
    OpSpec("bitwise_xor", np.bitwise_xor, _int_pair, (*INTS, "bool")),
    OpSpec("shift_left", np.left_shift, _shift_pair, ("int32", "int64", "uint8")),
    OpSpec("shift_right", np.right_shift, _shift_pair, ("int32", "int64", "uint8")),
    _binary("complex", lambda x, y: x + 1j * y, -3, 3, FLOAT32_64),
    _binary("eq", np.equal, -3, 3, ANY, special=True),
    _binary("ne", np.not_equal, -3, 3, ANY, special=True),
    _binary("lt", np.less, -3, 3, ANY, special=True),
    _binary("le", np.less_equal, -3, 3, ANY, special=True),
    OpSpec("select", np.where, _select_samples, ANY, 2, fixed=frozenset([0])),
]
