"""The checks themselves: planted faults must be found."""

import numpy as np
import pytest

import kbackend as kb
from kbackend.engine.interface import Kernel
from kbackend.engine.loader import register_engine
from kbackend.testing import SPECS, check_grads
from kbackend.testing.conformance import _cases_of, conformance_cases
from kbackend_numpy.engine import NumpyEngine

_X = np.linspace(0.5, 1.5, 4)


def _cube(factor, second):
    """x^3 with a gradient that is off by `factor`, and a second one off by `second`."""

    @kb.custom_gradient
    def slope(x):
        return 3.0 * x * x * factor, lambda g: g * 6.0 * x * second

    @kb.custom_gradient
    def cube(x):
        return x * x * x, lambda g: g * slope(x)

    return cube


def test_check_grads_accepts_what_is_right():
    check_grads(_cube(1.0, 1.0), [_X], order=2)


def test_check_grads_finds_a_wrong_first_derivative():
    with pytest.raises(AssertionError, match="order 1, argument 0"):
        check_grads(_cube(1.001, 1.0), [_X])


def test_check_grads_finds_a_wrong_second_derivative():
    check_grads(_cube(1.0, 1.001), [_X], order=1)
    with pytest.raises(AssertionError, match="order 2"):
        check_grads(_cube(1.0, 1.001), [_X], order=2)


def test_check_grads_names_the_argument():
    @kb.custom_gradient
    def product(x, y):
        return x * y, lambda g: (g * y, g * y)

    with pytest.raises(AssertionError, match="order 1, argument 1"):
        check_grads(product, [_X, _X + 1.0])


def _failures(primitive, fn):
    """The cases of one primitive that fail with `fn` as its kernel."""

    class Faulty(NumpyEngine):
        name = "faulty"

        def __init__(self):
            super().__init__()
            self.table[primitive] = Kernel(fn)
            self.kernels[primitive] = fn

    register_engine("faulty", Faulty)
    failed = []
    for case in _cases_of(SPECS[primitive], "faulty"):
        try:
            case()
        except Exception:
            failed.append(case.name)
    return failed


def test_conformance_accepts_the_right_kernel():
    assert _failures("tanh", np.tanh) == []


def test_conformance_finds_a_wrong_dtype():
    assert "tanh-float32-value" in _failures("tanh", lambda x: np.tanh(x.astype("float64")))


def test_conformance_finds_a_wrong_shape():
    assert "add-float32-value" in _failures("add", lambda x, y: np.add(x, y).ravel())


def test_conformance_finds_a_change_of_the_input():
    def in_place(x):
        np.tanh(x, out=x)
        return x

    assert "tanh-purity" in _failures("tanh", in_place)


def test_conformance_finds_a_dependence_on_strides():
    def by_buffer(x):
        return np.tanh(
            np.ndarray(x.shape, x.dtype, np.ascontiguousarray(x.base).tobytes())
            if x.base is not None and not x.flags.c_contiguous
            else x
        )

    assert "tanh-layout" in _failures("tanh", by_buffer)


def test_conformance_finds_a_missing_kernel():
    class Lacking(NumpyEngine):
        name = "lacking"

        def __init__(self):
            super().__init__()
            del self.table["erf"]

    register_engine("lacking", Lacking)
    complete = conformance_cases("lacking")[0]
    assert str(complete) == "table-complete"
    with pytest.raises(AssertionError, match="lacks kernels for.*'erf'"):
        complete()
