"""Kernels of optimizers' rules against the compositions that define them."""

from typing import Any

import numpy as np
import pytest

from kbackend.core.composite import COMPOSITES
from kbackend.core.convert import to_tensor
from kbackend.engine.loader import current_engine
from kbackend.optimizers import updates

pytestmark = pytest.mark.engine("numpy")

BETAS = {"beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-5}
RMS = {"rho": 0.8, "momentum": 0.7, "epsilon": 1e-5}
# name, number of arrays, whether iterations are an argument, parameters
RULES: list[tuple[str, int, bool, dict[str, Any]]] = [
    ("weight_decay", 1, False, {"rate": 0.3}),
    ("sgd_update", 2, False, {}),
    ("momentum_update", 3, False, {"momentum": 0.9, "nesterov": False}),
    ("momentum_update", 3, False, {"momentum": 0.9, "nesterov": True}),
    ("adam_update", 4, True, BETAS),
    ("amsgrad_update", 5, True, BETAS),
    ("rmsprop_update", 3, False, RMS),
    ("rmsprop_update", 4, False, RMS),
    ("rmsprop_centered_update", 4, False, RMS),
    ("rmsprop_centered_update", 5, False, RMS),
]
# A few roundings in each dtype.
TOLERANCE = {"float32": 2e-6, "float64": 1e-12, "float16": 1e-2, "bfloat16": 8e-2}


def _arguments(rng: np.random.Generator, count: int, shape: Any, dtype: str, counted: bool) -> Any:
    values = [to_tensor(np.abs(rng.normal(size=shape)) + 0.1, dtype) for _ in range(count)]
    scalars = [to_tensor(0.05, dtype)]
    return [*values, *scalars, *([to_tensor(4, "int32")] if counted else [])]


def _tuple(value: Any) -> Any:
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shape", [(), (0,), (3, 4), (16384,), (150, 301)])
@pytest.mark.parametrize(("name", "count", "counted", "params"), RULES)
def test_kernel_equals_body(
    name: str, count: int, counted: bool, params: Any, shape: Any, dtype: str,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    rule = COMPOSITES[name]
    args = _arguments(rng, count, shape, dtype, counted)
    before = [a.numpy() for a in args]
    kernel = current_engine().composites[name].fn
    got = _tuple(kernel(*[a.array for a in args], **params))
    wanted = _tuple(rule.body(*args, **params))
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        assert isinstance(a, np.ndarray)
        assert (a.shape, a.dtype) == (b.array.shape, b.array.dtype)
        np.testing.assert_allclose(
            a.astype("float64"), b.array.astype("float64"),
            rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype],
        )  # fmt: skip
    # Tensors are immutable: nothing that came in has changed.
    for argument, value in zip(args, before, strict=True):
        np.testing.assert_array_equal(argument.numpy(), value)


def test_gradients_in_any_memory_order(rng: np.random.Generator) -> None:
    value, gradient = rng.normal(size=(40, 30)), rng.normal(size=(30, 40)).T
    kernel = current_engine().composites["sgd_update"].fn
    np.testing.assert_array_equal(kernel(value, gradient, np.asarray(0.5)), value - gradient * 0.5)


def test_composites_return_tensors() -> None:
    one = to_tensor([1.0])
    p, m = updates.momentum_update(one, one, one, to_tensor(0.5), momentum=0.5, nesterov=False)
    assert (p.tolist(), m.tolist()) == ([1.0], [0.0])
