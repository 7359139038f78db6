"""Compiled elementwise primitives and composites against NumPy's kernels."""

import numpy as np
import pytest

from kbackend.testing.specs import SPECS
from kbackend_numba.codegen.elementwise import OPERATIONS
from tests.engines.numba.harness import check, prepared, reference

DTYPES = sorted(OPERATIONS["add"].dtypes)
WIDE = ("float32", "float64")
# Units in the last place that both engines may be off, as `test_math` has them for this one.
TOLERANCE = {"float32": 8e-7, "float64": 2e-15}
PRIMITIVES = [name for name in OPERATIONS if name in SPECS]
# Of few significant digits near 0, where the sum of both engines' errors shows.
ABSOLUTE = {"float32": 1e-7, "float64": 1e-16}


def tolerances(name, dtype):
    exact = dtype not in WIDE or name in EXACT
    return {} if exact else {"rtol": TOLERANCE[dtype], "atol": ABSOLUTE[dtype]}


EXACT = {
    "neg", "abs", "sign", "floor", "ceil", "round", "isfinite", "add", "sub", "mul", "div", "eq",
    "ne", "lt", "le", "maximum", "minimum", "select", "cast", "bitcast", "sqrt", "mod",
    "floor_divide",
}  # fmt: skip


@pytest.mark.parametrize("name", PRIMITIVES)
def test_every_dtype(name):
    row = SPECS[name]
    tried = 0
    for dtype in row.dtypes:
        if dtype not in OPERATIONS[name].dtypes:
            continue
        for original in row.samples(row.rng()):
            sample = row.cast(original, dtype)
            if not sample.args[0].size or (name == "pow" and dtype not in WIDE):
                continue
            args = [np.asarray(arg) for arg in sample.args]
            check(name, args, sample.params, **tolerances(name, dtype))
            tried += 1
    for args in row.special:
        check(name, [np.asarray(a) for a in args], {}, **tolerances(name, "float32"))
    assert tried


@pytest.mark.parametrize("dtype", [name for name in DTYPES if "int" in name])
def test_integers_at_their_ends(dtype):
    info = np.iinfo(dtype)
    ends = [info.min, info.min + 1, 0, 1, 2, 7, info.max - 1, info.max]
    ends += [-1, -2, -7] if info.min else []
    x, y = (a.reshape(-1) for a in np.meshgrid(*[np.array(ends, dtype)] * 2))
    names = "add sub mul floor_divide mod maximum minimum bitwise_and bitwise_or bitwise_xor"
    for name in (*names.split(), "shift_left", "shift_right", "eq", "ne", "lt", "le"):
        check(name, [x, y])
    for name in ("neg", "abs", "sign"):
        check(name, [x])


@pytest.mark.parametrize("given", DTYPES)
def test_casts(given):
    x = np.array([0, 1, 2, 100, 127, 0.5, 99.9, 1e-3]).astype(given)
    for wanted in DTYPES:
        check("cast", [x], {"dtype": wanted})
    if given.startswith(("float", "int")):
        for wanted in ("float32", "float64", "int8", "int64", "bool"):
            check("cast", [-x], {"dtype": wanted})


def test_casts_of_what_is_no_number():
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45], "float32")
    check("cast", [x], {"dtype": "bool"})
    check("cast", [x], {"dtype": "float64"})
    check("cast", [np.array([1e300, -1e300, np.nan, 1e-320])], {"dtype": "float32"})


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.0, 30.0, -30.0, 100.0, -100.0]


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize(
    ("name", "params", "count"),
    [
        ("relu", {}, 1),
        ("relu_grad", {}, 2),
        ("softplus", {}, 1),
        ("softplus_grad", {}, 2),
        ("silu", {}, 1),
        ("silu_grad", {}, 3),
        ("gelu", {"approximate": True}, 1),
        ("gelu", {"approximate": False}, 1),
        ("gelu_grad", {"approximate": True}, 3),
        ("gelu_grad", {"approximate": False}, 3),
    ],
)
def test_composites(name, params, count, dtype, rng):
    x = np.concatenate([np.array(SPECIAL), 3 * rng.standard_normal(500)]).astype(dtype)
    g = rng.standard_normal(x.shape).astype(dtype)
    arrays = [x] if count == 1 else [g, x]
    if count == 3:
        # What the forward kernel has given.
        arrays = [g, reference(name.removesuffix("_grad"), [x], params)[0], x]
    # Sums of a few rounded terms of the size of 1; NumPy takes the distribution function from the
    # result, which near 0 costs it some digits.
    tolerance = 3e-6 if dtype == "float32" else 1e-14
    check(name, arrays, params, rtol=tolerance, atol=tolerance)


def test_masked_scale(rng):
    x, keep = np.array(SPECIAL * 9, "float32"), rng.random(99) < 0.5
    check("masked_scale", [x, keep], {"scale": 1.25})
    check("masked_scale", [x[:1], keep], {"scale": 1.25})


def test_what_is_declined(rng):
    # They would be rounded twice, by way of float32.
    for wide in ("float64", "int32", "int64", "uint32", "uint64"):
        x = np.ones(3, wide)
        assert prepared("cast", [x], [x.astype("float16")], {"dtype": "float16"}) is None
    whole = np.arange(3)
    assert prepared("pow", [whole, whole], [whole], {}) is None
