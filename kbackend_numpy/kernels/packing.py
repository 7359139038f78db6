"""Prepared kernels for contiguous floats, from which those for arrays of any strides are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import numpy as np

from kbackend.engine.interface import Prepare
from kbackend.engine.program import Prepared, Spec

_DTYPES = frozenset({"float32", "float64"})

Specs = tuple[Spec, ...]


def packed(prepare: Callable[..., Prepared | None]) -> Prepare:
    """`prepare`, written for contiguous inputs, for inputs of any strides: these are copied first.

    It declines dtypes other than float32 and float64.
    """

    @wraps(prepare)
    def prepared(inputs: Specs, outputs: Specs, **params: Any) -> Prepared | None:
        if not {spec.dtype for spec in (*inputs, *outputs)} <= _DTYPES:
            return None
        plain = tuple(spec._replace(strides=None) for spec in inputs)
        kernel = prepare(plain, outputs, **params)
        strided = [i for i, spec in enumerate(inputs) if not spec.contiguous]
        if kernel is None or not strided:
            return kernel
        run, first, own = kernel.run, len(outputs), len(outputs) + len(inputs)
        last = own + len(strided)

        def copied(*arrays: Any) -> None:
            handed = list(arrays[:own])
            for i, copy in zip(strided, arrays[own:last], strict=True):
                np.copyto(copy, arrays[first + i])
                handed[first + i] = copy
            run(*handed, *arrays[last:])

        copies = tuple(plain[i] for i in strided)
        return replace(kernel, run=copied, scratch=copies + kernel.scratch, overwrites=())

    return prepared


def zeros() -> Prepared:
    """The kernel of a result that is nothing but zeros."""
    return Prepared(lambda out, *_: out.fill(0))
