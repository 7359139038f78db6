"""Rematerialisation: the same values and gradients, with less kept."""

import gc
import weakref

import numpy as np
import pytest

import kbackend as kb

T = kb.ops.convert_to_tensor


def _both(fn, *args, sources):
    """Values and gradients of `fn`, without and with remat."""
    found = []
    for wrapped in (fn, kb.remat(fn)):
        with kb.GradientTape() as tape:
            tape.watch([s for s in sources if not isinstance(s, kb.Variable)])
            y = wrapped(*args)
        found.append([y, *tape.gradient(y, sources)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    return found[1]


def test_values_and_gradients():
    x, w, c = T([0.5, 1.5]), kb.Variable([2.0, 3.0]), T([1.0, -1.0])
    _both(lambda x: kb.ops.sin(x * w) * x + c * c * x, x, sources=[x, w, c])
    _both(lambda: w * w, sources=[w])
    _both(lambda x: x, x, sources=[x])


def test_one_node_is_kept():
    x = T(np.ones(5, "float32"))
    refs = []

    def fn(x):
        for _ in range(10):
            x = kb.ops.tanh(x)
            refs.append(weakref.ref(x))
        return x

    counts = []
    for wrapped in (fn, kb.remat(fn)):
        refs.clear()
        with kb.GradientTape() as tape:
            tape.watch(x)
            y = wrapped(x)
        gc.collect()
        counts.append((len(tape._nodes), sum(ref() is not None for ref in refs)))
        assert tape.gradient(y, x).shape == (5,)
    assert counts == [(10, 10), (1, 0)]


def test_second_order_and_nesting():
    def fn(x):
        return kb.ops.sin(x) * x

    expected = kb.grad(kb.grad(fn))(0.7).item()
    assert kb.grad(kb.grad(kb.remat(fn)))(0.7).item() == pytest.approx(expected, rel=1e-6)
    inner = kb.remat(lambda x: kb.ops.exp(x) * w)
    w, x = kb.Variable(3.0), T(0.5)
    _both(lambda x: inner(x) * w + kb.remat(lambda: w * x)(), x, sources=[x, w])


def test_dropout_has_one_mask():
    seed, x = kb.random.SeedGenerator(3), T(np.ones(200, "float32"))
    with kb.GradientTape() as tape:
        tape.watch(x)
        y = kb.remat(lambda x: kb.random.dropout(x, 0.5, seed=seed) * x)(x)
    assert 0 < np.count_nonzero(y.numpy()) < 200
    assert seed.state.tolist() == [3, 1]
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), 2.0 * y.numpy())
    assert seed.state.tolist() == [3, 1]


def test_the_global_generator_has_one_mask():
    x = T(np.ones(200, "float32"))
    with kb.GradientTape() as tape:
        tape.watch(x)
        y = kb.remat(lambda x: kb.random.dropout(x, 0.5) * x)(x)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), 2.0 * y.numpy())


def test_state_changes_once():
    counter, x = kb.Variable(1.0, trainable=False), T(3.0)

    def fn(x):
        counter.assign_add(1.0)
        return x * x * counter

    with kb.GradientTape() as tape:
        tape.watch(x)
        y = kb.remat(fn)(x)
    counter.assign_add(10.0)
    assert (y.item(), tape.gradient(y, x).item(), float(counter)) == (18.0, 12.0, 12.0)
    with kb.StatelessScope([(counter, T(4.0))]) as scope:
        with kb.GradientTape() as tape:
            tape.watch(x)
            y = kb.remat(fn)(x)
    assert float(scope.get_current_value(counter)) == 5.0
    assert (tape.gradient(y, x).item(), float(counter)) == (30.0, 12.0)


def test_variables_may_change_before_the_gradient():
    w, x = kb.Variable(2.0), T(3.0)
    with kb.GradientTape() as tape:
        tape.watch(x)
        y = kb.remat(lambda x: w * w * x)(x)
        w.assign(100.0)
    assert [g.item() for g in tape.gradient(y, [x, w])] == [4.0, 12.0]


def test_structures_and_none():
    x = T(2.0)
    with kb.GradientTape() as tape:
        tape.watch(x)
        out = kb.remat(lambda d, scale: {"a": d["x"] * scale, "n": None, "i": T(1)})(
            {"x": x}, scale=4.0
        )
    assert (out["n"], out["i"].dtype) == (None, "int32")
    assert tape.gradient(out["a"], x).item() == 4.0


def _model(scope):
    with scope:
        model = kb.Sequential(
            [
                kb.Input((6,)),
                kb.layers.Dense(8, activation="tanh", name="one", dtype="mixed_bfloat16"),
                kb.layers.Dropout(0.5, seed=1),
                kb.layers.BatchNormalization(name="norm"),
                kb.layers.Activation(lambda x: kb.ops.exp(-x * x) * x + 1.0),
                kb.layers.Dense(2, name="two"),
            ]
        )
    return model


@pytest.mark.parametrize(
    "scope",
    [
        {"mode": "full"}, {"mode": "activations"},
        {"mode": "larger_than", "output_size_threshold": 20},
        {"mode": "list_of_layers", "layer_names": ["one"]},
    ],
    ids=lambda s: s["mode"],
)  # fmt: skip
def test_remat_scope_changes_nothing_but_memory(scope, rng):
    x = rng.standard_normal((4, 6)).astype("float32")
    plain, saving = _model(kb.RematScope(None)), _model(kb.RematScope(**scope))
    saving.set_weights(plain.get_weights())
    nodes, found = [], []
    for model in (plain, saving):
        for _ in range(2):
            with kb.GradientTape() as tape:
                y = kb.ops.sum(model(x, training=True) ** 2)
            count = len(tape._nodes)
            grads = tape.gradient(y, model.trainable_variables)
        nodes.append(count)
        found.append([np.asarray(v) for v in (y, *grads, *model.non_trainable_variables)])
    assert nodes[1] < nodes[0]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_remat_scope_modes():
    with pytest.raises(ValueError, match="'mode' must be one of.*mode='some'"):
        kb.RematScope("some")
    assert not kb.RematScope("larger_than", 10).covers("a", False, None)
    assert kb.RematScope("larger_than", 10).covers("a", False, 11)
    assert not kb.RematScope("larger_than", 10).covers("a", False, 10)
    assert not kb.RematScope(None).covers("a", True, 10**9)


def test_a_trace_keeps_recomputed_values_apart_and_needs_less_memory():
    def block(x, w):
        for _ in range(3):
            x = kb.ops.tanh(x @ w)
        return x

    def gradient(block):
        def loss(x, w):
            for _ in range(4):
                x = block(x, w)
            return kb.ops.sum(x * x)

        return kb.jit(kb.grad(loss, argnums=(0, 1)))

    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 16)).astype("float32")
    w = rng.normal(0, 0.2, size=(16, 16)).astype("float32")
    plain, rematerialised = gradient(block), gradient(kb.remat(block))
    for a, b in zip(plain(x, w), rematerialised(x, w), strict=True):
        # The passes may turn a product's operands round differently, which reorders its sums.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    sizes = [fn.compiled.executables()[0].program.arena for fn in (plain, rematerialised)]
    assert sizes[1] < 0.7 * sizes[0]


def test_second_order_through_rematerialised_values_in_a_trace():
    def loss(x):
        return kb.ops.sum(kb.remat(lambda x: kb.ops.tanh(x) ** 2)(x))

    x = np.array([0.3, 0.7], "float32")
    found = kb.jit(kb.hessian(loss))(x)
    np.testing.assert_allclose(found, kb.hessian(loss)(x), rtol=1e-6)
