"""The batch in parts: what can be cut, that it computes the same, and what is left whole."""

import numpy as np
import pytest

import kbackend
from kbackend import layers, ops
from kbackend.base import tree
from kbackend.compiler.passes.split import split
from kbackend.compiler.pipeline import compile_graph, passes
from kbackend.core import composite, lang
from kbackend.core.composite import Composite
from kbackend.core.tensor import tensor
from kbackend.engine.loader import get_engine
from kbackend.ir.eval import evaluate
from kbackend.ir.trace import trace
from kbackend.ir.verify import verify
from kbackend_numpy import threads
from kbackend_numpy.engine import NumpyEngine

from .running import Plain

pytestmark = pytest.mark.engine("numpy")

ROWS = 8


def cut_by(parts):
    return lambda cut: parts


def args_of(*shapes):
    rng = np.random.default_rng(3)
    made = []
    for shape in shapes:
        if len(shape) == 2 and isinstance(shape[1], str):
            made.append(tensor(rng.integers(0, 5, shape[0]).astype(shape[1])))
        else:
            made.append(tensor(rng.normal(size=shape).astype("float32")))
    return made


def names(graph):
    return [eqn.op.name for eqn in graph.eqns]


def check(fn, *shapes, batch=1, parts=4, rtol=1e-5):
    """Cuts the graph of a function, asserts that it computes the same, and returns it."""
    args = args_of(*shapes)
    graph = verify(trace(fn, args, "f").graph)
    found = verify(split(graph, batch, cut_by(parts)))
    for f, w in zip(evaluate(found, args), evaluate(graph, args), strict=True):
        np.testing.assert_allclose(f, w, rtol=rtol, atol=1e-6)
    return found


X, IMAGE = (ROWS, 6), (ROWS, 7, 7, 2)

WHOLLY = {
    "elementwise": (lambda x: lang.exp(lang.mul(x, 2.0)), X),
    "beside a row": (lambda x, b: lang.add(x, b), X, (6,)),
    "beside what has a row for each": (lambda x, y: lang.mul(x, y), X, X),
    "beside a column for each": (lambda x, y: lang.sub(y, x), X, (ROWS, 1)),
    "matrix": (lambda x, w: lang.dot(x, w, ((1,), (0,))), X, (6, 3)),
    "turned matrix": (lambda x, w: lang.dot(w, x, ((1,), (1,))), X, (3, 6)),
    "products of rows": (lambda x, y: lang.dot(x, y, ((1,), (1,)), ((0,), (0,))), X, X),
    "sum over rows of products": (lambda x, g: lang.dot(x, g, ((0,), (0,))), X, (ROWS, 3)),
    "sum over other axes": (lambda x: lang.reduce_sum(x, (1,)), X),
    "sum over rows": (lambda x: lang.reduce_sum(x, (0,)), X),
    "mean over all": (lambda x: ops.mean(x * x), X),
    "maximum of each": (lambda x: lang.reduce_max(x, (1,), True), X),
    "argmax of each": (lambda x: lang.argmax(x, 1), X),
    "merged and parted": (lambda x: lang.reshape(lang.reshape(x, (ROWS * 6,)), (ROWS, 3, 2)), X),
    "transposed": (lambda x: lang.transpose(x, (1, 0)), X),
    "broadcast": (lambda x: lang.broadcast_to(lang.reshape(x, (ROWS, 1, 6)), (ROWS, 3, 6)), X),
    "broadcast in front": (lambda x: lang.broadcast_to(x, (2, *X)), X),
    "padded": (lambda x: lang.pad(x, 1.0, ((0, 0, 0), (1, 2, 1))), X),
    "sliced": (lambda x: lang.slice_(x, (0, 1), (ROWS, 5), (1, 2)), X),
    "reversed": (lambda x: lang.rev(x, (1,)), X),
    "side by side": (lambda x, y: lang.concatenate([x, y], 1), X, (ROWS, 2)),
    "looked up": (lambda i, table: lang.gather(table, (i,), (0,)), ((ROWS,), "int32"), (5, 3)),
    "running sum": (lambda x: lang.cumsum(x, 1), X),
    "sorted": (lambda x: lang.sort(x, 1), X),
    "convolution": (lambda x, w: ops.conv(x, w, padding="same"), IMAGE, (3, 3, 2, 4)),
    "pooling": (lambda x: ops.max_pool(x, 2), IMAGE),
    "softmax": (lambda x: ops.softmax(x), X),
    "layer normalisation": (lambda x: ops.layer_normalization(x), X),
    "labels": (lambda x, y: ops.sparse_categorical_crossentropy(y, x), X, ((ROWS,), "int32")),
    "attention": (lambda x: ops.dot_product_attention(x, x, x), (ROWS, 5, 2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLLY)
def test_is_done_in_parts(name):
    fn, *shapes = WHOLLY[name]
    data = sum(
        (shape[0] if isinstance(shape[1], str) else shape)[0] == ROWS
        for shape in shapes
        if len(shape) > 1
    )
    found = check(fn, *shapes, batch=data)
    kept = set(names(found)) - {"parts", "full"}
    assert "parts" in names(found) and not kept


GRADIENTS = {
    "dense": (lambda x, w, b: ops.sum(ops.tanh(x @ w + b)), X, (6, 3), (3,)),
    "convolution": (lambda x, w: ops.sum(ops.conv(x, w) ** 2), IMAGE, (3, 3, 2, 4)),
    "lookup": (
        lambda i, t: ops.sum(ops.take(t, i, axis=0) ** 2), ((ROWS, 3), "int32"), (5, 3),
    ),
    "layer norm": (lambda x, g: ops.sum(ops.layer_normalization(x, g) ** 3), X, (6,)),
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_weights_are_sums_over_the_parts(name):
    fn, *shapes = GRADIENTS[name]
    gradient = kbackend.grad(fn, argnums=tuple(range(1, len(shapes))))
    found = check(lambda *args: gradient(*args), *shapes)
    (cut,) = [eqn for eqn in found.eqns if eqn.op.name == "parts"]
    assert set(cut.params["joins"]) == {-1}


LEFT = {
    "a mean and what is relative to it": (lambda x: lang.sub(x, ops.mean(x, axis=0)), X, "sub"),
    "greatest of all": (lambda x: lang.reduce_max(lang.exp(x), (0,)), X, "reduce_max"),
    "running sum over rows": (lambda x: lang.cumsum(lang.exp(x), 0), X, "cumsum"),
    "rows reversed": (lambda x: lang.rev(lang.exp(x), (0,)), X, "rev"),
    "rows left out": (lambda x: lang.slice_(lang.exp(x), (0, 0), (4, 6)), X, "slice"),
    "rows against rows": (lambda x: lang.dot(x, lang.exp(x), ((1,), (1,))), X, "dot"),
    "square of a sum": (lambda x: lang.exp(lang.reduce_sum(x, (0,))), X, "exp"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_mixes_rows_comes_after(name):
    fn, shape, op = LEFT[name]
    assert op in names(check(fn, shape))


def test_a_composite_whose_constants_depend_on_the_batch_stays_whole(monkeypatch):
    monkeypatch.setattr(composite, "COMPOSITES", dict(composite.COMPOSITES))
    mean = Composite("mean_for_a_test", lambda x: lang.div(lang.reduce_sum(x, (0,)), x.shape[0]))
    assert "mean_for_a_test" in names(check(lambda x: mean(lang.exp(x)), X))


def test_constants_beside_the_batch_are_cut_or_made_in_pieces():
    column = tensor(np.arange(ROWS, dtype="float32").reshape(ROWS, 1))
    found = check(lambda x: x * column + ops.ones(X), X)
    (cut,) = [eqn for eqn in found.eqns if eqn.op.name == "parts"]
    assert sorted(cut.params["cuts"]) == [0, 0]


def test_indices_that_count_the_rows_count_those_of_the_part():
    picked = ops.arange(ROWS)

    def fn(x, y):
        return lang.gather(x, (picked, y), (0, 1))

    found = check(fn, X, ((ROWS,), "int32"), batch=2)
    assert names(found) == ["parts"]


def test_values_behind_barriers():
    block = kbackend.remat(lambda x, w: ops.tanh(ops.tanh(x @ w)))
    found = check(kbackend.grad(lambda x, w: ops.sum(block(x, w)), argnums=1), X, (6, 6))
    (cut,) = [eqn for eqn in found.eqns if eqn.op.name == "parts"]
    assert "barrier" in names(cut.params["body"])


def test_a_recurrent_layer_with_its_states():
    layer = layers.LSTM(3)
    layer.build((None, 4, 2))
    args = args_of((ROWS, 4, 2))
    traced = trace(lambda x: layer(x), args)
    found = verify(split(traced.graph, 1, cut_by(4)))
    assert "parts" in names(found) and "lstm_sequence" not in names(found)
    inputs = [*args, *[v.stored() for v in traced.read]]
    for f, w in zip(evaluate(found, inputs), evaluate(traced.graph, inputs), strict=True):
        np.testing.assert_allclose(f, w, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "parts"), [(7, 2), (6, 4), (1, 2), (0, 2)], ids=["odd", "no share", "one", "none"]
)
def test_a_batch_that_can_not_be_shared_out_stays_whole(rows, parts):
    graph = trace(lambda x: lang.exp(x), args_of((rows, 3))).graph
    assert split(graph, 1, cut_by(parts)) is graph


def test_the_engine_is_told_what_it_would_be():
    told = []
    graph = trace(lambda x, w: x @ w, args_of((ROWS, 6), (6, 3))).graph
    assert split(graph, 1, lambda cut: told.append(cut) or 1) is graph
    (cut,) = told
    assert (cut.rows, cut.flops, cut.loops) == (ROWS, 2 * ROWS * 6 * 3, False)
    assert (cut.shared, cut.moved) == (4 * 18, 4 * (ROWS * 6 + 18 + ROWS * 3))


# ----- programs -----


class Cutting(NumpyEngine):
    """NumPy that cuts every step."""

    def parts(self, cut):
        return 4


class PlainCutting(Plain):
    """Such an engine without a memory plan."""

    def parts(self, cut):
        return 4


def train(model):
    x, y = args_of((ROWS, *model.input_shape[1:]), ((ROWS,), "int32"))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    return trace(lambda data: model.train_step(data), ((x, y),)), (x, y)


def mlp():
    return kbackend.Sequential(
        [layers.Input((6,)), layers.Dense(4, activation="gelu"), layers.Dense(5, "softmax")]
    )


def convnet():
    return kbackend.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(3, 3, activation="relu"), layers.MaxPooling2D(),
         layers.Flatten(), layers.Dropout(0.3), layers.Dense(5, "softmax")]
    )  # fmt: skip


def transformer():
    i = layers.Input((6, 8))
    x = layers.LayerNormalization()(i + layers.MultiHeadAttention(2, 4)(i, i))
    x = layers.GlobalAveragePooling1D()(x)
    return kbackend.Model(i, layers.Dense(5, "softmax")(x))


@pytest.mark.parametrize("make", [mlp, convnet, transformer])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_training_step_on_any_number_of_threads(make, count, monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: count)
    traced, args = train(make())
    engine, wanted_engine = Cutting(), get_engine("numpy")
    inputs = [x.array for x in args] + [v.stored().array for v in traced.read]
    program = compile_graph(traced.graph, engine, (), len(args))
    assert [step.name for step in program.steps].count("parts") == 1
    wanted = wanted_engine.compile(compile_graph(traced.graph, wanted_engine))(inputs)[0]
    first, again = (engine.compile(program)(inputs)[0] for _ in range(2))
    plain = PlainCutting()
    interpreted = plain.compile(compile_graph(traced.graph, plain, (), len(args)))(inputs)[0]
    for a, b, i, w in zip(first, again, interpreted, wanted, strict=True):
        # Sums over the batch are made part by part, in the same order each time.
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, w, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(i, w, rtol=1e-4, atol=1e-6)


def test_the_plan_counts_the_memory_of_parts():
    traced, args = train(mlp())
    program = compile_graph(traced.graph, Cutting(), (), len(args))
    (body,) = [step.params["body"] for step in program.steps if step.name == "parts"]
    assert program.planned == program.arena + 4 * body.arena
    assert program.unshared == program.naive + 4 * body.naive > program.planned


def test_pieces_that_lie_apart():
    def fn(x, t):
        y = lang.dot(t, x, ((0,), (1,)))
        return lang.exp(lang.transpose(x, (1, 0))), y, lang.reduce_sum(x, (0,))

    engine, args = Cutting(), args_of((ROWS, 6), (6, 3))
    graph = trace(lambda x, t: fn(lang.exp(x), t), args).graph
    turned = trace(lambda x, t: fn(x, t), args).graph
    for one in (graph, turned):
        run = engine.compile(compile_graph(one, engine, (), 1))
        for f, w in zip(run([x.array for x in args])[0], evaluate(one, args), strict=True):
            np.testing.assert_allclose(f, w, rtol=1e-5, atol=1e-6)


def test_only_large_steps_are_cut(monkeypatch):
    monkeypatch.setattr(threads, "count", lambda: 2)
    model = mlp()
    x, y = args_of((ROWS, 6), ((ROWS,), "int32"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(np.asarray(x), np.asarray(y), batch_size=ROWS, verbose=0)
    (executable,) = model._steps._steps["train_step"].executables()
    assert "parts" not in [step.name for step in executable.program.steps]


def test_fit_with_parts_is_fit(monkeypatch):
    losses = []
    for parts in (1, 2):
        monkeypatch.setattr(NumpyEngine, "parts", lambda self, cut, parts=parts: parts)
        kbackend.utils.set_random_seed(5)
        model = convnet()
        x, y = args_of((20, 8, 8, 1), ((20,), "int32"))
        model.compile("adam", "sparse_categorical_crossentropy")
        history = model.fit(np.asarray(x), np.asarray(y), batch_size=8, epochs=3, verbose=0)
        losses.append(history.history["loss"])
        found = [
            step.name
            for one in model._steps._steps["train_step"].executables()
            for step in one.program.steps
        ]
        assert found.count("parts") == (2 if parts == 2 else 0)
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_an_error_in_a_part_names_its_layer(monkeypatch):
    monkeypatch.setattr(NumpyEngine, "parts", lambda self, cut: 2)
    model = kbackend.Sequential([layers.Input((3,)), layers.Embedding(4, 2, name="words")])
    good, bad = np.zeros((ROWS, 3), "int32"), np.full((ROWS, 3), 9, "int32")
    wanted = model.predict(good, verbose=0)
    with pytest.raises(IndexError, match=r"words.*gather"):
        model.predict(bad, verbose=0)
    np.testing.assert_array_equal(model.predict(good, verbose=0), wanted)


def test_every_pass_runs_on_cut_graphs():
    traced, args = train(transformer())
    engine, graph = Cutting(), traced.graph
    inputs = [*args, *[v.stored() for v in traced.read]]
    wanted = evaluate(graph, inputs)
    for one in passes(engine, len(args)):
        graph = verify(one.run(graph))
        for f, w in zip(evaluate(graph, inputs), wanted, strict=True):
            np.testing.assert_allclose(f, w, rtol=1e-4, atol=1e-6)
    assert tree.flatten(names(graph)).count("parts") == 1
