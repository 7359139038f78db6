"""Copies to another order: on the CPU, and for real devices."""

import numpy as np
import pytest

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.program import Spec
from kbackend_cupy.codegen import turned
from kbackend_cupy.codegen.region import Plan
from tests.engines.cupy.kernels import compiled, execute, needs_text, spec
from tests.gpu_simulator import cuda_on_cpu, nvrtc

pytestmark = needs_text
DTYPES = ["float32", "float16", "bfloat16", "float64", "int8"]


def numbers(rng, shape, dtype):
    return (rng.standard_normal(shape) * 50).astype(numpy_dtype(dtype))


def check(launches, x, expected):
    out = Spec(expected.shape, spec(x).dtype)
    for order in cuda_on_cpu.ORDERS:
        with cuda_on_cpu.order(order):
            (found,) = execute(Plan(tuple(launches)), [out], [x])
        np.testing.assert_array_equal(found.view("uint8"), expected.view("uint8"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (32, 32), (33, 31), (5, 70), (100, 3)])
def test_turned(rng, shape, dtype):
    x = numbers(rng, shape, dtype)
    check(turned.turned(spec(x), (0, 1)), x, np.ascontiguousarray(x.T))


def test_very_wide_matrices_are_copied_one_by_one(rng, monkeypatch):
    monkeypatch.setattr(turned, "_MOST_BLOCKS", 1)
    x = numbers(rng, (3, 40), "float32")
    (launch,) = launches = turned.turned(spec(x), (0, 1))
    assert launch.kernel is not None
    check(launches, x, np.ascontiguousarray(x.T))


@pytest.mark.parametrize("dtype", DTYPES)
def test_copied(rng, dtype):
    x = numbers(rng, (4, 5, 6), dtype)
    for view in (x.transpose(2, 0, 1), x[::-1, :, ::2], x[:, None, 2:]):
        check(turned.copied(spec(view), (0, 1)), view, np.ascontiguousarray(view))


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
def test_budget(architecture):
    (launch,) = turned.turned(Spec((288, 64), "float32"), (0, 1))
    used = compiled(launch.text, architecture)[launch.name]
    assert used.spilled == 0 and used.registers <= 32 and used.shared <= 4352
