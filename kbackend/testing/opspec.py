"""`OpSpec`: what one primitive must do, as a row of the table that all engines are tested by."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kbackend.base.dtypes import NUMPY_DTYPES

FLOAT32_64 = ("float32", "float64")
FLOATS = ("float16", "bfloat16", *FLOAT32_64)
INTS = ("int8", "uint8", "int32", "int64")
NUMBERS = (*FLOATS, *INTS)
ANY = (*NUMBERS, "bool")

# One unit in the last place is 2^-(bits of the mantissa); kernels may be a few off, and sums and
# products of up to some hundred terms some more.
TOLERANCE = {
    "float16": 4e-3, "bfloat16": 3e-2, "float32": 4e-6, "float64": 4e-14, "complex64": 4e-6,
    "complex128": 4e-14,
}  # fmt: skip


class Sample(NamedTuple):
    """Arguments of one call: float64 (or integer, bool) arrays, and parameters."""

    args: tuple[Any, ...]
    params: dict[str, Any] = {}


@dataclass(frozen=True)
class OpSpec:
    """A primitive's specification.

    Attributes:
        primitive: its name.
        reference: `(*arrays, **params)` -> expected result(s), in NumPy, in the arguments' dtype or
            wider.
        samples: function of a random generator that returns calls to check.
        dtypes: dtypes in which the floating (or, without those, all) arguments are tried.
        grad_order: up to which order gradients are checked.
        fixed: positions of arguments that keep their own dtype (indices, conditions).
        tolerance: factor on the dtype's usual tolerance.
        special: argument tuples of special values (infinities, NaN, zeros), float32.
        compare: function of two NumPy results that raises where they do not agree; by default
            closeness of all elements.
        differentiate: `(apply, *tensors)` -> what to differentiate in place of `apply(*tensors)`,
            where only a function of the results is defined (singular vectors up to sign), or the
            arguments must stay symmetric.
    """

    primitive: str
    reference: Callable[..., Any]
    samples: Callable[[np.random.Generator], Sequence[Sample]]
    dtypes: tuple[str, ...] = FLOATS
    grad_order: int = 0
    fixed: frozenset[int] = frozenset()
    tolerance: float = 1.0
    special: tuple[tuple[Any, ...], ...] = ()
    compare: Callable[[Any, Any], None] | None = None
    differentiate: Callable[..., Any] | None = None

    def rng(self) -> np.random.Generator:
        """A generator whose seed is the primitive's name."""
        return np.random.default_rng(zlib.crc32(self.primitive.encode()))

    def cast(self, sample: Sample, dtype: str) -> Sample:
        """The sample with its free arguments in `dtype`."""
        wanted = NUMPY_DTYPES[dtype]
        args = tuple(
            arg if i in self.fixed else _fit(arg, wanted) for i, arg in enumerate(sample.args)
        )
        return Sample(args, sample.params)


def _fit(arg: Any, dtype: np.dtype[Any]) -> Any:
    """An argument in another dtype; signs are dropped where there is no place for them."""
    array = np.asarray(arg)
    if dtype.kind == "u":
        array = np.abs(array)
    if dtype.kind in "iu" and array.dtype.kind == "f":
        array = np.rint(array * 3)
    if dtype.kind == "b" and array.dtype.kind != "b":
        return array > 0
    return array.astype(dtype)
