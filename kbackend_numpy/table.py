"""The table of kernels: the shared array-module families, then NumPy's own in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from kbackend.engine.array_module import (
    contract,
    conv,
    elementwise,
    indexing,
    linalg,
    movement,
    random,
    reduce,
    scan,
    sort,
    special,
    window,
)
from kbackend.engine.interface import Kernel, Prepare
from kbackend_numpy import region
from kbackend_numpy.kernels import (
    activation,
    arithmetic,
    attention,
    crossentropy,
    normalization,
    optimizer,
    recurrent,
    softmax,
)
from kbackend_numpy.kernels import contract as own_contract
from kbackend_numpy.kernels import conv as own_conv
from kbackend_numpy.kernels import indexing as own_indexing
from kbackend_numpy.kernels import linalg as own_linalg
from kbackend_numpy.kernels import movement as own_movement
from kbackend_numpy.kernels import random as own_random
from kbackend_numpy.kernels import reduce as own_reduce
from kbackend_numpy.kernels import scan as own_scan
from kbackend_numpy.kernels import sort as own_sort
from kbackend_numpy.kernels import special as own_special
from kbackend_numpy.kernels import window as own_window
from kbackend_numpy.kernels.elementwise import NAMES as ELEMENTWISE

_SHARED = (
    elementwise, special, reduce, movement, indexing, contract, conv, window, scan, sort, random,
    linalg,
)  # fmt: skip
_OWN: tuple[Any, ...] = (
    arithmetic, own_contract, own_conv, own_indexing, own_linalg, own_movement, own_random,
    own_reduce, own_scan, own_sort, own_special, own_window,
)  # fmt: skip

# Kernels that only move or compare elements never raise a floating point warning.
_SILENT = frozenset(
    "abs neg floor ceil round isfinite real imag bitcast bitwise_and bitwise_or bitwise_xor "
    "shift_left shift_right complex eq ne lt le select argmax argmin reshape transpose "
    "broadcast_to pad slice rev concatenate dynamic_slice dynamic_update_slice full iota gather "
    "sort argsort searchsorted top_k random_bits maximum minimum".split()
)


def _as_array(out: Any) -> Any:
    """NumPy answers with scalars where arrays are 0-d; tensors hold arrays only."""
    return out if out.__class__ is tuple else np.asarray(out)


def _quiet(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` with floating point warnings off: infinities and NaN are values like others here."""

    def kernel(*args: Any, **params: Any) -> Any:
        with np.errstate(all="ignore"):
            out = fn(*args, **params)
        return out if out.__class__ is np.ndarray else _as_array(out)

    return kernel


def _plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    def kernel(*args: Any, **params: Any) -> Any:
        out = fn(*args, **params)
        return out if out.__class__ is np.ndarray else _as_array(out)

    return kernel


def _one_operation(name: str) -> Prepare:
    return lambda inputs, outputs, **params: region.prepare_op(name, inputs, outputs, params)


# Elementwise primitives are regions of one operation.
_elementwise = {name: _one_operation(name) for name in ELEMENTWISE}


def table() -> dict[str, Kernel]:
    """All kernels of the NumPy engine."""
    merged: dict[str, Kernel] = {}
    for family in _SHARED:
        merged |= family.kernels(np)
    for family in _OWN:
        merged |= family.KERNELS
    return {
        name: replace(
            kernel,
            fn=(_plain if name in _SILENT else _quiet)(kernel.fn),
            prepare=kernel.prepare or _elementwise.get(name),
        )
        for name, kernel in merged.items()
    }


def composites() -> dict[str, Kernel]:
    """NumPy's kernels of composites; all others run as their bodies."""
    families = (
        activation, attention, crossentropy, normalization, optimizer, recurrent, softmax,
    )  # fmt: skip
    return {name: kernel for family in families for name, kernel in family.COMPOSITES.items()}
