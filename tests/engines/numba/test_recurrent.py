"""Compiled recurrent layers against NumPy's: what is kept in between has an order of its own."""

import llvmlite.binding as llvm
import numpy as np
import pytest

import kbackend
from kbackend.autodiff import vjp
from kbackend.compiler.compiled import jit
from kbackend.core import lang
from kbackend.core.composite import COMPOSITES
from kbackend.core.tensor import tensor
from kbackend.ops.nn import rnn
from kbackend_numba.codegen.compile import object_code
from kbackend_numba.codegen.target import describe
from kbackend_numba.engine import NumbaEngine
from kbackend_numba.native import Native
from kbackend_numba.table import prepare
from kbackend_numpy.engine import NumpyEngine
from tests.engines.numba.harness import item_by_item
from tests.engines.numba.test_targets import TARGETS, module
from tests.engines.numpy_prepared.harness import garbage, spec

pytestmark = pytest.mark.engine("numpy")

NUMPY = NumpyEngine().composites
# name -> numbers of states, of blocks of weights, of rows of biases
CELLS = {"lstm": (2, 4, 1), "gru": (1, 3, 2), "simple_rnn": (1, 1, 1)}
# batch, time, features, units
SHAPES = [
    (1, 1, 1, 1), (3, 4, 5, 3), (8, 2, 1, 16), (13, 3, 7, 17), (25, 2, 3, 33), (33, 5, 40, 32),
    (1, 6, 2, 70), (150, 3, 4, 9), (7, 20, 3, 40),
]  # fmt: skip
# Sums of products of numbers around 1, each rounded; what comes back adds up over the steps.
TOLERANCE = {"float32": 2e-5, "float64": 1e-13}


def arguments(cell, shape, dtype, rng):
    """Arguments of a layer, and cotangents of its results."""
    states, blocks, rows = CELLS[cell]
    batch, time, features, units = shape

    def array(*dims, scale=1.0):
        return (rng.standard_normal(dims) * scale).astype(dtype)

    bias = array(rows, blocks * units) if rows > 1 else array(blocks * units)
    args = [
        array(batch, time, features),
        array(features, blocks * units, scale=features**-0.5),
        array(units, blocks * units, scale=units**-0.5),
        bias,
        *[array(batch, units) for _ in range(states)],
    ]
    return args, [array(batch, units) for _ in range(1 + states)]


def run(name, inputs, outputs, params, pieces=False):
    """The results of a compiled kernel, of the form of `outputs`."""
    made = tuple(map(spec, outputs))
    ready = prepare(name, tuple(map(spec, inputs)), made, params)
    assert isinstance(ready, Native), "declined"
    made, scratch = list(map(garbage, made)), list(map(garbage, ready.scratch))
    before = [a.copy() for a in inputs]
    if pieces:
        item_by_item(ready, [*made, *inputs, *scratch])
    else:
        ready.run(*made, *inputs, *scratch)
    for array, copy in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    return made


def both(cell, args, cotangents, sequences=False, backwards=False, wants=None, **options):
    """Results and gradients: compiled, and NumPy's."""
    params = {"sequences": sequences, "backwards": backwards}
    wants = wants or (True,) * len(args)
    states = CELLS[cell][0]
    with np.errstate(all="ignore"):
        wanted = NUMPY[f"{cell}_sequence"].fn(*args, **params, keep=True)
        kept = wanted[1 + states :]
        if sequences:
            cotangents = [np.stack([cotangents[0]] * args[0].shape[1], 1), *cotangents[1:]]
        grads = NUMPY[f"{cell}_sequence_grad"].fn(*cotangents, *args, *kept, **params, wants=wants)
    found = run(f"{cell}_sequence", args, wanted, {**params, "keep": True}, **options)
    kept = found[1 + states :]
    found_grads = run(
        f"{cell}_sequence_grad", [*cotangents, *args, *kept], grads, {**params, "wants": wants},
        **options,
    )  # fmt: skip
    return [*found[: 1 + states], *found_grads], [*wanted[: 1 + states], *grads]


def check(cell, args, cotangents, **options):
    found, wanted = both(cell, args, cotangents, **options)
    tolerance = TOLERANCE[args[0].dtype.name]
    for f, w in zip(found, wanted, strict=True):
        scale = max(1.0, float(np.nanmax(np.abs(w), initial=0.0)))
        np.testing.assert_allclose(f, w, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("cell", list(CELLS))
def test_equals_numpys(cell, shape, sequences, rng):
    check(cell, *arguments(cell, shape, "float32", rng), sequences=sequences)


@pytest.mark.parametrize("cell", list(CELLS))
def test_backwards_in_float64(cell, rng):
    for shape in SHAPES[:6]:
        check(cell, *arguments(cell, shape, "float64", rng), sequences=True, backwards=True)


@pytest.mark.parametrize("cell", list(CELLS))
def test_any_threads_give_the_same_bits(cell, rng):
    args, cotangents = arguments(cell, (29, 9, 20, 40), "float32", rng)
    whole, _ = both(cell, args, cotangents, sequences=True)
    pieces, _ = both(cell, args, cotangents, sequences=True, pieces=True)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell", list(CELLS))
def test_without_what_the_gradient_needs(cell, rng):
    args, _ = arguments(cell, (10, 5, 3, 20), "float32", rng)
    shown = 1 + CELLS[cell][0]
    for sequences in (False, True):
        params = {"sequences": sequences, "backwards": True}
        wanted = NUMPY[f"{cell}_sequence"].fn(*args, **params, keep=True)
        kept = run(f"{cell}_sequence", args, wanted, {**params, "keep": True})
        found = run(f"{cell}_sequence", args, wanted[:shown], {**params, "keep": False})
        for a, b in zip(found, kept, strict=False):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell", list(CELLS))
def test_only_some_gradients(cell, rng):
    args, cotangents = arguments(cell, (10, 5, 3, 20), "float32", rng)
    for wanted in range(len(args)):
        wants = tuple(i == wanted for i in range(len(args)))
        check(cell, args, cotangents, wants=wants)
    check(cell, args, cotangents, wants=(False, True, True, True, *[False] * CELLS[cell][0]))


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("cell", list(CELLS))
def test_any_layout_of_the_arguments(cell, sequences, rng):
    args, cotangents = arguments(cell, (9, 4, 6, 20), "float32", rng)
    args[0] = np.ascontiguousarray(args[0].transpose(2, 0, 1)).transpose(1, 2, 0)
    args[1] = np.asfortranarray(args[1])
    args[4:] = [np.broadcast_to(np.float32(0.5), a.shape) for a in args[4:]]
    cotangents = [np.broadcast_to(a[:, :1], a.shape) for a in cotangents]
    check(cell, args, cotangents, sequences=sequences)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", list(CELLS))
def test_special_values_reach_what_they_should(cell, value, rng):
    args, _ = arguments(cell, (6, 5, 3, 20), "float32", rng)
    args[0][2, 3, 1] = value
    params = {"sequences": True, "backwards": False, "keep": False}
    body = getattr(rnn, f"{cell}_sequence").body
    wanted = [a.numpy() for a in body(*[tensor(a) for a in args], **params)]
    found = run(f"{cell}_sequence", args, wanted, params)
    for f, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(f, w, rtol=0, atol=TOLERANCE["float32"])


@pytest.mark.parametrize("cell", list(CELLS))
def test_gradients_of_nan_are_nan(cell, rng):
    args, cotangents = arguments(cell, (6, 5, 3, 20), "float32", rng)
    args[0][2, 3, 1] = np.nan
    check(cell, args, cotangents, sequences=True)


def test_what_is_left_to_numpy(rng):
    params = {"sequences": False, "backwards": False, "keep": False}
    for shape in ((0, 3, 2, 4), (2, 0, 3, 4)):
        args, cotangents = arguments("gru", shape, "float32", rng)
        specs = tuple(map(spec, args))
        assert prepare("gru_sequence", specs, tuple(map(spec, cotangents)), params) is None
        found = NumbaEngine().composites["gru_sequence"].fn(*args, **params)
        for a, b in zip(found, NUMPY["gru_sequence"].fn(*args, **params), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell", list(CELLS))
def test_single_calls_and_programs_understand_each_other(cell, rng):
    args, cotangents = arguments(cell, (5, 4, 3, 20), "float32", rng)
    forward = getattr(rnn, f"{cell}_sequence")

    def outputs(*args):
        return forward(*args, sequences=False, backwards=False, keep=True)[: len(cotangents)]

    with kbackend.use_backend("numba"):
        args, cotangents = [[tensor(a) for a in arrays] for arrays in (args, cotangents)]
        _, pull = vjp(outputs, *args)
        single, compiled = pull(tuple(cotangents)), jit(pull)(tuple(cotangents))
        for a, b in zip(single, compiled, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("cell", list(CELLS))
def test_steps_shared_by_units(cell, rng):
    # Few examples, and more weights than are kept in a core's own cache.
    units = {"lstm": 260, "gru": 300, "simple_rnn": 520}[cell]
    args, cotangents = arguments(cell, (5, 3, 7, units), "float32", rng)
    check(cell, args, cotangents, sequences=True)
    pieces, _ = both(cell, args, cotangents, pieces=True)
    whole, _ = both(cell, args, cotangents)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a, b)


# ----- masks: NumPy has no kernels for them, so bodies tell what is right -----


def both_masked(cell, args, mask, cotangents, sequences, backwards, **options):
    """Results and gradients with a mask: compiled, and those of the bodies."""
    params, shown = {"sequences": sequences, "backwards": backwards}, 1 + CELLS[cell][0]
    names = f"masked_{cell}_sequence", f"masked_{cell}_sequence_grad"
    wants = (True,) * len(args)
    given = [tensor(a) for a in (*args, mask)]
    wanted = COMPOSITES[names[0]].body(*given, **params, keep=True)
    if sequences:
        cotangents = [np.stack([cotangents[0]] * args[0].shape[1], 1), *cotangents[1:]]
    grads = COMPOSITES[names[1]].body(
        *map(tensor, cotangents), *given[:-1], *wanted[shown:], given[-1], **params, wants=wants
    )
    wanted, grads = [[a.numpy() for a in arrays] for arrays in (wanted, grads)]
    found = run(names[0], [*args, mask], wanted, {**params, "keep": True}, **options)
    inputs = [*cotangents, *args, *found[shown:], mask]
    found_grads = run(names[1], inputs, grads, {**params, "wants": wants}, **options)
    return [*found[:shown], *found_grads], [*wanted[:shown], *grads]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("cell", list(CELLS))
def test_masks(cell, sequences, backwards, rng):
    for shape in SHAPES[1:7]:
        args, cotangents = arguments(cell, shape, "float32", rng)
        mask = rng.random(shape[:2]) < 0.6
        mask[0] = False
        found, wanted = both_masked(cell, args, mask, cotangents, sequences, backwards)
        for f, w in zip(found, wanted, strict=True):
            scale = max(1.0, float(np.abs(w).max()))
            np.testing.assert_allclose(f, w, rtol=0, atol=TOLERANCE["float32"] * scale)


def test_masks_of_any_layout_and_items_in_any_order(rng):
    args, cotangents = arguments("lstm", (29, 9, 5, 20), "float32", rng)
    mask = (rng.random((9, 29)) < 0.5).T
    whole, wanted = both_masked("lstm", args, mask, cotangents, True, False)
    pieces, _ = both_masked("lstm", args, mask, cotangents, True, False, pieces=True)
    for a, b, w in zip(whole, pieces, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, w, rtol=0, atol=2e-4)


@pytest.mark.parametrize("cell", list(CELLS))
def test_masked_empty_batches(cell, rng):
    args, cotangents = arguments(cell, (0, 3, 4, 5), "float32", rng)
    mask = np.zeros((0, 3), bool)
    for f, w in zip(*both_masked(cell, args, mask, cotangents, True, False), strict=True):
        np.testing.assert_array_equal(f, w)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_masks_in_low_precision(dtype):
    with kbackend.use_backend("numba"):
        x, w, r = [lang.full(s, 0.5, dtype) for s in ((2, 3, 4), (4, 5), (5, 5))]
        b, h, mask = (
            lang.zeros((5,), dtype),
            lang.zeros((2, 5), dtype),
            lang.full((2, 3), 1, "bool"),
        )
        params = {"sequences": False, "backwards": False, "keep": False}
        out, _ = rnn.masked_simple_rnn_sequence(x, w, r, b, h, mask, **params)
        assert out.dtype == dtype


@pytest.mark.parametrize(("triple", "features"), TARGETS)
@pytest.mark.parametrize("cell", list(CELLS))
def test_compiles_for_other_processors(cell, triple, features, rng):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = describe(triple, "", features)
    args, cotangents = arguments(cell, (5, 3, 4, 7), "float32", rng)
    params = {"sequences": False, "backwards": False}
    wanted = NUMPY[f"{cell}_sequence"].fn(*args, **params, keep=True)
    inputs = [*cotangents, *args, *wanted[len(cotangents) :]]
    for name, given, made, more in (
        (f"{cell}_sequence", args, wanted, {"keep": True}),
        (f"{cell}_sequence_grad", inputs, args, {"wants": (True,) * len(args)}),
    ):
        ready = prepare(name, tuple(map(spec, given)), tuple(map(spec, made)), {**params, **more})
        for call in ready.calls:
            assert object_code(lambda call=call: module(call.function, target), target)
