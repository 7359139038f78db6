"""What the tests of the kernel families share: engines' tensors and a check of gradients."""

from __future__ import annotations

import numpy as np
import pytest

import kbackend.prim  # noqa: F401  attaches the rules
from kbackend.autodiff.api import grad
from kbackend.core import lang
from kbackend.core.tensor import tensor
from kbackend.engine.loader import get_engine, use_backend

STEP = 1e-5


@pytest.fixture
def numpy_engine():
    """Kernels of the NumPy engine, which is current meanwhile."""
    with use_backend("numpy"):
        yield get_engine("numpy").kernels


def _dot(outs, weights):
    outs = outs if isinstance(outs, tuple) else (outs,)
    total = None
    for out, w in zip(outs, weights, strict=True):
        if w is None:
            continue
        term = lang.reduce_sum(lang.mul(out, w), tuple(range(len(out.shape))))
        total = term if total is None else lang.add(total, term)
    return total


def _check(fn, arrays, order, rtol, rng, project, only=None):
    def along(i, d, t):
        moved = [tensor(a + t * d if j == i else a) for j, a in enumerate(arrays)]
        return fn(*moved).item()

    tensors = [tensor(a) for a in arrays]
    for i, array in enumerate(arrays):
        g = grad(fn, i)(*tensors)
        assert g.shape == array.shape and g.dtype == "float64"
        for _ in range(3):
            d = project(rng.normal(size=array.shape))
            found = float(np.sum(g.numpy() * d))
            # Fourth-order central differences: truncation ~ STEP^4, rounding ~ 1e-16 / STEP.
            near = along(i, d, STEP) - along(i, d, -STEP)
            far = along(i, d, 2 * STEP) - along(i, d, -2 * STEP)
            expected = (8 * near - far) / (12 * STEP)
            assert found == pytest.approx(expected, rel=rtol, abs=rtol), f"argument {i}"
        if order > 1:
            v = tensor(project(rng.normal(size=array.shape)))

            def slope(*args, i=i, v=v):
                return _dot(grad(fn, i)(*args), (v,))

            _check(slope, arrays, order - 1, rtol * 10, rng, project)


@pytest.fixture
def check_grads(numpy_engine):
    """`check(fn, *arrays)`: reverse-mode gradients of `fn` against finite differences in float64.

    The tensors that `fn` returns are weighted by fixed random numbers and summed. `order=2` checks
    the gradient of the gradient as well; `outputs` picks which results take part, and `project`
    restricts the directions (to symmetric matrices, say).
    """

    def check(fn, *arrays, order=2, rtol=1e-6, outputs=None, project=lambda d: d):
        rng = np.random.default_rng(7)
        arrays = [np.asarray(a, np.float64) for a in arrays]
        outs = fn(*[tensor(a) for a in arrays])
        outs = outs if isinstance(outs, tuple) else (outs,)
        weights = tuple(
            tensor(rng.normal(size=out.shape))
            if (outputs is None or k in outputs) and out.dtype == "float64"
            else None
            for k, out in enumerate(outs)
        )
        _check(lambda *args: _dot(fn(*args), weights), arrays, order, rtol, rng, project)

    return check
