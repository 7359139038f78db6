"""float16 and bfloat16 in compiled programs: exact casts, and everything else in float32."""

import numpy as np
import pytest

import kbackend as k
from kbackend import layers, ops
from kbackend.base import naming
from kbackend.base.dtypes import numpy_dtype
from kbackend.compiler.compiled import Compiled
from kbackend.engine.program import Node, Region, Spec
from kbackend_numba import table
from kbackend_numba.codegen.target import host
from kbackend_numba.native import Native

HALVES = ["float16", "bfloat16"]
# Half a unit in the last place.
ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8}


@pytest.fixture(autouse=True)
def numba():
    if not host().casts("float16"):
        pytest.skip("the processor has no casts of float16")
    with k.use_backend("numba"):
        yield


def run(fn, *arrays):
    """What the compiled function returns; all of its steps have compiled kernels."""
    compiled = Compiled(fn, "function")
    found = compiled(*map(ops.convert_to_tensor, arrays))
    for one in compiled.executables():
        others = [s.name for s in one.program.steps if not isinstance(s.prepared, Native)]
        assert not others
    return np.asarray(found)


@pytest.mark.parametrize("dtype", HALVES)
def test_all_halves_become_the_same_floats(dtype):
    x = np.arange(1 << 16, dtype=np.uint16).view(numpy_dtype(dtype))
    found = run(lambda x: ops.cast(x, "float32"), x)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(found, x.astype("float32"))
        again = run(lambda x: ops.cast(x, dtype), found)
        np.testing.assert_array_equal(again.astype("float32"), found)


@pytest.mark.parametrize("dtype", HALVES)
def test_floats_are_rounded_to_the_nearest(dtype):
    bits = np.random.default_rng(0).integers(0, 1 << 32, 200_000, dtype=np.uint32)
    # Ties, and what is next to them, as well.
    ties = bits[:60_000].copy()
    for shift in (13, 16):
        ties = np.concatenate(
            [ties, (bits[:20_000] & ~np.uint32((1 << shift) - 1)) | (1 << shift - 1)]
        )
    x = np.concatenate([bits, ties, ties + 1, ties - 1]).view("float32")
    with np.errstate(all="ignore"):
        wanted = x.astype(numpy_dtype(dtype))
    found = run(lambda x: ops.cast(x, dtype), x)
    np.testing.assert_array_equal(found.astype("float32"), wanted.astype("float32"))


@pytest.mark.parametrize("dtype", HALVES)
def test_a_rounding_that_the_program_asks_for_is_done(dtype):
    x = np.random.default_rng(1).standard_normal(1000).astype("float32")
    found = run(lambda x: ops.cast(ops.cast(x * 1.5, dtype), "float32") * 2.0, x)
    wanted = (x * np.float32(1.5)).astype(numpy_dtype(dtype)).astype("float32") * 2
    np.testing.assert_array_equal(found, wanted)


def softmax(x):
    e = ops.exp(x - ops.max(x, axis=-1, keepdims=True))
    return e / ops.sum(e, axis=-1, keepdims=True)


FUNCTIONS = {
    "chain": lambda x, y: ops.tanh(x * 2 + y) - 0.5 * y,
    "rows": lambda x, y: softmax(x + y),
    "sums": lambda x, y: ops.sum(x * y, axis=0),
    "total": lambda x, y: ops.mean(ops.square(x - y)),
    "product": lambda x, y: ops.relu(ops.matmul(x, ops.transpose(y)) + y[0, :1]),
    "columns": lambda x, y: ops.transpose(x) + y[:, :1],
    "rows of a table": lambda x, y: ops.take(x, [2, 0, 2], axis=0),
    "largest": lambda x, y: ops.argmax(x + y, axis=1),
}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, dtype):
    rng = np.random.default_rng(2)
    x, y = [rng.standard_normal((40, 40)).astype(numpy_dtype(dtype)) for _ in range(2)]
    fn = FUNCTIONS[name]
    found = run(fn, x, y)
    wanted = np.asarray(fn(x.astype("float32"), y.astype("float32")))
    if found.dtype == wanted.dtype:
        np.testing.assert_array_equal(found, wanted)
        return
    assert found.dtype == numpy_dtype(dtype)
    # Two kernels with a value between them that is rounded to half precision, and the result's.
    most = 4 * ROUNDING[dtype] * max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(found.astype("float32"), wanted, rtol=0, atol=most)


def test_an_ending_that_reads_bits_is_left_to_numpy():
    half, bits = Spec((4, 4), "float16"), Spec((4, 4), "uint16")
    node = Node("bitcast", (0,), {"dtype": "uint16"}, bits)
    params = {
        "op": "dot",
        "params": {"contract": ((1,), (0,))},
        "region": Region((half,), (node,), (1,), half.shape),
        "place": 0,
    }
    assert table.prepare("epilogue", (half, half), (bits,), params) is None


@pytest.mark.parametrize("dtype", HALVES)
def test_training_in_mixed_precision(dtype):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((64, 8, 8, 3)).astype("float32")
    y = rng.integers(0, 4, 64)
    histories = []
    for policy in (f"mixed_{dtype}", "float32"):
        k.config.set_dtype_policy(policy)
        k.utils.set_random_seed(4)
        naming.reset_uids()
        net = k.Sequential(
            [
                layers.Input((8, 8, 3)),
                layers.Conv2D(16, 3, activation="relu"),
                layers.BatchNormalization(),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dense(32, activation="gelu"),
                layers.Dense(4, activation="softmax", dtype="float32"),
            ]
        )
        net.compile("adam", "sparse_categorical_crossentropy")
        histories.append(net.fit(x, y, batch_size=16, epochs=3, verbose=0).history["loss"])
    # Sixteen activations of three digits each in a sum; losses are averages over 64 samples.
    np.testing.assert_allclose(*histories, rtol=0.05)
