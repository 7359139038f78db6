"""Specs of reductions, movement, creation and indexing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.testing.opspec import ANY, FLOAT32_64, NUMBERS, OpSpec, Sample

Rng = np.random.Generator


def _wide(x: Any) -> Any:
    """Narrow floats as float64, so that the reference does not round on the way."""
    return np.asarray(x, dtype="float64") if "float" in str(np.asarray(x).dtype) else np.asarray(x)


def _reduce_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.uniform(0.5, 2.0, (3, 4, 2)) * np.sign(rng.uniform(-1, 1, (3, 4, 2)))
    return [
        Sample((x,), {"axes": axes, "keepdims": keep})
        for axes, keep in (((0,), False), ((0, 2), True), ((0, 1, 2), False), ((1,), True))
    ]


def _sum_samples(rng: Rng) -> Sequence[Sample]:
    empty = Sample((np.zeros((0, 3)),), {"axes": (0,), "keepdims": False})
    return [*_reduce_samples(rng), empty]


def _arg_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.standard_normal((3, 4, 2))
    ties = np.array([[1.0, 2.0, 2.0], [0.0, 0.0, -1.0]])
    return [Sample((x,), {"axis": 1}), Sample((x,), {"axis": 2}), Sample((ties,), {"axis": 1})]


def _sum(x: Any, axes: Any, keepdims: bool) -> Any:
    total = np.sum(_wide(x), axis=axes, keepdims=keepdims)
    return total if total.dtype.kind == "f" else total.astype(np.asarray(x).dtype)


def _prod(x: Any, axes: Any, keepdims: bool) -> Any:
    total = np.prod(_wide(x), axis=axes, keepdims=keepdims)
    # Products of integers wrap around in their own dtype.
    return total if total.dtype.kind == "f" else total.astype(np.asarray(x).dtype)


def _reshape_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.standard_normal((2, 3, 4))
    return [
        Sample((x,), {"shape": (6, 4)}), Sample((x,), {"shape": (-1,)}),
        Sample((x[:0],), {"shape": (0, 12)}), Sample((x[0, 0, 0],), {"shape": (1, 1)}),
    ]  # fmt: skip


def _transpose_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.standard_normal((2, 3, 4))
    return [Sample((x,), {"axes": axes}) for axes in ((2, 0, 1), (0, 1, 2), (1, 0, 2))]


def _broadcast_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample((rng.standard_normal(shape),), {"shape": target})
        for shape, target in (((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((), (2, 2)), ((1,), (0,)))
    ]


def _pad(x: Any, value: Any, widths: Any) -> Any:
    shape = tuple(
        low + n + max(n - 1, 0) * gap + high
        for n, (low, high, gap) in zip(x.shape, widths, strict=True)
    )
    out = np.full(shape, value, dtype=x.dtype)
    places = tuple(
        slice(low, low + n + max(n - 1, 0) * gap, gap + 1)
        for n, (low, _, gap) in zip(x.shape, widths, strict=True)
    )
    out[places] = x
    return out


def _pad_samples(rng: Rng) -> Sequence[Sample]:
    x, value = rng.standard_normal((2, 3)), rng.standard_normal(())
    return [
        Sample((x, value), {"widths": widths})
        for widths in (((1, 2, 0), (0, 1, 0)), ((0, 0, 2), (1, 0, 1)), ((0, 0, 0), (0, 0, 0)))
    ]


def _slice_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.standard_normal((4, 5))
    return [
        Sample((x,), {"starts": a, "stops": b, "steps": s})
        for a, b, s in (
            ((1, 0), (3, 5), (1, 1)), ((0, 1), (4, 5), (2, 3)), ((2, 2), (2, 4), (1, 1)),
        )
    ]  # fmt: skip


def _slice(x: Any, starts: Any, stops: Any, steps: Any) -> Any:
    return x[tuple(map(slice, starts, stops, steps))]


def _concatenate_samples(rng: Rng) -> Sequence[Sample]:
    x, y, z = (rng.standard_normal((2, n, 3)) for n in (1, 4, 0))
    return [Sample((x, y, z), {"axis": 1}), Sample((x,), {"axis": 0})]


def _starts(x: Any, starts: Any, sizes: Any) -> tuple[slice, ...]:
    firsts = [min(max(int(s), 0), n - m) for s, n, m in zip(starts, x.shape, sizes, strict=True)]
    return tuple(slice(a, a + m) for a, m in zip(firsts, sizes, strict=True))


def _dynamic_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.standard_normal((4, 5))
    return [Sample((x, np.array(start, "int32")), {"sizes": (2, 3)}) for start in ((1, 1), (3, -4))]


def _update_samples(rng: Rng) -> Sequence[Sample]:
    x, update = rng.standard_normal((4, 5)), rng.standard_normal((2, 3))
    return [Sample((x, update, np.array(start, "int32"))) for start in ((1, 1), (9, 0))]


def _update(x: Any, update: Any, starts: Any) -> Any:
    out = x.copy()
    out[_starts(x, starts, update.shape)] = update
    return out


def _full_samples(rng: Rng) -> Sequence[Sample]:
    cases = (
        ((2, 3), 1.5, "float32"),
        ((), 7, "int32"),
        ((0,), True, "bool"),
        ((2,), 2, "bfloat16"),
    )
    return [Sample((), {"shape": s, "value": v, "dtype": d}) for s, v, d in cases]


def _iota_samples(rng: Rng) -> Sequence[Sample]:
    cases = (((2, 3), 0, "float32"), ((2, 3), 1, "int32"), ((0,), 0, "int32"))
    return [Sample((), {"shape": s, "axis": a, "dtype": d}) for s, a, d in cases]


def _iota(shape: Any, axis: int, dtype: str) -> Any:
    line = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return np.broadcast_to(line, shape).astype(numpy_dtype(dtype))


def _indexed(x: Any, indices: Any, axes: Any) -> Any:
    order = (*axes, *(i for i in range(x.ndim) if i not in axes))
    return x.transpose(order), tuple(np.asarray(i) for i in indices)


def _gather(x: Any, *indices: Any, axes: Any) -> Any:
    moved, found = _indexed(x, indices, axes)
    return moved[found]


def _gather_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.standard_normal((4, 5, 3))
    rows, columns = np.array([[0, 3], [-1, 1]], "int32"), np.array([2, -5], "int32")
    return [
        Sample((x, rows), {"axes": (0,)}), Sample((x, columns), {"axes": (1,)}),
        Sample((x, rows, columns), {"axes": (0, 1)}), Sample((x, rows[:0]), {"axes": (2,)}),
    ]  # fmt: skip


_AT = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _scatter(x: Any, updates: Any, *indices: Any, axes: Any, mode: str) -> Any:
    out = _wide(x).copy()
    order = (*axes, *(i for i in range(x.ndim) if i not in axes))
    moved = out.transpose(order)
    found = tuple(np.asarray(i) for i in indices)
    if mode == "set":
        moved[found] = updates
    else:
        _AT[mode].at(moved, found, updates)
    return out


def _scatter_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.uniform(0.5, 2, (4, 3))
    rows = np.array([0, 2, 2], "int32")
    apart = np.array([3, 1, 0], "int32")
    updates = rng.uniform(0.5, 2, (3, 3))
    return [
        *(
            Sample((x, updates, rows), {"axes": (0,), "mode": mode})
            for mode in ("add", "mul", "max", "min")
        ),
        Sample((x, updates, apart), {"axes": (0,), "mode": "set"}),
        Sample((x, updates[:, 0], apart, rows), {"axes": (0, 1), "mode": "add"}),
    ]  # fmt: skip


_INDICES = frozenset(range(1, 4))

SPECS = [
    OpSpec("reduce_sum", _sum, _sum_samples, ANY, 2, tolerance=4),
    OpSpec("reduce_prod", _prod, _sum_samples, (*FLOAT32_64, "int32", "bool"), 2, tolerance=4),
    OpSpec(
        "reduce_max", lambda x, axes, keepdims: np.max(x, axis=axes, keepdims=keepdims),
        _reduce_samples, ANY, 2,
    ),
    OpSpec(
        "reduce_min", lambda x, axes, keepdims: np.min(x, axis=axes, keepdims=keepdims),
        _reduce_samples, ANY, 2,
    ),
    OpSpec("argmax", lambda x, axis: np.argmax(x, axis).astype("int32"), _arg_samples, NUMBERS),
    OpSpec("argmin", lambda x, axis: np.argmin(x, axis).astype("int32"), _arg_samples, NUMBERS),
    OpSpec("reshape", lambda x, shape: x.reshape(shape), _reshape_samples, ANY, 2),
    OpSpec("transpose", lambda x, axes: x.transpose(axes), _transpose_samples, ANY, 2),
    OpSpec("broadcast_to", lambda x, shape: np.broadcast_to(x, shape), _broadcast_samples, ANY, 2),
    OpSpec("pad", _pad, _pad_samples, ANY, 2),
    OpSpec("slice", _slice, _slice_samples, ANY, 2),
    OpSpec("rev", lambda x, axes: np.flip(x, axes), lambda rng: [
        Sample((rng.standard_normal((2, 3)),), {"axes": axes}) for axes in ((0,), (0, 1), ())
    ], ANY, 2),
    OpSpec("concatenate", lambda *xs, axis: np.concatenate(xs, axis), _concatenate_samples, ANY, 2),
    OpSpec(
        "dynamic_slice", lambda x, s, sizes: x[_starts(x, s, sizes)], _dynamic_samples, ANY, 2,
        fixed=frozenset([1]),
    ),
    OpSpec("dynamic_update_slice", _update, _update_samples, ANY, 2, fixed=frozenset([2])),
    OpSpec(
        "full", lambda shape, value, dtype: np.full(shape, value, numpy_dtype(dtype)),
        _full_samples, ("float32",),
    ),
    OpSpec("iota", _iota, _iota_samples, ("float32",)),
    OpSpec("gather", _gather, _gather_samples, ANY, 2, fixed=_INDICES),
    OpSpec(
        "scatter", _scatter, _scatter_samples, FLOAT32_64, 2, fixed=frozenset([2, 3]), tolerance=4
    ),
]  # fmt: skip
