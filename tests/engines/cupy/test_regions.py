"""Fused regions as CUDA kernels: run on the CPU, compiled for real devices, and with faults."""

import re

import numpy as np
import pytest

from kbackend.base.dtypes import numpy_dtype
from kbackend.engine.interpreter import region_function
from kbackend.engine.loader import get_engine
from kbackend.engine.program import Node, Region, Spec
from kbackend_cupy.codegen.region import plan
from tests.engines.cupy import regions
from tests.engines.cupy.kernels import compiled, execute, needs_text, spec
from tests.engines.cupy.regions import check, layer_norm, product, softmax, specs_of, sums
from tests.gpu_simulator import cuda_on_cpu, nvrtc, process

pytestmark = needs_text

FLOAT = "float32"


def normal(rng, *shape):
    return rng.standard_normal(shape).astype(FLOAT)


# ----- rows -----


# Below a warp, a warp, several elements for each thread, several warps, several passes over memory.
@pytest.mark.parametrize("length", [1, 10, 32, 64, 300, 5000])
def test_softmax(rng, length):
    check(softmax(7, length), normal(rng, 7, length), rtol=1e-5)


def test_softmax_of_extremes():
    x = np.array([[np.inf, 1], [-np.inf, -np.inf], [np.nan, 0], [1e30, -1e30]], FLOAT)
    check(softmax(4, 2), x)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_numbers(rng, dtype):
    x = normal(rng, 5, 40).astype(numpy_dtype(dtype))
    # Each operation is rounded; NumPy's bfloat16 adds up in another order.
    check(softmax(5, 40, dtype), x, rtol=0.02, atol=0.004)


@pytest.mark.parametrize("length", [12, 700, 6000])
def test_layer_norm(rng, length):
    region = layer_norm(5, length)
    scalars = [np.asarray(region.known[i], FLOAT) for i in (2, 3)]
    check(region, normal(rng, 5, length) + 1, normal(rng, length), *scalars, rtol=2e-5, atol=2e-5)


# ----- other reductions -----


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((100, 33), (0,)),
        ((9000, 40), (0,)),
        ((200, 30), (0, 1)),
        ((9, 4, 4, 6), (0, 1, 2)),
        ((6, 5, 70), (0, 2)),
        ((6, 50, 7), (1,)),
        ((4, 20000), (1,)),
        ((5,), (0,)),
        ((3, 1), (1,)),
        ((1, 4), (0,)),
    ],
)
@pytest.mark.parametrize("keepdims", [False, True])
def test_sums(rng, shape, axes, keepdims):
    if keepdims and np.prod(shape) > 5000:
        pytest.skip("the same kernel")
    check(sums(shape, axes, keepdims), normal(rng, *shape), rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint64", "float64"])
def test_sums_of_other_dtypes(rng, dtype):
    x = rng.integers(0, 5, (30, 9)).astype(dtype)
    check(sums((30, 9), (0,), dtype=dtype), x)
    check(sums((30, 9), (1,), dtype=dtype), x)


def test_nan_stays(rng):
    x = normal(rng, 40, 9)
    x[3, 2] = np.nan
    for axes in ((0,), (1,), (0, 1)):
        check(sums((40, 9), axes), x, rtol=1e-5, atol=1e-5)


# ----- elementwise -----


def layouts(rng):
    a, b = normal(rng, 6, 8), normal(rng, 8)
    return {
        "rows": (a, b, (6, 8)),
        "not in packs": (a[:, 1:6], b[:5], (6, 5)),
        "transposed": (a.T, b[:6], (8, 6)),
        "reversed": (a[::-1, ::2], b[::2], (6, 4)),
        "not aligned": (a.reshape(-1)[1:], b[:1], (47,)),
        "scalars": (np.asarray(a[0, 0]), np.asarray(b[0]), ()),
        "columns": (a[:, :1], b, (6, 8)),
        "none": (a[:0], b, (0, 8)),
    }


@pytest.mark.parametrize("name", layouts(np.random.default_rng(0)))
def test_layouts(rng, name):
    x, y, shape = layouts(rng)[name]
    check(product(x, y, shape), x, y)


SAMPLES = {
    "float32": [0.0, -0.0, 1.5, -2.5, 0.3, -0.7, 3e38, 1e-40, np.inf, -np.inf, np.nan, 7.0],
    "float64": [0.0, -0.0, 1.5, -2.5, 0.3, -0.7, 1e300, 1e-310, np.inf, -np.inf, np.nan, 7.0],
    "float16": [0.0, -0.0, 1.5, -2.5, 0.3, -0.7, 6e4, 1e-6, np.inf, -np.inf, np.nan, 7.0],
    "int32": [0, 1, -1, 7, -7, 3, -3, 2**31 - 1, -(2**31), 31, 32, 100],
    "uint8": [0, 1, 255, 7, 8, 3, 128, 127, 2, 31, 32, 100],
    "bool": [0, 1],
}
UNARY = ("neg", "abs", "sign", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos",
         "tanh", "sigmoid", "floor", "ceil", "round", "isfinite", "erf")  # fmt: skip
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "mod", "floor_divide", "pow", "atan2",
          "eq", "ne", "lt", "le", "bitwise_and", "bitwise_or", "bitwise_xor", "shift_left",
          "shift_right")  # fmt: skip
ANSWERS_BOOL = ("isfinite", "eq", "ne", "lt", "le")


def every_operation(dtype):
    """One region of all operations that take a dtype, and arguments in all combinations."""
    samples = np.array(SAMPLES[dtype]).astype(numpy_dtype(dtype))
    x, y = (a.reshape(-1).copy() for a in np.meshgrid(samples, samples))
    given = spec(x)
    nodes = []
    for names, inputs in ((UNARY, (0,)), (BINARY, (0, 1))):
        for name in names:
            out = "bool" if name in ANSWERS_BOOL else dtype
            node = Node(name, inputs, {}, Spec(given.shape, out))
            if plan(Region((given, given), (node,), (2,), given.shape), (given, given)):
                nodes.append(node)
    for wanted in ("float32", "int32", "bool", "uint8", "float16"):
        if dtype.startswith("float") and wanted in ("int32", "uint8"):
            continue  # infinities are no integers
        nodes.append(Node("cast", (0,), {"dtype": wanted}, Spec(given.shape, wanted)))
    outputs = tuple(range(2, 2 + len(nodes)))
    return Region((given, given), tuple(nodes), outputs, given.shape), x, y


@pytest.mark.parametrize("dtype", SAMPLES)
def test_every_operation(dtype):
    region, x, y = every_operation(dtype)
    found = execute(plan(region, (spec(x), spec(y))), specs_of(region), (x, y))
    with np.errstate(all="ignore"):
        expected = region_function(get_engine("numpy"), region)(x, y)
    for node, one, reference in zip(region.nodes, found, expected, strict=True):
        # Functions of libraries differ by a few units in the last place; NumPy computes those of
        # float16 in float16.
        tolerance = {"float16": 2e-3, "float32": 1e-6}.get(dtype, 1e-12)
        atol = 1e-7 if node.name in ("sin", "cos") else 0
        if node.name in ("sin", "cos") and dtype != "float16":
            small = ~(np.abs(x) > 1e6)
            one, reference = one[small], reference[small]
        wide = [a.astype("float64") for a in (one, reference)]
        np.testing.assert_allclose(*wide, rtol=tolerance, atol=atol, err_msg=node.name)


def test_choices_and_bits(rng):
    x, y = normal(rng, 3, 8), normal(rng, 3, 8)
    c, out = x > 0, Spec((3, 8), FLOAT)
    nodes = (
        Node("select", (2, 0, 1), {}, out),
        Node("bitcast", (0,), {"dtype": "int32"}, Spec((3, 8), "int32")),
        Node("cast", (2,), {"dtype": "float32"}, out),
    )
    region = Region((spec(x), spec(y), spec(c)), nodes, (3, 4, 5), (3, 8))
    check(region, x, y, c)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e-40, -0.0, 1 / 3])
def test_constants(value):
    x, out = np.ones(4, FLOAT), Spec((4,), FLOAT)
    region = Region(
        (spec(x), Spec((), FLOAT)), (Node("mul", (0, 1), {}, out),), (2,), (4,), {1: value}
    )
    (found,) = execute(plan(region, (spec(x), Spec((), FLOAT))), [out], (x, np.array(0, FLOAT)))
    np.testing.assert_array_equal(found, x * np.float32(value))


@pytest.mark.parametrize("seed", range(24))
def test_random_regions(seed):
    case = regions.Random(seed)
    # Differences of exponentials lose digits.
    check(case.region, *case.arrays, rtol=2e-4, atol=2e-4)


def test_output_in_the_memory_of_an_input(rng):
    for region, scale in ((softmax(6, 50), 1), (sums((60, 9), (0,)), 1)):
        x = normal(rng, *region.shape) * scale
        planned = plan(region, (spec(x),))
        position = next(o for i, o in planned.overwrites)
        expected = execute(planned, specs_of(region), (x,))
        results = [np.empty(s.shape, s.dtype) for s in specs_of(region)]
        results[position] = x
        arrays = [*results, x, *[np.empty(s.shape, s.dtype) for s in planned.scratch]]
        arrays.append(np.zeros(planned.tickets, np.uint32))
        for launch in planned.launches:
            library = cuda_on_cpu.build(launch.text)
            given = [*[arrays[i] for i in launch.arrays], *launch.scalars]
            cuda_on_cpu.launch(library, launch.name, launch.grid, launch.block, given)
        for found, reference in zip(results, expected, strict=True):
            np.testing.assert_array_equal(found, reference)


def test_batches_of_any_size_share_a_kernel(rng):
    texts = {plan(softmax(rows, 10), (Spec((rows, 10), FLOAT),)).launches[0].text
             for rows in (3, 64, 1000)}  # fmt: skip
    assert len(texts) == 1
    one, other = (normal(rng, rows, 8) for rows in (4, 400))
    texts = {plan(product(x, x, x.shape), (spec(x), spec(x))).launches[0].text
             for x in (one, other)}  # fmt: skip
    assert len(texts) == 1


def test_what_cannot_be_written_is_declined():
    x = Spec((3,), "complex64")
    assert plan(Region((x,), (Node("neg", (0,), {}, x),), (1,), (3,)), (x,)) is None
    y = Spec((3, 0), FLOAT)
    row = Spec((3, 1), FLOAT)
    empty = Region((y,), (Node("reduce_sum", (0,), regions.over((1,)), row),), (1,), (3, 0),
                   axes=(1,))  # fmt: skip
    assert plan(empty, (y,)) is None


# ----- real devices -----


def budgeted():
    x = np.zeros((512, 64), FLOAT)
    return {
        "elementwise": product(x, x, x.shape),
        "softmax of 10": softmax(128, 10),
        "softmax of 1000": softmax(128, 1000),
        "softmax of 50000": softmax(128, 50000),
        "layer norm": layer_norm(4096, 512),
        "columns": sums((65536, 64), (0,)),
        "total": sums((65536, 64), (0, 1)),
        "half": softmax(128, 1000, "float16"),
        "bfloat16": softmax(128, 1000, "bfloat16"),
    }


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("name", budgeted())
def test_budgets(name, architecture):
    region = budgeted()[name]
    for launch in plan(region, region.inputs).launches:
        used = compiled(launch.text, architecture)[launch.name]
        # 64 registers let a multiprocessor hold 1024 threads, half of what it can; 8 KiB of
        # shared memory don't hinder that.
        assert used.spilled == 0
        assert used.registers <= 64
        assert used.shared <= 8192


# ----- planted faults -----


def differs_somewhere(region, x, fault):
    """Whether a text with a fault gives another result in some order of threads."""
    planned = plan(region, (spec(x),))
    good = execute(planned, specs_of(region), (x,))
    for order in cuda_on_cpu.ORDERS:
        with cuda_on_cpu.order(order):
            found = execute(planned, specs_of(region), (x,), change=fault)
        if any(not np.allclose(a, b, rtol=1e-4) for a, b in zip(found, good, strict=True)):
            return True
    return False


def without_barrier(number):
    """Drops one of a text's barriers."""

    def change(text):
        places = [match.start() for match in re.finditer("__syncthreads\\(\\);", text)]
        at = places[number]
        return text[:at] + text[at + len("__syncthreads();") :]

    return change


# Of those in reduce.cuh: before warps' results are read, before they are written again; before the
# rows of a column are read, and after each half of them.
@pytest.mark.parametrize(
    ("number", "region"),
    [
        (0, softmax(3, 5000)),
        (1, regions.two_sums((3, 5000), (1,))),
        (2, regions.two_sums((300, 33), (0,))),
        (3, regions.two_sums((300, 33), (0,))),
    ],
)
def test_a_missing_barrier_is_seen(rng, number, region):
    x = normal(rng, *region.shape)
    assert not differs_somewhere(region, x, lambda text: text)
    assert differs_somewhere(region, x, without_barrier(number))


SANITIZED = """
import sys
import numpy as np
from kbackend_cupy.codegen.region import plan
from tests.engines.cupy import kernels, regions
fault = (lambda text: text.replace(sys.argv[1], sys.argv[2])) if len(sys.argv) > 1 else None
flags = ("-O1", "-g1", "-fsanitize=address")
x = np.ones((5, 8), "float32")
kernels.garbage = lambda given: np.empty(given.shape, given.dtype)
for region, arrays in (
    (regions.product(x, x[0], (5, 8)), (x, x[0].copy())),
    (regions.softmax(5, 8), (x,)),
    (regions.sums((5, 8), (0,)), (x,)),
):
    planned = plan(region, tuple(kernels.spec(a) for a in arrays))
    kernels.execute(planned, regions.specs_of(region), arrays, change=fault, flags=flags)
print("done")
"""


def test_no_access_out_of_bounds():
    done = process.sanitized(SANITIZED)
    assert done.returncode == 0 and "done" in done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("i < n; i += all", "i <= n; i += all"), ("row < rows;\n", "row <= rows;\n"),
     ("if (row < rows) {", "if (row <= rows) {")],
    ids=["elements", "rows", "shares"],
)  # fmt: skip
def test_a_store_out_of_bounds_is_seen(right, wrong):
    done = process.sanitized(SANITIZED, right, wrong)
    assert done.returncode != 0 and "AddressSanitizer" in done.stderr, done.stderr[-3000:]


UNALIGNED = """
import sys
import numpy as np
from kbackend_cupy.codegen.region import plan
from tests.engines.cupy import kernels, regions
x = np.ones(48, "float32")[1:]
region = regions.product(x, x, (47,))
planned = plan(region, (kernels.spec(x), kernels.spec(x)))
def always(text):
    (line,) = [line for line in text.splitlines() if "if (kb::aligned" in line]
    return text.replace(line, "    if (true) {")
flags = ("-O0", "-fsanitize=alignment", "-fno-sanitize-recover=all")
change = always if sys.argv[1] == "fault" else None
kernels.execute(planned, regions.specs_of(region), (x, x), change=change, flags=flags)
print("done")
"""


def test_a_pack_that_is_not_aligned_is_seen():
    assert "done" in process.python(UNALIGNED, "none").stdout
    done = process.python(UNALIGNED, "fault")
    assert done.returncode != 0 and "misaligned address" in done.stderr, done.stderr[-2000:]
