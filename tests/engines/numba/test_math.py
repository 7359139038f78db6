"""Compiled functions of floats against a wider dtype, over their whole range."""

import math

import llvmlite.binding as llvm
import numpy as np
import pytest

from kbackend.engine.program import Spec
from kbackend_numba import table
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import object_code
from kbackend_numba.codegen.elementwise import OPERATIONS
from kbackend_numba.codegen.target import describe
from tests.engines.numpy_prepared.harness import garbage, spec

WIDER = {"float32": "float64", "float64": "longdouble"}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 2.5]
SPECIAL += [1e-45, -1e-45, 1.17549435e-38, 3.4028235e38, -3.4028235e38, 88.72, 88.73, -87.3, -103.9]
SPECIAL += [1e10, 16777215.0]


def evaluate(name, *arrays, **params):
    """An operation's results."""
    out = Spec(arrays[0].shape, arrays[0].dtype.name)
    ready = table.prepare(name, tuple(map(spec, arrays)), (out,), params)
    assert ready is not None, "declined"
    made = garbage(out)
    ready.run(made, *arrays)
    return made


def worst(found, wanted):
    """The greatest error, in units of the last place that `found` has at the wanted value."""
    dtype = found.dtype
    with np.errstate(all="ignore"):
        rounded = wanted.astype(dtype)
        unit = np.spacing(np.abs(rounded)).astype(wanted.dtype)
        # Beyond the greatest number there is none.
        unit = np.where(np.isfinite(unit), unit, np.spacing(np.finfo(dtype).max))
        errors = np.abs(found.astype(wanted.dtype) - wanted) / unit
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    errors = np.where(same, 0.0, np.where(np.isnan(errors), np.inf, errors))
    return float(np.max(errors, initial=0.0))


def anywhere(rng, dtype, count=100_000):
    """Numbers of all magnitudes, infinities and NaN among them."""
    bits = {"float32": "uint32", "float64": "uint64"}[dtype]
    return rng.integers(0, 2 ** (8 * np.dtype(bits).itemsize), count, dtype=bits).view(dtype)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def erf(x):
    return np.vectorize(math.erf, otypes=["float64"])(x)


# The function, ranges where most of it happens, and units in the last place that it may be off.
FUNCTIONS = {
    "exp": (np.exp, [(-105, 90), (-1, 1)], 1.0),
    "expm1": (np.expm1, [(-20, 90), (-1, 1), (-1e-3, 1e-3)], 2.0),
    "log": (np.log, [(0, 2), (0, 1e4)], 1.0),
    "log1p": (np.log1p, [(-1, 2), (0, 1e4), (-1e-3, 1e-3)], 2.0),
    "tanh": (np.tanh, [(-10, 10), (-1, 1), (-1e-3, 1e-3)], 3.0),
    "sigmoid": (sigmoid, [(-100, 20), (-1, 1)], 2.5),
    "sin": (np.sin, [(-7, 7), (-1e3, 1e3), (-1e6, 1e6)], 2.0),
    "cos": (np.cos, [(-7, 7), (-1e3, 1e3), (-1e6, 1e6)], 2.0),
    "rsqrt": (lambda x: 1 / np.sqrt(x), [(0, 1e3)], 1.5),
    "sqrt": (np.sqrt, [(0, 1e3)], 0.5),
    "erf": (erf, [(-5, 5), (-1, 1), (-1e-3, 1e-3)], 3.0),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    # What the C library makes of float64 there is nothing wider to compare with.
    [(n, d) for n in FUNCTIONS for d in WIDER if (n, d) != ("erf", "float64")],
)
def test_functions_of_one_number(name, dtype, rng):
    reference, ranges, limit = FUNCTIONS[name]
    samples = [anywhere(rng, dtype), np.array(SPECIAL, dtype)]
    samples += [rng.uniform(low, high, 50_000).astype(dtype) for low, high in ranges]
    for x in samples:
        with np.errstate(all="ignore"):
            wanted = reference(x.astype(WIDER[dtype]))
        assert worst(evaluate(name, x), wanted) <= limit
    zeros = np.array([0.0, -0.0], dtype)
    with np.errstate(all="ignore"):
        signs = np.signbit(reference(zeros))
    np.testing.assert_array_equal(np.signbit(evaluate(name, zeros)), signs)


@pytest.mark.parametrize(
    ("name", "reference", "ranges", "limit"),
    [
        (
            "pow",
            np.power,
            [((0, 10), (-5, 5)), ((0, 2), (-100, 100)), ((0.9, 1.1), (-800, 800))],
            1,
        ),
        ("atan2", np.arctan2, [((-1, 1), (-1, 1)), ((-1e3, 1e3), (-1, 1))], 3),
        ("div", np.divide, [((-10, 10), (-3, 3))], 0.5),
        ("mod", np.remainder, [((-10, 10), (-3, 3))], 0.5),
    ],
)
def test_functions_of_two_numbers(name, reference, ranges, limit, rng):
    x, y = (np.ascontiguousarray(a.reshape(-1)) for a in np.meshgrid(*[np.array(SPECIAL, "f")] * 2))
    pairs = [(x, y), (anywhere(rng, "float32"), anywhere(rng, "float32"))]
    pairs += [tuple(rng.uniform(*r, 50_000).astype("float32") for r in both) for both in ranges]
    for x, y in pairs:
        with np.errstate(all="ignore"):
            wanted = reference(x.astype("float64"), y.astype("float64"))
        assert worst(evaluate(name, x, y), wanted) <= limit


def test_signs_of_zeros_and_angles(rng):
    values = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf], "float32")
    x, y = (np.ascontiguousarray(a.reshape(-1)) for a in np.meshgrid(values, values))
    for name, reference in [("atan2", np.arctan2), ("pow", np.power), ("mod", np.remainder)]:
        with np.errstate(all="ignore"):
            wanted = reference(x, y)
        found = evaluate(name, x, y)
        numbers = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(wanted)[numbers])


# Without parameters and conditions.
PLAIN = [
    name
    for name, made in OPERATIONS.items()
    if "float32" in made.dtypes and name != "select" and not made.write.__code__.co_kwonlyargcount
]


@pytest.mark.parametrize(
    ("triple", "features"),
    [
        ("x86_64-unknown-linux-gnu", "+avx512f,+avx512vl,+avx512dq,+avx512bw"),
        ("x86_64-unknown-linux-gnu", "+avx2,+fma"),
        ("x86_64-unknown-linux-gnu", ""),
        ("aarch64-unknown-linux-gnu", "+neon"),
    ],
)
def test_code_for_other_processors(triple, features):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = describe(triple, "", features)

    def make():
        code = Code("other", target)
        for i, name in enumerate(PLAIN):
            write = OPERATIONS[name].write
            count = write.__code__.co_argcount - 1
            values = [code.load(code.array(j), 0, "float32", code.lanes) for j in range(count)]
            code.store(write(code, *values), code.array(3 + i), 0)
        return code.finish()

    assert object_code(make, target)
