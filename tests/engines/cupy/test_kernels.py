"""Kernels in CUDA text for single primitives: on the CPU against NumPy's, and for real devices."""

import numpy as np
import pytest

from kbackend.engine.loader import get_engine
from kbackend_cupy.codegen import contract, indexing, matrices
from kbackend_cupy.prepare import PREPARE
from tests.engines.cupy.kernels import compiled, execute, needs_text, spec
from tests.gpu_simulator import cuda_on_cpu, nvrtc, process

pytestmark = needs_text


def planned(name, expected, *arrays, **params):
    found = PREPARE[name](tuple(map(spec, arrays)), tuple(map(spec, expected)), **params)
    assert found is not None
    return found


def expected_of(name, *arrays, **params):
    with np.errstate(all="ignore"):
        out = get_engine("numpy").kernels[name](*arrays, **params)
    return [np.asarray(one) for one in (out if isinstance(out, tuple) else (out,))]


def check(name, *arrays, rtol=1e-6, atol=1e-6, **params):
    """Runs a kernel in each order of threads, and compares it with NumPy's."""
    expected = expected_of(name, *arrays, **params)
    plan = planned(name, expected, *arrays, **params)
    results = []
    for order in cuda_on_cpu.ORDERS:
        with cuda_on_cpu.order(order):
            results.append(execute(plan, [spec(one) for one in expected], arrays))
    for found in results:
        for value, first, reference in zip(found, results[0], expected, strict=True):
            assert value.dtype == reference.dtype and value.shape == reference.shape
            np.testing.assert_array_equal(value, first)
            wide = [a.astype("float64") for a in (value, reference)]
            np.testing.assert_allclose(*wide, rtol=rtol, atol=atol)
    return plan


def normal(rng, *shape, dtype="float32"):
    return np.asarray(rng.standard_normal(shape), dtype)


# ----- indexing -----


def test_gather(rng):
    x = normal(rng, 6, 5, 4)
    one, two = rng.integers(-6, 6, (3, 2)), rng.integers(-4, 4, (3, 2)).astype("int32")
    check("gather", x, one, axes=(0,))
    check("gather", x[:, ::2], two % 3, axes=(1,))
    check("gather", x, one, two, axes=(0, 2))
    check("gather", normal(rng, 6, dtype="float16"), one, axes=(0,))


def test_gathered_from_nowhere():
    x, index = np.ones((3, 2), "float32"), np.array([0, 3, -4, -3])
    plan = planned("gather", [np.zeros((4, 2), "float32")], x, index, axes=(0,))
    (found,) = execute(plan, [spec(np.zeros((4, 2), "float32"))], (x, index))
    np.testing.assert_array_equal(np.isnan(found[:, 0]), [False, True, True, False])


@pytest.mark.parametrize("mode", ["add", "mul", "max", "min", "set"])
def test_scatter(rng, mode):
    x, index = normal(rng, 5, 4, 3), rng.integers(-4, 4, 9)
    check("scatter", x, normal(rng, 9, 5, 3), index, axes=(1,), mode=mode)
    second = rng.integers(0, 3, 9)
    check("scatter", x, normal(rng, 9, 5), index, second, axes=(1, 2), mode=mode)


@pytest.mark.parametrize("mode", ["add", "mul", "max", "min", "set"])
def test_scatter_by_place(rng, mode, monkeypatch):
    # As where there are too many places to go through for each element.
    monkeypatch.setattr(indexing, "_MOST", 0)
    x, index = normal(rng, 5, 4, 150), rng.integers(-4, 4, (3, 3))
    plan = check("scatter", x, normal(rng, 3, 3, 5, 150), index, axes=(1,), mode=mode)
    assert len(plan.launches) == 2
    second = rng.integers(0, 3, 9).astype("int32")
    index = index.reshape(9)
    check("scatter", x[::2, :, ::-1][..., :3], normal(rng, 9, 3), index, second, axes=(1, 2),
          mode=mode)  # fmt: skip
    check("scatter", normal(rng, 7), normal(rng, 9), second, axes=(0,), mode=mode)
    if mode == "add":
        check("scatter", x.astype("float16"), normal(rng, 9, 5, 150).astype("float16"), index,
              axes=(1,), mode=mode, rtol=2e-3, atol=2e-3)  # fmt: skip


def test_places_out_of_range_are_left_out(rng, monkeypatch):
    x, index, updates = np.zeros((3, 2), "float32"), np.array([0, 3, -4, -3]), normal(rng, 4, 2)
    expected = np.zeros((3, 2), "float32")
    expected[0] = updates[0] + updates[3]
    for most in (indexing._MOST, 0):
        monkeypatch.setattr(indexing, "_MOST", most)
        plan = planned("scatter", [x], x, updates, index, axes=(0,), mode="add")
        (found,) = execute(plan, [spec(x)], (x, updates, index))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_place_without_its_barrier_is_seen(rng, monkeypatch):
    monkeypatch.setattr(indexing, "_MOST", 0)
    x, index = normal(rng, 3, 200), np.zeros(300, int)
    arrays = (x, normal(rng, 300, 200), index)
    expected = expected_of("scatter", *arrays, axes=(0,), mode="add")
    plan = planned("scatter", expected, *arrays, axes=(0,), mode="add")

    def fault(text):
        return text.replace("__syncthreads_or(before)", "before")

    (found,) = execute(plan, [spec(x)], arrays, change=fault)
    assert not np.allclose(found, expected[0], rtol=1e-4, atol=1e-4)


def test_scatter_of_short_numbers(rng):
    x, index = np.zeros((2, 1), "float16"), np.zeros(4000, int)
    # 0.001 is lost in float16 from 2 on, but not in float32.
    check("scatter", x, np.full((4000, 1), 0.001, "float16"), index, axes=(0,), mode="add",
          rtol=1e-3)  # fmt: skip


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_extremes(rng, name):
    x = normal(rng, 4, 7, 3).round()
    x[1, 2, 0] = x[1, 4, 0] = np.nan
    for axis in range(3):
        check(name, x, axis=axis)


# ----- random bits -----


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 1000])
def test_random_bits(width, count):
    check("random_bits", np.array([7, 11], "uint32"), shape=(count,), width=width, rtol=0, atol=0)


# ----- windows -----


WINDOWS = [
    ((9, 8), (2, 2), (2, 2), ((0, 0), (0, 0))),
    ((9, 8), (3, 3), (2, 1), ((1, 1), (0, 2))),
    ((11,), (4,), (3,), ((2, 1),)),
    ((4, 5, 6), (2, 2, 3), (2, 1, 2), ((0, 0), (1, 0), (1, 1))),
]


@pytest.mark.parametrize(("space", "window", "strides", "padding"), WINDOWS)
def test_windows(rng, space, window, strides, padding):
    how = {"window": window, "strides": strides, "padding": padding}
    x = normal(rng, 2, *space, 3).round()
    (out,) = expected_of("window_max", x, **how)
    check("window_max", x, **how)
    check("window_sum", x, **how)
    check("window_unpick", x, normal(rng, *out.shape), **how)


def test_windows_with_nan(rng):
    x = normal(rng, 1, 6, 6, 1)
    x[0, 1, 1] = x[0, 1, 2] = x[0, 0, 1] = np.nan
    x[0, 4:] = -np.inf
    how = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
    check("window_max", x, **how)
    check("window_unpick", x, normal(rng, 1, 3, 3, 1), **how)


# ----- contractions -----


CONTRACTIONS = [
    ((70, 40), (40, 66), ((1,), (0,)), ((), ())),
    ((40, 7), (40, 9), ((0,), (0,)), ((), ())),
    ((3, 8, 2, 5), (3, 6, 2, 5), ((3,), (3,)), ((0, 2), (0, 2))),
    ((3, 2, 8, 5), (2, 5, 7), ((1, 3), (0, 1)), ((), ())),
    ((4, 6, 8), (4, 8, 5, 6), ((0, 1), (0, 3)), ((), ())),
    ((5000, 3), (5000, 4), ((0,), (0,)), ((), ())),
    ((6,), (6,), ((0,), (0,)), ((), ())),
]


@pytest.fixture(params=["in tiles", "by element"])
def little(request, monkeypatch):
    """Both kernels for products, whatever their size."""
    most = {"in tiles": 0, "by element": 1 << 20}[request.param]
    monkeypatch.setattr(contract, "_LITTLE", most)


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize(("x", "y", "pairs", "batch"), CONTRACTIONS)
def test_contractions(rng, x, y, pairs, batch):
    # Sums of thousands of products in another order.
    check("dot", normal(rng, *x), normal(rng, *y), contract=pairs, batch=batch, rtol=1e-5,
          atol=1e-4)  # fmt: skip


@pytest.mark.usefixtures("little")
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_contractions_of_other_dtypes(rng, dtype):
    x, y = normal(rng, 9, 20, dtype=dtype), normal(rng, 20, 5, dtype=dtype)
    tolerance = 2e-3 if dtype == "float16" else 1e-12
    check("dot", x.T.copy().T, y, contract=((1,), (0,)), batch=((), ()), rtol=tolerance,
          atol=tolerance)  # fmt: skip


# ----- convolutions -----


CONVOLUTIONS = [
    ((2, 8, 9, 3), (3, 3, 3, 5), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    ((2, 9, 8, 4), (3, 2, 4, 6), (2, 2), ((0, 1), (1, 0)), (1, 1), 1),
    ((1, 10, 10, 4), (3, 3, 2, 6), (1, 1), ((2, 2), (2, 2)), (2, 2), 2),
    ((2, 12, 3), (4, 3, 7), (3,), ((2, 1),), (1,), 1),
    ((1, 4, 5, 6, 2), (2, 2, 2, 2, 3), (1, 2, 1), ((0, 0), (1, 1), (0, 1)), (1, 1, 1), 1),
    ((4, 16, 16, 2), (1, 1, 2, 3), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
]


@pytest.mark.parametrize(("x", "w", "strides", "padding", "dilation", "groups"), CONVOLUTIONS)
def test_convolutions(rng, x, w, strides, padding, dilation, groups):
    how = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    space, window = x[1:-1], w[:-2]
    x, w = normal(rng, *x), normal(rng, *w)
    (out,) = expected_of("conv", x, w, **how)
    g = normal(rng, *out.shape)
    tolerance = {"rtol": 1e-5, "atol": 2e-5}
    check("conv", x, w, **tolerance, **how)
    check("conv_input_grad", g, w, space=space, **tolerance, **how)
    check("conv_filter_grad", x, g, window=window, **tolerance, **how)


def test_long_sums_in_shares(rng):
    how = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    x, g = normal(rng, 3, 16, 16, 2), normal(rng, 3, 16, 16, 3)
    plan = check("conv_filter_grad", x, g, window=(3, 3), rtol=1e-5, atol=1e-4, **how)
    # The blocks add up their shares themselves.
    assert len(plan.launches) == 1 and plan.tickets


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-11)])
@pytest.mark.parametrize("shares", [2, 3, 5, 8, 13])
def test_how_shares_are_added_up(rng, dtype, tolerance, shares, monkeypatch):
    # In trees of any number of leaves: for tiles that are whole, and at the edges.
    monkeypatch.setattr(matrices, "_SHORTEST", 8)
    monkeypatch.setattr(matrices, "_SHARES", shares)
    monkeypatch.setattr(matrices, "_PAIR", 0)
    monkeypatch.setattr(matrices, "_PARTIAL", 0)
    inner = shares * 64
    x, y = normal(rng, inner, 40, dtype=dtype), normal(rng, inner, 37, dtype=dtype)
    how = {"contract": ((0,), (0,)), "batch": ((), ()), "rtol": 1e-5, "atol": tolerance}
    plan = check("dot", x, y, **how)
    (partial,) = plan.scratch
    assert partial.shape[0] == shares and plan.tickets == (shares - 1) * partial.shape[1]


# ----- movement -----


def test_concatenate(rng):
    x = normal(rng, 4, 6)
    check("concatenate", x, x[:, :2], x[:, ::-1], axis=1)
    check("concatenate", x, np.broadcast_to(x[:1], (3, 6)), axis=0)


# ----- real devices -----


def examples():
    rng = np.random.default_rng(0)
    how = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    x, w = normal(rng, 1, 32, 32, 32), normal(rng, 3, 3, 32, 32)
    pool = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0), (0, 0))}
    index = rng.integers(0, 32, 100)
    return {
        "conv": ((x, w), how),
        "conv_input_grad": ((x, w), {"space": (32, 32), **how}),
        "conv_filter_grad": ((x, x), {"window": (3, 3), **how}),
        "window_max": ((x,), pool),
        "window_unpick": ((x, x[:, ::2, ::2].copy()), pool),
        "dot": ((x[0], x[0]), {"contract": ((0, 2), (0, 2)), "batch": ((), ())}),
        "random_bits": ((np.array([1, 2], "uint32"),), {"shape": (100,), "width": 32}),
        "gather": ((x[0], index), {"axes": (1,)}),
        "scatter": ((x[0], normal(rng, 100, 32, 32), index), {"axes": (1,), "mode": "add"}),
        "concatenate": ((x, x), {"axis": 1}),
        "argmax": ((x,), {"axis": 3}),
    }


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("name", examples())
def test_budgets(name, architecture):
    arrays, params = examples()[name]
    plan = planned(name, expected_of(name, *arrays, **params), *arrays, **params)
    for launch in plan.launches:
        used = compiled(launch.text, architecture)[launch.name]
        # 168 registers and 20 KiB let a multiprocessor hold 384 threads of a product, which have 64
        # sums each; all others keep to 64.
        assert used.spilled == 0
        assert used.registers <= (168 if used.shared else 64)
        assert used.shared <= 20480


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_budget_of_a_scatter_by_place(rng, dtype, architecture, monkeypatch):
    monkeypatch.setattr(indexing, "_MOST", 0)
    x, index = normal(rng, 50, 64, dtype=dtype), rng.integers(0, 50, 100)
    plan = planned("scatter", [x], x, normal(rng, 100, 64, dtype=dtype), index, axes=(0,),
                   mode="add")  # fmt: skip
    for launch in plan.launches:
        used = compiled(launch.text, architecture)[launch.name]
        assert used.spilled == 0 and used.registers <= 64 and used.shared <= 1024


@pytest.mark.parametrize("number", [0, 1])
def test_a_product_without_a_barrier_is_seen(rng, number):
    x, y = normal(rng, 64, 64), normal(rng, 64, 64)
    params = {"contract": ((1,), (0,)), "batch": ((), ())}
    expected = expected_of("dot", x, y, **params)
    plan = planned("dot", expected, x, y, **params)

    def fault(text):
        parts = text.split("__syncthreads();")
        parts[number : number + 2] = [parts[number] + parts[number + 1]]
        return "__syncthreads();".join(parts)

    wrong = 0
    for order in cuda_on_cpu.ORDERS:
        with cuda_on_cpu.order(order):
            (found,) = execute(plan, [spec(expected[0])], (x, y), change=fault)
        wrong += not np.allclose(found, expected[0], rtol=1e-4, atol=1e-4)
    assert wrong


SANITIZED = """
import sys
import numpy as np
from tests.engines.cupy import kernels, test_kernels
fault = (lambda text: text.replace(sys.argv[2], sys.argv[3])) if len(sys.argv) > 2 else None
kernels.garbage = lambda given: np.empty(given.shape, given.dtype)
flags = ("-O1", "-g1", "-fsanitize=address")
for name, (arrays, params) in test_kernels.small_examples().items():
    if sys.argv[1] in ("all", name):
        expected = test_kernels.expected_of(name, *arrays, **params)
        plan = test_kernels.planned(name, expected, *arrays, **params)
        specs = [kernels.spec(one) for one in expected]
        kernels.execute(plan, specs, arrays, change=fault, flags=flags)
print("done")
"""


def small_examples():
    """As `examples`, of sizes that leave tiles and blocks incomplete."""
    rng = np.random.default_rng(0)
    how = {"strides": (1, 2), "padding": ((1, 0), (1, 1)), "dilation": (1, 1), "groups": 1}
    x, w = normal(rng, 2, 7, 5, 3), normal(rng, 3, 3, 3, 4)
    (out,) = expected_of("conv", x, w, **how)
    pool = {"window": (3, 2), "strides": (2, 2), "padding": ((1, 1), (0, 1))}
    (pooled,) = expected_of("window_max", x, **pool)
    index = rng.integers(-5, 5, 11)
    return {
        "conv": ((x, w), how),
        "conv_input_grad": ((out, w), {"space": (7, 5), **how}),
        "conv_filter_grad": ((x, out), {"window": (3, 3), **how}),
        "window_max": ((x,), pool),
        "window_unpick": ((x, pooled), pool),
        "random_bits": ((np.array([1, 2], "uint32"),), {"shape": (13,), "width": 32}),
        "gather": ((x, index), {"axes": (2,)}),
        "scatter": ((x, normal(rng, 11, 2, 7, 3), index), {"axes": (2,), "mode": "add"}),
        "concatenate": ((x, x[:, :2].copy()), {"axis": 1}),
        "argmax": ((x,), {"axis": 2}),
    }


def test_no_access_out_of_bounds():
    done = process.sanitized(SANITIZED, "all")
    assert done.returncode == 0 and "done" in done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("conv", ">= 5) return", "> 5) return"),
        ("conv_filter_grad", "if (row >= rows ||", "if (row > rows ||"),
        ("window_max", ">= 7) continue", "> 7) continue"),
        ("random_bits", "i < 13u", "i <= 13u"),
        ("concatenate", "at < n", "at <= n"),
    ],
)
def test_an_access_out_of_bounds_is_seen(name, right, wrong):
    done = process.sanitized(SANITIZED, name, right, wrong)
    assert done.returncode != 0 and "AddressSanitizer" in done.stderr, done.stderr[-3000:]
