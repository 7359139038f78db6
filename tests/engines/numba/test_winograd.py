"""Winograd's method: its matrices, its exactness, and when it is taken."""

from fractions import Fraction
from types import SimpleNamespace

import llvmlite.binding as llvm
import numpy as np
import pytest

from kbackend.base.errors import ConfigError
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import object_code
from kbackend_numba.codegen.target import describe, host
from kbackend_numba.codegen.winograd import POINTS, applied, short, transposed
from kbackend_numba.kernels import conv, conv_direct, conv_filter, winograd_filter
from tests.engines.numba import harness
from tests.engines.numba.test_conv import CASES, calls

VARIABLE = "KBACKEND_CONVOLUTION"
LARGE = ((17, 22), 48, 64, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)


class Exact(Fraction):
    """A number of the code that is written, which computes at once."""

    def __add__(self, other):
        return Exact(Fraction(self) + Fraction(other))

    def __sub__(self, other):
        return Exact(Fraction(self) - Fraction(other))

    def __mul__(self, other):
        return Exact(Fraction(self) * Fraction(other).limit_denominator(1000))

    def __neg__(self):
        return Exact(-Fraction(self))


# Factors come as floats.
EXACT = SimpleNamespace(fma=lambda a, b, c: a * b + c)


def product(matrix, values):
    return [sum(a * b for a, b in zip(row, values, strict=True)) for row in matrix]


@pytest.mark.parametrize("m", POINTS)
def test_matrices_make_a_correlation(m):
    made = short(m)
    x = [Fraction(3 * i * i - 5, 2) for i in range(m + 2)]
    w = [Fraction(2), Fraction(-3), Fraction(7)]
    a, b = product(made.filters, w), product(made.data, x)
    y = product(made.output, [p * q for p, q in zip(a, b, strict=True)])
    assert y == [sum(x[i + k] * w[k] for k in range(3)) for i in range(m)]


@pytest.mark.parametrize("m", POINTS)
def test_shared_sums_are_the_product(m):
    made = short(m)
    matrices = [made.output, made.filters, made.data]
    for matrix in [*matrices, *map(transposed, matrices)]:
        values = [Exact(2 * i * i - 3, i + 1) for i in range(len(matrix[0]))]
        assert applied(EXACT, matrix, values) == product(matrix, values)


def kernels(ready):
    return {call.function.key[0] for call in ready.calls}


def prepared(case, batch):
    """Name, inputs, parameters, what NumPy computes from float64, and the kernel."""
    for name, inputs, params in calls(case, batch):
        exact = [a.astype("float64") for a in inputs]
        (wanted,) = harness.reference(name, exact, params)
        ready = harness.prepared(name, inputs, [wanted.astype("float32")], params)
        yield name, inputs, params, wanted, ready


# Roundings, in units of 2^-24 of the largest result. The direct method makes some 10 of them here.
@pytest.mark.parametrize(("method", "most"), [("fast", 100), ("exact", 30), ("direct", 30)])
def test_methods(method, most, monkeypatch):
    monkeypatch.setenv(VARIABLE, method)
    for _, inputs, _, wanted, ready in prepared(LARGE, 6):
        # Whether the exact one pays depends on the processor, and with short vectors the fast one.
        if method == "direct" or method == "fast" and host().width >= 32:
            assert any("winograd" in key for key in kernels(ready)) == (method == "fast")
        found = np.full(wanted.shape, np.nan, "float32")
        scratch = [harness.garbage(spec) for spec in ready.scratch]
        ready.run(found, *inputs, *scratch)
        assert np.abs(found - wanted).max() <= most * 2.0**-24 * np.abs(wanted).max()
        pieces = np.full(wanted.shape, np.nan, "float32")
        harness.item_by_item(ready, [pieces, *inputs, *scratch])
        np.testing.assert_array_equal(pieces, found)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(value):
    for name, inputs, params, _, ready in prepared(LARGE, 6):
        for i in range(2):
            spoilt = [a.copy() for a in inputs]
            spoilt[i].flat[7] = value
            (wanted,) = harness.reference(name, spoilt, params)
            found = np.zeros_like(wanted)
            ready.run(found, *spoilt, *map(harness.garbage, ready.scratch))
            # It spreads over tiles, but never gets lost.
            assert not np.isfinite(found[~np.isfinite(wanted)]).any()


def test_rows_and_columns_left_over():
    """They are strips of their own; with an ending as well, see `test_conv_ending`."""
    for size in ((13, 17), (13, 16), (16, 21)):
        case = (size, *LARGE[1:])
        for name, inputs, _, wanted, ready in prepared(case, 4):
            count = sum(call.function.key[0] == "correlation" for call in ready.calls)
            strips = 0 if name == "conv_filter_grad" else sum(n % 4 == 1 for n in size)
            assert count == strips
            found = np.full(wanted.shape, np.nan, "float32")
            ready.run(found, *inputs, *map(harness.garbage, ready.scratch))
            assert np.abs(found - wanted).max() <= 100 * 2.0**-24 * np.abs(wanted).max()


def test_few_positions_take_the_direct_method():
    for _, _, _, _, ready in prepared(((4, 4), 128, 128, *LARGE[3:]), 1):
        assert not any("winograd" in key for key in kernels(ready))


def test_a_batch_of_another_size_compiles_nothing():
    many, few = (
        [{call.function.key for call in ready.calls} for *_, ready in prepared(LARGE, batch)]
        for batch in (6, 5)
    )
    assert many == few


def test_a_wrong_setting(monkeypatch):
    monkeypatch.setenv(VARIABLE, "quick")
    with pytest.raises(ConfigError, match="must be one of fast, exact, direct"):
        list(prepared(LARGE, 6))


@pytest.mark.parametrize(
    ("triple", "features"),
    [
        ("x86_64-unknown-linux-gnu", "+avx2,+fma"),
        ("x86_64-unknown-linux-gnu", ""),
        ("aarch64-unknown-linux-gnu", "+neon"),
    ],
)
def test_code_for_other_processors(triple, features, monkeypatch):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = describe(triple, "", features)
    for module in (conv, conv_direct, conv_filter, winograd_filter):
        monkeypatch.setattr(module, "host", lambda: target)
    functions = {}
    for case in (CASES["odd channels"], CASES["depthwise"], LARGE):
        for *_, ready in prepared(case, 6):
            functions |= {call.function.key: call.function for call in ready.calls}
    assert any("winograd" in key[0] for key in functions)
    for function in functions.values():

        def module(function=function):
            code = Code("other", target)
            function._write(code)
            return code.finish()

        assert object_code(module, target)
