"""Regions with reductions on NumPy: in blocks, with the same bits on any number of threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kbackend as kb
from kbackend import ops
from kbackend.compiler.passes.fuse import fuse
from kbackend.compiler.passes.fused import Fused
from kbackend.core import lang
from kbackend.core.tensor import tensor
from kbackend.engine.interpreter import region_function
from kbackend.engine.loader import get_engine
from kbackend.engine.program import Spec
from kbackend_numpy import region as regions
from kbackend_numpy import region_reduce, threads
from tests.compiler.support import assert_same_bits, traced
from tests.engines.numpy_prepared.harness import allocated, garbage, spec

pytestmark = pytest.mark.engine("numpy")

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.5, -2.0]
# Axes of three dimensions: rows, columns, those in the middle and around, and all.
AXES = [(2,), (1, 2), (0,), (0, 1), (1,), (0, 2), (0, 1, 2)]


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks so small that little arrays have several."""
    monkeypatch.setattr(regions, "_BLOCK", 24)


@pytest.fixture(params=[1, 2, 3])
def workers(request, monkeypatch):
    """Threads among which everything is split."""
    monkeypatch.setattr(threads, "count", lambda: request.param)
    monkeypatch.setattr(threads, "WORTH_SPLITTING", 0)
    monkeypatch.setattr(threads, "_pool", None)
    with threads.owned():
        yield request.param


def fused(fn, *shapes):
    """The regions of a function of tensors."""
    engine = get_engine("numpy")
    graph = fuse(traced(fn, *shapes), lambda eqn: eqn.op.name in engine.fusible)
    return [eqn.op.region for eqn in graph.eqns if isinstance(eqn.op, Fused)]


def the_region(fn, *shapes):
    """The one region of a function, which has reductions."""
    (region,) = fused(fn, *shapes)
    assert region.axes
    return region


def unfused(region, arrays):
    with np.errstate(all="ignore"):
        return region_function(get_engine("numpy"), region)(*arrays)


def run(region, arrays, pairs=()):
    """The results, in memory of their own but for those that take over an input's."""
    ready = regions.prepare(region, tuple(map(spec, arrays)))
    assert ready is not None, "declined"
    given, kept = list(arrays), [a.copy() for a in arrays]
    results = [region.nodes[i - len(arrays)].spec for i in region.outputs]
    made = [garbage(Spec(s.shape, s.dtype)) for s in results]
    for i, o in pairs:
        made[o] = given[i] = arrays[i].copy()
    with np.errstate(all="ignore"):
        ready.run(*made, *given, *map(garbage, ready.scratch))
    for i, (array, before) in enumerate(zip(given, kept, strict=True)):
        if i not in [i for i, _ in pairs]:
            np.testing.assert_array_equal(array, before)
    return made


def check_exactly(region, arrays):
    """Asserts bits, also in the memory of inputs that may be overwritten."""
    wanted = unfused(region, arrays)
    ready = regions.prepare(region, tuple(map(spec, arrays)))
    for pairs in ((), *[(pair,) for pair in ready.overwrites]):
        assert_same_bits(run(region, arrays, pairs), wanted)


def exact(shape, rng, dtype="float32"):
    """Small whole numbers and halves, whose sums and products have no rounding."""
    return np.asarray(rng.integers(-6, 7, shape) / 2).astype(dtype)


def drawn(region, rng):
    """Such arrays for a region, and its literals."""
    return [
        np.array(region.known[i], s.dtype) if i in region.known else exact(s.shape, rng, s.dtype)
        for i, s in enumerate(region.inputs)
    ]


def softmax(x):
    e = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
    return e / ops.sum(e, axis=-1, keepdims=True)


# ----- rows -----


def test_rows_are_done_from_end_to_end(small_blocks, workers, rng):
    x = rng.standard_normal((50, 7), "float32")
    region = the_region(softmax, x.shape)
    (found,) = run(region, [x])
    # Seven summands in another order, a division: a few units of the last place of numbers below 1.
    np.testing.assert_allclose(found, unfused(region, [x])[0], rtol=1e-6, atol=1e-7)
    assert_same_bits([found[:20]], run(the_region(softmax, (20, 7)), [x[:20]]))


@pytest.mark.parametrize("shape", [(50, 7), (5, 4, 11), (1, 40), (3, 0, 4), (64, 1, 5)])
def test_rows_without_rounding(shape, small_blocks, rng):
    def fn(x, y, w):
        product = x * w
        centred = product - ops.max(product, axis=-1, keepdims=True)
        total = ops.sum(centred * y, axis=-1, keepdims=True)
        return centred + total, ops.sum(centred, axis=-1), total * 2.0, ops.min(y, axis=-1)

    region = the_region(fn, shape, shape, shape[-1:])
    if 0 in shape:
        assert not region_reduce.takes(Spec(shape, "float32"), (2,))
        return
    check_exactly(region, drawn(region, rng))


def test_an_input_that_is_read_again_is_not_overwritten(small_blocks, rng):
    region = the_region(lambda x: x * ops.sum(x + 1.0, axis=-1, keepdims=True), (30, 5))
    ready = regions.prepare(region, region.inputs)
    # The last one to read it writes the result.
    assert ready.overwrites
    check_exactly(region, drawn(region, rng))

    def early(x):
        y = x + 1.0
        return y, x * ops.sum(y, axis=-1, keepdims=True)

    region = the_region(early, (30, 5))
    ready = regions.prepare(region, region.inputs)
    assert {o for _, o in ready.overwrites} == {1}
    check_exactly(region, drawn(region, rng))


# ----- all axes -----


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_several_reductions(axes, keepdims, dtype, small_blocks, workers, rng):
    def fn(x, y):
        product = lang.mul(x, y)
        return (
            product,
            lang.reduce_sum(product, axes, keepdims),
            lang.reduce_sum(lang.mul(product, product), axes, keepdims),
            lang.reduce_max(product, axes, keepdims),
            lang.reduce_min(x, axes, keepdims),
        )

    shape = (9, 4, 5)
    region = the_region(fn, (shape, dtype), ((4, 1), dtype))
    arrays = [np.floor(exact(s, rng, dtype)) for s in (shape, (4, 1))]
    check_exactly(region, [a.astype(dtype) for a in arrays])


@pytest.mark.parametrize("axes", AXES)
def test_products(axes, small_blocks, rng):
    region = the_region(lambda x: lang.reduce_prod(lang.neg(x), axes), (9, 4, 5))
    # Powers of two have no rounding.
    check_exactly(region, [rng.choice(np.array([1, -1, 2, 0.5], "float32"), (9, 4, 5))])


@pytest.mark.parametrize("axes", AXES)
def test_special_numbers(axes, small_blocks, rng):
    def fn(x):
        y = lang.add(x, x)
        return [reduce(y, axes) for reduce in (lang.reduce_sum, lang.reduce_max, lang.reduce_min)]

    region = the_region(fn, (9, 4, 5))
    for share in (0.01, 0.3):
        x = exact((9, 4, 5), rng)
        x = np.where(rng.random(x.shape) < share, rng.choice(SPECIAL, x.shape), x).astype("float32")
        for found, wanted in zip(run(region, [x]), unfused(region, [x]), strict=True):
            # Zeros have no sign here: which of two comes first depends on the order.
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_sums_of_nothing(axes, shape, rng):
    fn = kb.jit(lambda x: lang.reduce_sum(lang.neg(x), axes))
    x = tensor(np.zeros(shape, "float32"))
    assert_same_bits([fn(x)], [np.zeros(shape, "float32").sum(axes)])


def test_strided_inputs(small_blocks, rng):
    def fn(x, y):
        z = lang.mul(x, y)
        return lang.reduce_sum(z, (0,)), lang.reduce_sum(x, (0,))

    region = the_region(fn, (12, 6), (12, 6))
    x, y = exact((6, 12), rng).T, exact((12, 12), rng)[:, ::2]
    check_exactly(region, [x, y])
    check_exactly(region, [np.broadcast_to(x[:1], (12, 6)), y])


def test_how_far_sums_are_off(workers, rng):
    def fn(x, y):
        return lang.reduce_sum(lang.mul(x, y), (0, 1)), lang.reduce_sum(lang.mul(x, x), (0, 1))

    x, y = (rng.standard_normal((1500, 300), "float32") for _ in range(2))
    found = run(the_region(fn, x.shape, y.shape), [x, y])
    for f, z in zip(found, (x * y, x * x), strict=True):
        magnitude = np.abs(z).sum(dtype="float64")
        # Pairwise within blocks and across them: some units of the last place of the magnitude.
        assert abs(f - z.sum(dtype="float64")) < 8 * np.finfo("float32").eps * magnitude


def test_the_number_of_threads_changes_no_bit(monkeypatch, rng):
    monkeypatch.setattr(threads, "WORTH_SPLITTING", 0)
    x, y = (rng.standard_normal((700, 333), "float32") for _ in range(2))
    for axes in ((0,), (1,), (0, 1)):

        def fn(x, y, axes=axes):
            z = lang.mul(x, y)
            return lang.reduce_sum(z, axes), lang.reduce_max(z, axes), lang.reduce_sum(x, axes)

        region = the_region(fn, x.shape, y.shape)
        results = []
        for count in (1, 2, 5):
            monkeypatch.setattr(threads, "count", lambda count=count: count)
            monkeypatch.setattr(threads, "_pool", None)
            with threads.owned():
                results.append(run(region, [x, y]))
        for other in results[1:]:
            assert_same_bits(other, results[0])


class _Kernel:
    """A region as the harness wants kernels."""

    def __init__(self, region):
        self.region = region

    def fn(self, *arrays):
        return region_function(get_engine("numpy"), self.region)(*arrays)

    def prepare(self, inputs, outputs):
        return regions.prepare(self.region, inputs)


@pytest.mark.parametrize("axes", [(1,), (0,), (0, 1)])
def test_nothing_is_allocated(axes, rng):
    def fn(x, y):
        z = lang.mul(x, y)
        return z, lang.reduce_sum(z, axes), lang.reduce_max(x, axes)

    x, y = (rng.standard_normal((900, 500), "float32") for _ in range(2))
    # Views of the blocks, but no arrays.
    assert allocated(_Kernel(the_region(fn, x.shape, y.shape)), [x, y]) < 8192


def test_nothing_is_allocated_by_rows(rng):
    x = rng.standard_normal((900, 500), "float32")
    assert allocated(_Kernel(the_region(softmax, x.shape)), [x]) < 8192


def test_what_numpy_declines():
    takes = region_reduce.takes
    assert takes(Spec((1 << 22,), "float32"), (0,))
    assert takes(Spec((4, 1 << 19), "float32"), (1,))
    assert not takes(Spec((4, 1 << 20), "float32"), (1,))
    assert not takes(Spec((4, 4), "float16"), (1,))
    assert not takes(Spec((4, 4), "bfloat16"), (0,))


# ----- compiled functions -----


def test_gradients_through_jit(small_blocks, rng):
    def norm(x, gain):
        mean = ops.mean(x, axis=-1, keepdims=True)
        variance = ops.var(x, axis=-1, keepdims=True)
        return (x - mean) / ops.sqrt(variance + 1e-3) * gain

    def loss(x, gain, y):
        return ops.mean(ops.sum(ops.square(softmax(norm(x, gain)) - y), axis=-1)) + ops.sum(gain**2)

    x, y = (tensor(rng.standard_normal((20, 6))) for _ in range(2))
    gain = tensor(rng.standard_normal(6))
    fn = kb.value_and_grad(loss, (0, 1))
    value, grads = fn(x, gain, y)
    fused_value, fused_grads = kb.jit(fn)(x, gain, y)
    # float64, sums of 120 terms at most: far from the last place.
    for f, w in zip((fused_value, *fused_grads), (value, *grads), strict=True):
        np.testing.assert_allclose(f, w, rtol=1e-10, atol=1e-12)


# Operations on small whole numbers and halves whose results have no rounding in float64.
_EXACT = [lang.add, lang.sub, lang.maximum, lang.minimum]


@st.composite
def graphs(draw):
    """Reductions over the same axes of one shape, what they reduce, and what is made of it."""
    shape = draw(st.sampled_from([(7, 5), (30, 4), (4, 3, 6), (2, 60), (65,)]))
    axes = tuple(i for i in range(len(shape)) if draw(st.booleans()))
    if draw(st.booleans()):
        axes = tuple(range(draw(st.integers(1, len(shape))) % len(shape), len(shape)))
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    given = [shape, draw(st.sampled_from([shape, shape[-1:], kept, ()]))]

    def fn(*args):
        made = list(args)
        for _ in range(draw(st.integers(2, 12))):
            x = draw(st.sampled_from(made))
            if x.shape == shape and draw(st.booleans()):
                reduce = draw(st.sampled_from([lang.reduce_sum, lang.reduce_max, lang.reduce_min]))
                made.append(reduce(x, axes, keepdims=draw(st.booleans())))
                continue
            fits = [
                y for y in made if y.shape in (x.shape, kept, ()) and x.shape in (shape, y.shape)
            ]
            y = draw(st.sampled_from(fits or [x]))
            made.append(draw(st.sampled_from(_EXACT))(x, y))
        return draw(st.lists(st.sampled_from(made), min_size=1, max_size=4))

    return fused(fn, *[(s, "float64") for s in given])


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(0, 2**32 - 1))
def test_random_regions_without_rounding(found, seed):
    rng = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "_BLOCK", 24)
        for region in found:
            check_exactly(region, drawn(region, rng))
