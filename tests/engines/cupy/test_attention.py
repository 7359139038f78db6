"""Kernels of attention: on the CPU against a reference and the bodies, and for real devices."""

import numpy as np
import pytest

from kbackend.engine.program import Spec
from kbackend_cupy.codegen import contract
from kbackend_cupy.codegen.attention import COMPOSITES
from kbackend_cupy.codegen.together import together
from tests.engines.cupy.attention import BACK, FORWARD, Case
from tests.engines.cupy.kernels import compiled, garbage, needs_text, spec
from tests.engines.cupy.whole import body, planned, run
from tests.gpu_simulator import cuda_on_cpu, nvrtc, process

pytestmark = needs_text

# Sums of products of numbers around 1, each rounded.
TOLERANCE = {"float32": 5e-6, "float16": 5e-3, "bfloat16": 4e-2}
# images, queries, keys, heads, depth, width: each head one tile, and several tiles.
ONE, SEVERAL = (2, 30, 40, 2, 16, 16), (2, 70, 90, 2, 8, 20)


def close(found, expected, times=1):
    for value, reference in zip(found, expected, strict=True):
        assert value.dtype == reference.dtype and value.shape == reference.shape
        tolerance = TOLERANCE[value.dtype.name] * times
        wide = [a.astype("float64") for a in (value, reference)]
        scale = max(1.0, float(np.abs(wide[1]).max()))
        np.testing.assert_allclose(*wide, rtol=0, atol=tolerance * scale)


def same_bits(found, expected):
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(
            value.view(f"V{value.itemsize}"), reference.view(f"V{value.itemsize}")
        )


def check(case, back=True):
    """Results and gradients in each order of threads, against the reference."""
    results = []
    for order in cuda_on_cpu.ORDERS:
        with cuda_on_cpu.order(order):
            results.append(case.by(run, back))
    close(results[0], case.reference(back))
    for found in results[1:]:
        same_bits(found, results[0])


@pytest.mark.parametrize(
    "sizes",
    [(1, 1, 1, 1, 1, 1), (3, 5, 7, 2, 3, 4), (2, 64, 64, 2, 16, 32), (1, 9, 64, 1, 48, 80),
     (1, 17, 130, 2, 36, 16),
     SEVERAL, (1, 100, 40, 1, 64, 64), (1, 20, 80, 1, 40, 96)],
)  # fmt: skip
def test_equals_the_reference(sizes):
    check(Case(sizes))


@pytest.mark.parametrize("sizes", [ONE, SEVERAL])
@pytest.mark.parametrize("mask", ["each", "keys", "few", "none"])
def test_masks(sizes, mask):
    images, queries, keys, heads = sizes[:4]
    shape = {
        "each": (images, heads, queries, keys), "keys": (images, 1, 1, keys),
        "few": (queries, keys), "none": None,
    }[mask]  # fmt: skip
    check(Case(sizes, mask=shape, causal=mask != "keys"))


def test_more_queries_than_keys_and_no_later_keys():
    check(Case((1, 80, 20, 1, 4, 4), causal=True))


@pytest.mark.parametrize("sizes", [ONE, SEVERAL])
def test_bounds(sizes):
    check(Case(sizes, cap=0.7, mask=(sizes[1], sizes[2])))


@pytest.mark.parametrize("shape", [(2, 2, 70, 90), (2, 1, 90), (2, 1, 70, 1), ()])
def test_bias(shape):
    check(Case(SEVERAL, bias=shape, mask=(70, 90)))


@pytest.mark.parametrize("shape", [(2, 2, 30, 40), (1, 2, 30, 40)])
def test_bias_of_single_tiles(shape):
    check(Case(ONE, bias=shape, causal=True, cap=2.0))


def test_bias_of_half_precision():
    check(Case(SEVERAL, "bfloat16", bias=(70, 90)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("sizes", [ONE, SEVERAL])
def test_half_precision(sizes, dtype):
    check(Case(sizes, dtype, causal=True))


@pytest.mark.parametrize("sizes", [ONE, SEVERAL])
def test_sums_are_scaled_when_larger_products_come(sizes):
    case = Case(sizes)
    # The products grow from key to key, by so much that only the last ones count.
    case.inputs[0][..., 0] = 10
    case.inputs[1][..., 0] = np.arange(sizes[2])[:, None]
    # Products of hundreds are rounded to hundreds of times what those around 1 are.
    close(case.by(run), case.reference(), 100)


@pytest.mark.parametrize("sizes", [ONE, SEVERAL])
def test_any_layout(sizes):
    case = Case(sizes, mask=(sizes[0], 1, sizes[1], sizes[2]))
    q, k, v = case.inputs
    case.inputs = [
        np.ascontiguousarray(q.transpose(3, 2, 0, 1)).transpose(2, 3, 1, 0),
        np.repeat(k, 2, 1)[:, ::2],
        np.ascontiguousarray(v[:, :, ::-1, ::-1])[:, :, ::-1, ::-1],
    ]
    case.g = np.broadcast_to(case.g[:, :1], case.g.shape)
    case.extra = [np.ascontiguousarray(case.mask.swapaxes(2, 3)).swapaxes(2, 3)]
    check(case)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", range(4))
@pytest.mark.parametrize("sizes", [(2, 5, 7, 2, 3, 4), (1, 70, 66, 1, 4, 4)])
def test_special_values_reach_what_they_should(sizes, where, value):
    # Among what is masked, too.
    for mask in (None, (sizes[1], sizes[2])):
        case = Case(sizes, mask=mask, causal=mask is None)
        target = (*case.inputs, case.g)[where]
        for row in (0, sizes[1] // 2):
            target[0, row % target.shape[1], 0, 1] = value
            for found, expected in zip(case.by(run), case.by(body), strict=True):
                np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


@pytest.mark.parametrize("sizes", [(1, 6, 9, 1, 4, 4), (1, 6, 90, 1, 4, 4)])
def test_products_that_are_infinite(sizes):
    # Some of a query's, those of the first tile, and all of another query's.
    case = Case(sizes, bias=(sizes[1], sizes[2]))
    case.bias[1, :70] = -np.inf
    case.bias[1, -1] = 0
    case.bias[3] = -np.inf
    (found,), (expected,) = case.by(run, False), case.by(body, False)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.isnan(found[0, 3]).all() and np.isfinite(found[0, 1]).all()


def test_what_is_left_to_the_body():
    def takes(queries=5, keys=6, depth=8, width=8, dtype="float32", other=None, extra=(), back=0):
        q, k = Spec((2, queries, 3, depth), dtype), Spec((2, keys, 3, depth), dtype)
        v = Spec((2, keys, 3, width), other or dtype)
        specs = (q, k, v, *[Spec(shape, kind) for shape, kind in extra])
        if back:
            return COMPOSITES[BACK].takes((Spec((2, queries, 3, width), dtype), *specs))
        return COMPOSITES[FORWARD].takes(specs)

    for back in (False, True):
        assert takes(back=back) and takes(dtype="bfloat16", back=back)
        assert not takes(dtype="float64", back=back) and not takes(other="float16", back=back)
        assert not any(takes(**{name: 0}, back=back) for name in ("queries", "keys", "width"))
        assert takes(extra=[((2, 1, 5, 6), "bool")], back=back)
        # Such a mask makes more of the products than there are.
        assert not takes(extra=[((4, 2, 3, 5, 6), "bool")], back=back)
        assert not takes(queries=1, extra=[((5, 6), "bool")], back=back)
        assert takes(extra=[((5, 6), "float32"), ((3, 1, 1), "bool")], back=back)
        assert not takes(extra=[((5, 6), "int32")], back=back)
        assert not takes(queries=1 << 14, keys=1 << 15, extra=[((1 << 14, 1 << 15), "bool")])
    assert takes(depth=128, width=128) and not takes(depth=128, width=128, back=True)
    assert not takes(depth=256, width=256)
    # Six heads: few blocks that would take long, one after the other.
    assert takes(queries=1, keys=512) and not takes(queries=1, keys=513)
    assert takes(queries=176, keys=513) and not takes(queries=160, keys=513)
    assert takes(queries=513, keys=1) and not takes(queries=513, keys=1, back=True)
    ranks = [Spec((2, 3, 4), "float32")] * 4
    assert not COMPOSITES[FORWARD].takes(tuple(ranks[:3]))
    assert not COMPOSITES[BACK].takes(tuple(ranks))


def test_launches():
    case = Case((64, 64, 64, 4, 16, 16))
    plan, _ = planned(FORWARD, case.inputs, **case.params)
    # Several for each multiprocessor of a large device.
    assert [one.grid[0] for one in plan.launches] == [512]
    plan, _ = planned(BACK, [case.g, *case.inputs], **case.params)
    assert [one.grid[0] for one in plan.launches] == [256] and not plan.scratch
    case = Case((1, 80, 300, 2, 16, 16))
    plan, _ = planned(BACK, [case.g, *case.inputs], **case.params)
    names = [one.name.rpartition("_")[0] for one in plan.launches]
    assert names == ["attention_queries", "attention_keys"]
    # Nothing is of the size of queries x keys.
    assert [one.size for one in plan.scratch] == [3 * 2 * 80]
    case = Case((1, 20, 30, 2, 16, 16), bias=(2, 20, 30))
    plan, _ = planned(BACK, [case.g, *case.inputs, *case.extra], **case.params)
    names = [one.name.rpartition("_")[0] for one in plan.launches]
    assert names[0] == "attention_back" and len(names) == 2


def test_a_launch_that_is_shared():
    # Of two heads of other sizes, and a product with other threads.
    cases = [Case(ONE), Case(SEVERAL, causal=True)]
    launches, arrays, expected = [], [], []
    for case in cases:
        plan, (out,) = planned(FORWARD, case.inputs, **case.params)
        launches += plan.launches
        arrays += [garbage(out), *case.inputs]
        expected += [arrays[-4], case.by(run, False)[0]]
    x, y = (np.ones(shape, "float32") for shape in ((20, 8), (8, 33)))
    out = Spec((20, 33), "float32")
    plan = contract.dot((spec(x), spec(y)), (out,), contract=((1,), (0,)), batch=((), ()))
    launches += plan.launches
    arrays += [garbage(out), x, y]
    expected += [arrays[-3], np.full((20, 33), 8, "float32")]
    one = together(launches)
    library = cuda_on_cpu.build(one.text)
    given = [*[arrays[i] for i in one.arrays], *one.scalars]
    cuda_on_cpu.launch(library, one.name, one.grid, one.block, given)
    same_bits(expected[::2], expected[1::2])


# ----- real devices -----

BUDGETS = [
    (64, 64, 64, 4, 16, 16), (64, 256, 256, 4, 16, 16), (4, 1024, 1024, 8, 32, 32),
    (4, 1024, 1024, 8, 64, 64), (4, 512, 512, 8, 112, 112), (4, 512, 512, 8, 128, 128),
    (1, 32, 64, 2, 24, 48),
    (64, 64, 64, 4, 32, 32),
]  # fmt: skip


# The compiler takes a few tenths of a second for each of these kernels.
@pytest.mark.parametrize(
    "architecture",
    [
        "sm_90",
        *[
            pytest.param(one, marks=pytest.mark.slow)
            for one in nvrtc.ARCHITECTURES
            if one != "sm_90"
        ],
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("more", [False, True])
def test_budgets(dtype, more, architecture):
    for images, queries, keys, heads, depth, width in BUDGETS:
        specs = [Spec((images, queries, heads, depth), dtype)]
        specs += [Spec((images, keys, heads, size), dtype) for size in (depth, width)]
        if more:
            specs.append(Spec((heads, queries, keys), dtype))
            specs.append(Spec((images, 1, queries, keys), "bool"))
        g = Spec((images, queries, heads, width), dtype)
        params = {"scale": 0.25, "is_causal": more, "soft_cap": 5.0 if more else None}
        params |= {"biased": more, "masked": more}
        for name, inputs in ((FORWARD, tuple(specs)), (BACK, (g, *specs))):
            whole = COMPOSITES[name]
            if not whole.takes(inputs):
                assert name == BACK and depth > 112
                continue
            plan = whole.plan(inputs, whole.outputs(inputs, **params), **params)
            for launch in plan.launches:
                used = compiled(launch.text, architecture)[launch.name]
                if not launch.name.startswith("attention"):
                    continue
                # Three blocks to a multiprocessor at least; 48 KiB are there without asking.
                assert used.spilled == 0
                assert used.registers <= 168
                assert used.shared <= 49152


# ----- planted faults -----


@pytest.mark.parametrize("barrier", ["__syncthreads();", "__syncwarp();"])
@pytest.mark.parametrize("sizes", [ONE, SEVERAL])
def test_a_missing_barrier_is_seen(sizes, barrier):
    case = Case(sizes)
    texts = set()

    def gather(text):
        # Where there is one tile, nobody waits before the next one.
        if sizes == SEVERAL or "attention_back" in text:
            texts.add(text)
        return text

    expected = case.by(run, change=gather)
    assert len(texts) == (3 if sizes == SEVERAL else 1)
    for text in texts:
        start = text.index('extern "C"')
        for number in range(text.count(barrier, start)):
            parts = text[start:].split(barrier)
            parts[number : number + 2] = [parts[number] + parts[number + 1]]
            broken, wrong = text[:start] + barrier.join(parts), 0
            for order in cuda_on_cpu.ORDERS:
                with cuda_on_cpu.order(order):
                    found = case.by(
                        run, change=lambda one, t=text, b=broken: b if one == t else one
                    )
                wrong += any(not np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
            assert wrong, (barrier, number, text[start : start + 100])


SANITIZED = """
import sys
import numpy as np
from tests.engines.cupy import kernels
from tests.engines.cupy.attention import Case
from tests.engines.cupy.whole import planned
fault = (lambda text: text.replace(sys.argv[1], sys.argv[2])) if len(sys.argv) > 1 else None
kernels.garbage = lambda given: np.zeros(given.shape, given.dtype)
flags = ("-O1", "-g1", "-fsanitize=address")
def run(name, inputs, **params):
    plan, outputs = planned(name, inputs, **params)
    return kernels.execute(plan, outputs, inputs, change=fault, flags=flags)
for sizes in ((2, 5, 7, 2, 3, 4), (1, 70, 66, 1, 4, 6)):
    Case(sizes, mask=sizes[1:3]).by(run)
print("done")
"""


def test_no_access_out_of_bounds():
    done = process.sanitized(SANITIZED)
    assert done.returncode == 0 and "done" in done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize(
    ("right", "wrong"), [("query < 5u", "query <= 5u"), ("first + row < 66u", "first + row <= 66u")]
)
def test_an_access_out_of_bounds_is_seen(right, wrong):
    done = process.sanitized(SANITIZED, right, wrong)
    assert done.returncode != 0 and "AddressSanitizer" in done.stderr, done.stderr[-3000:]
