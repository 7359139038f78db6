"""Updates of tables whose gradients are rows: all that is done to the table in one go."""

import numpy as np
import pytest

import kbackend
from kbackend import layers, optimizers
from kbackend.base import naming
from kbackend.base.dtypes import name_of, numpy_dtype
from kbackend.compiler.compiled import Compiled, jit
from kbackend.config import set_num_threads
from kbackend.core import lang
from kbackend.core.tensor import tensor
from kbackend.engine.program import Node, Region, Spec
from kbackend.optimizers.updates import sgd_update
from kbackend.state.variable import Variable
from kbackend_numba.codegen.target import host
from kbackend_numba.engine import NumbaEngine
from kbackend_numba.native import Native
from kbackend_numba.table import prepare
from tests.engines.numba.harness import item_by_item
from tests.engines.numba.test_updates_together import AROUND, CLIPPING, HALVES, MAKERS
from tests.engines.numpy_prepared.harness import garbage

OPTIMIZERS = {
    **MAKERS,
    "adagrad": lambda **kw: optimizers.Adagrad(0.1, **kw),
    "adamax": lambda **kw: optimizers.Adamax(0.01, **kw),
    "lion": lambda **kw: optimizers.Lion(0.01, **kw),
}
SHAPE = (300, 21)


@pytest.fixture(autouse=True)
def as_before():
    yield
    set_num_threads(None)


def run(make, steps=3, engine="numba", dtype="float32", shape=SHAPE, **settings):
    """What some steps make of a table, a vector and the state, and the program of a step."""
    rng = np.random.default_rng(5)
    kind = numpy_dtype(dtype)
    with kbackend.use_backend(engine):
        table = Variable(rng.normal(size=shape).astype(kind), dtype=dtype)
        bias = Variable(rng.normal(size=(7,)).astype(kind), dtype=dtype)
        optimizer = make(**settings)
        optimizer.build([table, bias])

        def apply(rows, index, gradient):
            zeros = lang.zeros(shape, dtype)
            looked_up = lang.scatter(zeros, rows, (index,), (0,), "add")
            optimizer.apply([looked_up, gradient], [table, bias])

        step = Compiled(apply, "apply")
        for _ in range(steps):
            # Of a few bits, so that sums of squares are the same in any order.
            rows, gradient = [
                (rng.integers(-8, 9, size) / 8).astype(kind) for size in ((6, 5, *shape[1:]), (7,))
            ]
            index = rng.integers(-shape[0], shape[0], (6, 5)) // 3
            step(*map(tensor, (rows, index.astype("int32"), gradient)))
        (compiled,) = step.executables()
        return [v.numpy() for v in (table, bias, *optimizer.variables)], compiled.program


def steps_of_size(program, shape=SHAPE):
    """The steps that take or make something as large as the table."""
    return [
        step
        for step in program.steps
        if any(program.specs[v].shape == shape for v in (*step.inputs, *step.outputs))
    ]


def in_one_pass(program, shape=SHAPE, passes=1):
    """Decay, clipping, the rule and the average are one step, in place: nothing is copied."""
    steps = steps_of_size(program, shape)
    assert [step.name for step in steps] == ["scattered"] * passes
    assert all(isinstance(step.prepared, Native) for step in steps)


@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_as_on_numpy_and_in_one_pass(name, clipping):
    settings = AROUND | clipping
    wanted, _ = run(OPTIMIZERS[name], engine="numpy", **settings)
    found = []
    for count in (1, 2, 3):
        set_num_threads(count)
        values, program = run(OPTIMIZERS[name], **settings)
        found.append(values)
    for one, two, three, want in zip(*found, wanted, strict=True):
        assert one.tobytes() == two.tobytes() == three.tobytes()
        np.testing.assert_allclose(one, want, rtol=3e-5, atol=3e-6)
    in_one_pass(program, passes=2 if name == "lion" and not clipping else 1)
    # Norms are sums of the rows.
    found = [step for step in program.steps if step.name == "scattered"]
    sums = [step for step in found if program.specs[step.outputs[0]].shape == ()]
    assert len(sums) == any("norm" in key for key in clipping)


@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_bits_as_with_the_gradient_written(name, clipping, monkeypatch):
    settings = AROUND | clipping
    found, _ = run(OPTIMIZERS[name], **settings)
    monkeypatch.setattr(NumbaEngine, "scatters", lambda *args: False)
    wanted, program = run(OPTIMIZERS[name], **settings)
    assert "scatter" in {step.name for step in program.steps}
    for one, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, want)


@pytest.mark.parametrize("settings", [{}, AROUND], ids=["alone", "around"])
@pytest.mark.parametrize("shape", [(5, 8), (2, 3, 8), (4000, 16), (1, 40)], ids=str)
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_tables_of_any_shape(name, shape, settings, monkeypatch):
    settings = settings | {"global_clipnorm": 0.5}
    found, program = run(MAKERS[name], shape=shape, **settings)
    in_one_pass(program, shape)
    monkeypatch.setattr(NumbaEngine, "scatters", lambda *args: False)
    for one, want in zip(found, run(MAKERS[name], shape=shape, **settings)[0], strict=True):
        np.testing.assert_array_equal(one, want)


@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "centered"])
def test_other_floats(name, dtype, clipping, monkeypatch):
    if dtype in HALVES and not host().casts(dtype):
        pytest.skip("the processor has no casts of this dtype")
    settings = AROUND | clipping | {"dtype": dtype}
    found, program = run(MAKERS[name], **settings)
    in_one_pass(program)
    monkeypatch.setattr(NumbaEngine, "scatters", lambda *args: False)
    for one, want in zip(found, run(MAKERS[name], **settings)[0], strict=True):
        np.testing.assert_array_equal(one.astype("float64"), want.astype("float64"))


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_model_learns_as_on_numpy(name):
    """Embedding, a norm over all gradients, decay and averaged weights: the curve is NumPy's."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 50, (64, 6)), rng.normal(size=(64, 4))
    histories = []
    for engine in ("numba", "numpy"):
        with kbackend.use_backend(engine):
            kbackend.utils.set_random_seed(4)
            naming.reset_uids()
            model = kbackend.Sequential(
                [layers.Embedding(50, 16), layers.Flatten(), layers.Dense(4)]
            )
            model.compile(MAKERS[name](global_clipnorm=0.3, **AROUND), "mse")
            fitted = model.fit(x, y, batch_size=16, epochs=3, verbose=0)
            histories.append(fitted.history["loss"])
    assert histories[0][-1] < histories[0][0]
    np.testing.assert_allclose(*histories, rtol=1e-5)


# ----- the kernel -----


TABLE, ROW = Spec((20, 12), "float32"), Spec((), "float32")
ROWS, INDEX = Spec((3, 12), "float32"), Spec((3,), "int32")


def descent(dtype="float32", name="sub"):
    """The parameters of a step of gradient descent, and the specs of its arrays."""
    table, rate, rows = [spec._replace(dtype=dtype) for spec in (TABLE, ROW, ROWS)]
    region = Region(
        inputs=(table, table, rate),
        nodes=(Node("mul", (1, 2), {}, table), Node(name, (0, 3), {}, table)),
        outputs=(4,),
        shape=(20, 12),
    )
    return {"region": region, "place": 1, "axes": (0,)}, (table, rate, rows, INDEX)


PARAMS, _ = descent()


def run_descent(p, rate, rows, index, how, name):
    """A step of gradient descent by the kernel itself."""
    params, specs = descent(name_of(p.dtype), name)
    ready = prepare("scattered", specs, specs[:1], params)
    out = garbage(specs[0])
    if how == "in place":
        assert (0, 0) in ready.overwrites
        out[...] = p
        p = out
    arrays = [out, p, np.asarray(rate, p.dtype), rows, index, *map(garbage, ready.scratch)]
    if how == "pieces":
        item_by_item(ready, arrays)
    else:
        ready.run(*arrays)
    return out


@pytest.mark.parametrize("name", ["sub", "add"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("how", ["whole", "in place", "pieces"])
@pytest.mark.parametrize("rate", [0.5, 0.0, np.inf, np.nan])
def test_gradient_descent_leaves_rows_alone_unless_its_rate_is_not_finite(
    rate, how, dtype, name, rng
):
    if dtype in HALVES and not host().casts(dtype):
        pytest.skip("the processor has no casts of this dtype")
    kind = numpy_dtype(dtype)
    p, rows = [rng.normal(size=s.shape).astype(kind) for s in (TABLE, ROWS)]
    index = np.array([4, -1, 4], "int32")
    gradient = np.zeros(p.shape, "float64")
    np.add.at(gradient, index, rows.astype("float64"))
    with np.errstate(all="ignore"):
        step = gradient * rate
        wanted = p.astype("float64") + (step if name == "add" else -step)
    found = run_descent(p.copy(), rate, rows, index, how, name)
    # The sum and the result are rounded.
    bound = {"float16": 2.0**-9, "bfloat16": 2.0**-6}.get(dtype, 1e-6)
    np.testing.assert_allclose(found.astype("float64"), wanted, rtol=bound, atol=bound)
    alone = np.delete(np.arange(20), [4, 19])
    if np.isfinite(rate):
        np.testing.assert_array_equal(found[alone], p[alone])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rows_that_are_left_alone_are_not_touched(dtype):
    """An operation would make these numbers other ones: it makes them quiet."""
    if dtype in HALVES and not host().casts(dtype):
        pytest.skip("the processor has no casts of this dtype")
    kind = numpy_dtype(dtype)
    word, signal = {
        "float32": ("uint32", 0x7F800001),
        "bfloat16": ("uint16", 0x7F81),
        "float16": ("uint16", 0x7C01),
    }[dtype]
    bits = np.full((20, 12), signal, word)
    rows, index = np.zeros((3, 12), kind), np.array([4, 5, 4], "int32")
    found = run_descent(bits.view(kind), 0.5, rows, index, "in place", "sub").view(word)
    touched = np.flatnonzero((found != bits).any(axis=1))
    np.testing.assert_array_equal(touched, [4, 5])


def test_what_a_region_adds_to_all_rows_is_added():
    with kbackend.use_backend("numba"):

        def step(p, rows, index):
            gradient = lang.scatter(lang.zeros((20, 12), "float32"), rows, (index,), (0,), "add")
            return lang.sub(p, lang.mul(lang.sub(gradient, 1.0), 0.5))

        compiled = Compiled(step, "step")
        p, rows = np.ones((20, 12), "float32"), np.ones((3, 12), "float32")
        found = compiled(*map(tensor, (p, rows, np.array([0, 1, 1])))).numpy()
        (executable,) = compiled.executables()
        assert "scattered" in {one.name for one in executable.program.steps}
        np.testing.assert_array_equal(found[:3, 0], [1.0, 0.5, 1.5])


def test_rows_and_indices_in_any_layout():
    with kbackend.use_backend("numba"):

        def step(p, row, index):
            rows = lang.broadcast_to(row, (8, 5, 12))
            at = lang.transpose(index, (1, 0))
            gradient = lang.scatter(lang.zeros((20, 12), "float32"), rows, (at,), (0,), "add")
            return sgd_update(p, gradient, lang.full((), 0.5, "float32"))

        compiled = Compiled(step, "step")
        rng = np.random.default_rng(0)
        p, row = [rng.normal(size=s).astype("float32") for s in ((20, 12), (12,))]
        index = rng.integers(0, 20, (5, 8))
        found = compiled(*map(tensor, (p, row, index))).numpy()
        (executable,) = compiled.executables()
        assert "scattered" in {one.name for one in executable.program.steps}
        counts = np.bincount(index.reshape(-1), minlength=20)[:, None]
        np.testing.assert_allclose(found, p - counts * row * 0.5, rtol=0, atol=2e-6)


def test_a_wrong_index_changes_nothing():
    table = np.random.default_rng(0).normal(size=(20, 12)).astype("float32")
    with kbackend.use_backend("numba"):
        variable = Variable(table)

        def step(index):
            rows = lang.full((3, 12), 1.0, "float32")
            zeros = lang.zeros((20, 12), "float32")
            gradient = lang.scatter(zeros, rows, (index,), (0,), "add")
            variable.assign(sgd_update(variable.value, gradient, lang.full((), 0.5, "float32")))

        compiled = jit(step)
        compiled(tensor(np.array([0, 1, 1])))
        table[[0, 1]] -= [[0.5], [1.0]]
        np.testing.assert_allclose(variable.numpy(), table, rtol=0, atol=1e-6)
        before = variable.numpy().copy()
        with pytest.raises(IndexError, match="Index 20 is out of range"):
            compiled(tensor(np.array([0, 20, 1])))
        np.testing.assert_array_equal(variable.numpy(), before)


def test_what_rows_are_left_to_two_steps():
    engine = NumbaEngine()
    assert engine.scatters(TABLE, (INDEX,), (0,))
    assert not engine.scatters(TABLE, (INDEX,), (1,))
    assert not engine.scatters(TABLE, (INDEX, INDEX), (0, 1))
    assert not engine.scatters(TABLE, (Spec((3,), "uint8"),), (0,))
    assert not engine.scatters(Spec((20, 2), "float32"), (INDEX,), (0,))
    assert not engine.scatters(Spec((20, 12), "int32"), (INDEX,), (0,))
    turned = Spec((20, 12), "float32", (1, 20))
    for p, rate in ((turned, ROW), (TABLE, Spec((12,), "float32"))):
        assert prepare("scattered", (p, rate, ROWS, INDEX), (TABLE,), PARAMS) is None
    total = Region(
        inputs=(TABLE, TABLE),
        nodes=(Node("mul", (0, 1), {}, TABLE),
               Node("reduce_sum", (2,), {"axes": (0, 1), "keepdims": False}, ROW)),
        outputs=(3,),
        shape=(20, 12),
        axes=(0, 1),
    )  # fmt: skip
    params = {"region": total, "place": 1, "axes": (0,)}
    assert prepare("scattered", (TABLE, ROWS, INDEX), (ROW,), params) is None
