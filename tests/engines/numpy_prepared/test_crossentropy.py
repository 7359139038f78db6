"""Cross entropies into planned memory."""

import numpy as np
import pytest

from kbackend_numpy import threads
from kbackend_numpy.kernels import crossentropy
from kbackend_numpy.table import composites

from .harness import allocated, check

KERNELS = composites()
# Bytes of the objects that stand for parts of arrays; arrays themselves are far larger.
VIEWS = 4096
CLIP = {"epsilon": 1e-7}
# Sums of rows may be taken in another order; and roundings add up over a few passes.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}

DENSE = ["softmax_cross_entropy", "probability_cross_entropy"]
SPARSE = ["sparse_softmax_cross_entropy", "sparse_probability_cross_entropy"]
PAIRS = ["sigmoid_cross_entropy", "binary_probability_cross_entropy"]

# shape, axes: few and many classes, axes in front, several blocks
CLASSES = [
    ((7, 10), (1,)), ((7, 100), (1,)), ((7, 1), (1,)), ((3, 4, 5), (2,)), ((3, 4, 5), (1, 2)),
    ((3, 4, 5), (0,)), ((3, 4, 5), (0, 2)), ((5,), (0,)), ((0, 4), (1,)), ((9001, 10), (1,)),
]  # fmt: skip
ROWS = [(7, 10), (7, 100), (7, 1), (0, 4), (9001, 10)]


@pytest.fixture(params=[1, 2])
def workers(request, monkeypatch):
    """All kernels on one thread, and in parts on two."""
    monkeypatch.setattr(threads, "count", lambda: request.param)
    monkeypatch.setattr(threads, "WORTH_SPLITTING", 0)
    monkeypatch.setattr(threads, "_pool", None)
    with threads.owned():
        yield request.param


def outputs(rng, name, shape, dtype="float32"):
    if "probability" in name:
        made = rng.uniform(0.01, 1.0, size=shape)
        made.reshape(-1)[::7] = 0.0  # clipped
        return made.astype(dtype)
    return (3 * rng.standard_normal(shape)).astype(dtype)


def params_of(name, **more):
    return {**more, **(CLIP if "probability" in name else {})}


def test_all_are_tested():
    names = DENSE + SPARSE + PAIRS
    assert {*names, *[f"{n}_grad" for n in names]} == crossentropy.COMPOSITES.keys()


def dense(rng, name, shape, axes, dtype="float32"):
    kept = tuple(1 if i in axes else d for i, d in enumerate(shape))
    g = rng.standard_normal(kept).astype(dtype)
    return g, rng.uniform(size=shape).astype(dtype), outputs(rng, name, shape, dtype)


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize(("shape", "axes"), CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dense(name, shape, axes, dtype, rng, workers):
    g, target, output = dense(rng, name, shape, axes, dtype)
    params = params_of(name, axes=axes)
    check(KERNELS[name], [target, output], params, **TOLERANCE)
    check(KERNELS[name + "_grad"], [g, target, output], params, **TOLERANCE)


def sparse(rng, name, shape, dtype="int32"):
    labels = rng.integers(-1, shape[1] + 1, shape[0]).astype(dtype)  # some name no class
    return rng.standard_normal(shape[0]).astype("float32"), labels, outputs(rng, name, shape)


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_sparse(name, shape, dtype, rng, workers):
    g, labels, output = sparse(rng, name, shape, dtype)
    check(KERNELS[name], [labels, output], params_of(name), **TOLERANCE)
    check(KERNELS[name + "_grad"], [g, labels, output], params_of(name), **TOLERANCE)
    wide = output.astype("float64"), g.astype("float64")
    check(KERNELS[name], [labels, wide[0]], params_of(name), **TOLERANCE)
    check(KERNELS[name + "_grad"], [wide[1], labels, wide[0]], params_of(name), **TOLERANCE)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(), (0,), (7, 5), (3, 70000)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pairs(name, shape, dtype, rng, workers):
    g = np.asarray(rng.standard_normal(shape)).astype(dtype)
    target = np.asarray(rng.uniform(size=shape)).astype(dtype)
    output = outputs(rng, name, (*shape, 1), dtype).reshape(shape)
    check(KERNELS[name], [target, output], params_of(name))
    check(KERNELS[name + "_grad"], [g, target, output], params_of(name))


@pytest.mark.parametrize("name", DENSE + SPARSE)
def test_strided_arrays(name, rng):
    if name in DENSE:
        _, target, output = dense(rng, name, (6, 9), (1,))
        g, others, params = np.broadcast_to(np.float32(0.5), (9, 1)), [target.T], {"axes": (1,)}
    else:
        _, labels, output = sparse(rng, name, (6, 9))
        g, others, params = np.broadcast_to(np.float32(0.5), (9,)), [np.resize(labels, 18)[::2]], {}
    output = output.T
    check(KERNELS[name], [*others, output], params_of(name, **params), **TOLERANCE)
    check(KERNELS[name + "_grad"], [g, *others, output], params_of(name, **params), **TOLERANCE)


@pytest.mark.parametrize("name", DENSE + SPARSE)
@pytest.mark.parametrize("classes", [3, 40])
def test_infinities_and_nan(name, classes, rng):
    make, params = (dense, {"axes": (1,)}) if name in DENSE else (sparse, {})
    g, target, output = make(rng, name, (6, classes), *params.values())
    output[0, 1], output[1, 1], output[2], output[3, 2] = np.inf, -np.inf, -np.inf, np.nan
    g.reshape(-1)[4], g.reshape(-1)[5] = np.nan, np.inf
    check(KERNELS[name], [target, output], params_of(name, **params), **TOLERANCE)
    check(KERNELS[name + "_grad"], [g, target, output], params_of(name, **params), **TOLERANCE)


@pytest.mark.parametrize("shape", [(100, 10), (3000, 40)])
@pytest.mark.parametrize("name", DENSE + SPARSE + PAIRS)
def test_allocates_nothing(name, shape, rng):
    if name in PAIRS:
        g, params = rng.standard_normal(shape).astype("float32"), {}
        target, output = rng.uniform(size=shape).astype("float32"), outputs(rng, name, shape)
    else:
        make, params = (dense, {"axes": (1,)}) if name in DENSE else (sparse, {})
        g, target, output = make(rng, name, shape, *params.values())
    assert allocated(KERNELS[name], [target, output], params_of(name, **params)) < VIEWS
    assert (
        allocated(KERNELS[name + "_grad"], [g, target, output], params_of(name, **params)) < VIEWS
    )
