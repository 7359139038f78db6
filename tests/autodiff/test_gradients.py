"""Tapes and derivatives of functions, against JAX and by hand."""

import gc
import weakref

import numpy as np
import pytest

import kbackend as kb

jax = pytest.importorskip("jax")
T = kb.ops.convert_to_tensor

# ----- tapes -----


def test_persistent_and_single_use():
    x = T(3.0)
    with kb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    assert tape.gradient(z, x).item() == 108.0
    assert tape.gradient(z, y).item() == 18.0
    assert [g.item() for g in tape.gradient([y, z], {"x": x}).values()] == [114.0]
    with kb.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    tape.gradient(y, x)
    for again in (tape.gradient, tape.jacobian):
        with pytest.raises(RuntimeError, match="persistent=True"):
            again(y, x)


def test_unconnected_sources():
    x, w = T([3.0, 4.0]), kb.Variable([1.0])
    with kb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * 2.0
    assert tape.gradient(y, [x, w])[1] is None
    assert tape.gradient(y, w, unconnected_gradients="zero").tolist() == [0.0]
    assert tape.jacobian(y, w) is None
    with pytest.raises(ValueError, match="'none' or 'zero'"):
        tape.gradient(y, x, unconnected_gradients="nil")


def test_integer_targets_and_watches():
    with kb.GradientTape() as tape, pytest.raises(ValueError, match="floating.*int32"):
        tape.watch(T(1))
    with pytest.raises(ValueError, match="watch.. takes tensors. Received: float"):
        tape.watch(1.0)
    x = T(2.0)
    with kb.GradientTape() as tape:
        tape.watch(x)
        y = kb.ops.cast(kb.ops.cast(x, "int32") * 2, "float32") + x
    assert tape.gradient(y, x).item() == 1.0


def test_variables_are_watched_as_they_are_read():
    a, b = kb.Variable(2.0), kb.Variable(3.0)
    fixed = kb.Variable(5.0, trainable=False)
    with kb.GradientTape() as tape:
        y = b * a * fixed
    assert tape.watched_variables() == (b, a)
    assert [g if g is None else g.item() for g in tape.gradient(y, [a, b, fixed])] == [
        15.0, 10.0, None,
    ]  # fmt: skip
    with kb.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(fixed)
        y = a * fixed
        fixed.assign(7.0)
        y = y + fixed * fixed
    assert tape.gradient(y, [a, fixed])[0] is None
    with kb.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(fixed)
        fixed.assign(1.0)
        y = fixed * fixed
    assert tape.gradient(y, fixed).item() == 2.0


def test_assignment_between_read_and_gradient():
    v, x = kb.Variable(2.0), T(10.0)
    with kb.GradientTape() as tape:
        y = v * v
        v.assign(100.0)
    assert tape.gradient(y, v).item() == 4.0
    v.assign(2.0)
    with kb.GradientTape() as tape:
        tape.watch(x)
        v.assign(v * x)
        y = v * 3.0
    assert [g if g is None else g.item() for g in tape.gradient(y, [v, x])] == [3.0, None]


def test_stop_recording_and_reset():
    x = T(2.0)
    with kb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        with tape.stop_recording():
            z = x * y
    assert tape.gradient(y, x).item() == 4.0
    assert tape.gradient(z, x) is None
    with kb.GradientTape() as tape:
        tape.watch(x)
        y = x * x
        tape.reset()
        z = x * 3.0
    assert tape.gradient([y, z], x) is None
    with tape, pytest.raises(ValueError, match="recording already"):
        tape.__enter__()


def test_output_gradients():
    x = T([1.0, 2.0])
    with kb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, z = x * x, x * 3.0
    assert tape.gradient(y, x, output_gradients=T([1.0, 10.0])).tolist() == [2.0, 40.0]
    assert tape.gradient([y, z], x, output_gradients=[None, T([1.0, 0.0])]).tolist() == [5.0, 4.0]
    with pytest.raises(ValueError, match="structured like 'target'"):
        tape.gradient(y, x, output_gradients=[T([1.0, 1.0])] * 2)
    with pytest.raises(ValueError, match=r"shape of its target. Received: \(3,\)"):
        tape.gradient(y, x, output_gradients=T([1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="'sources' must be tensors or variables"):
        tape.gradient(y, 1.0)


def test_nested_tapes():
    x = T(2.0)
    with kb.GradientTape() as third:
        third.watch(x)
        with kb.GradientTape() as second:
            second.watch(x)
            with kb.GradientTape() as first:
                first.watch(x)
                y = x**4
            g = first.gradient(y, x)
        h = second.gradient(g, x)
    found = third.gradient(h, x)
    assert [float(d) for d in (g, h, found)] == pytest.approx([32.0, 48.0, 48.0])


def test_jacobians():
    x = T([[1.0, 2.0], [3.0, 4.0]])
    w = kb.Variable([[1.0, -1.0, 0.5], [2.0, 0.0, 1.0]])
    with kb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = (x @ w) ** 2

    def fn(x, w):
        return (x @ w) ** 2

    ours = tape.jacobian(y, [x, w])
    for found, expected in zip(ours, jax.jacobian(fn, (0, 1))(x.numpy(), w.numpy()), strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-6)
    batch = tape.batch_jacobian(y, x)
    full = np.asarray(ours[0])
    for i in range(2):
        np.testing.assert_allclose(np.asarray(batch)[i], full[i, :, i], rtol=1e-6)
    with pytest.raises(ValueError, match="same batch size"):
        tape.batch_jacobian(kb.ops.sum(y), x)


def test_tape_lets_go_of_intermediates():
    x = T(np.ones(10, "float32"))
    with kb.GradientTape() as tape:
        tape.watch(x)
        middle = kb.ops.exp(x)
        y = kb.ops.sum(middle * middle)
    alive = weakref.ref(middle)
    del middle
    assert alive() is not None
    tape.gradient(y, x)
    gc.collect()
    assert alive() is None
    assert not tape._nodes
    assert not tape._live


def test_intermediates_go_during_the_backward_pass():
    x, counts = T(1.0), []

    @kb.custom_gradient
    def probe(x):
        def pull(g):
            counts.append(sum(ref() is not None for ref in refs))
            return g

        return x, pull

    with kb.GradientTape() as tape:
        tape.watch(x)
        y, refs = probe(x), []
        for _ in range(20):
            y = kb.ops.exp(y * 0.5)
            refs.append(weakref.ref(y))
    tape.gradient(y, x)
    assert counts == [1]  # the target alone


# ----- derivatives of functions -----

FUNCTIONS = [
    (lambda np_: lambda x: np_.sum(np_.sin(x) * np_.exp(-x))),
    (lambda np_: lambda x: np_.sum(np_.tanh(np_.outer(x, x)) ** 2)),
    (lambda np_: lambda x: np_.log(np_.sum(np_.exp(x * x)))),
    (lambda np_: lambda x: np_.prod(x) + np_.max(x) * np_.mean(x)),
]


@pytest.mark.parametrize("index", range(len(FUNCTIONS)))
def test_grad_and_hessian_are_those_of_jax(index):
    ours, theirs = FUNCTIONS[index](kb.ops), FUNCTIONS[index](jax.numpy)
    x = np.array([0.3, -0.7, 1.2], "float32")
    # Rounding in float32, through two derivatives.
    np.testing.assert_allclose(
        np.asarray(kb.grad(ours)(T(x))), jax.grad(theirs)(x), rtol=2e-5, atol=2e-6
    )
    np.testing.assert_allclose(
        np.asarray(kb.hessian(ours)(T(x))), jax.hessian(theirs)(x), rtol=1e-4, atol=1e-5
    )
    t = np.array([1.0, 2.0, -1.0], "float32")
    for a, b in zip(kb.jvp(ours, (T(x),), (T(t),)), jax.jvp(theirs, (x,), (t,)), strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=2e-5, atol=2e-6)


def test_arguments():
    def fn(p, q, scale=1.0):
        return kb.ops.sum(p["a"] * q) * scale, {"aux": p["a"]}

    p, q = {"a": T([1.0, 2.0])}, kb.Variable([3.0, 4.0])
    (value, aux), (gp, gq) = kb.value_and_grad(fn, argnums=(0, -1), has_aux=True)(p, q, scale=2.0)
    assert (value.item(), aux["aux"].tolist()) == (22.0, [1.0, 2.0])
    assert (gp["a"].tolist(), gq.tolist()) == ([6.0, 8.0], [2.0, 4.0])
    g, aux = kb.grad(fn, 1, has_aux=True)(p, q)
    assert (g.tolist(), set(aux)) == ([1.0, 2.0], {"aux"})
    with pytest.raises(ValueError, match="'argnums'.*argnums=2 for 1"):
        kb.grad(lambda x: x, argnums=2)(1.0)
    with pytest.raises(ValueError, match=r"scalar.*\(2,\)"):
        kb.grad(lambda x: x * 2.0)(T([1.0, 2.0]))


def test_one_tensor_in_two_places():
    x = T(3.0)
    found = kb.grad(lambda a, b: a * a * b, argnums=(0, 1))(x, x)
    assert [g.item() for g in found] == [18.0, 9.0]
    _, pullback = kb.vjp(lambda a, b: a - b, x, x)
    assert [g.item() for g in pullback(1.0)] == [1.0, -1.0]
    assert kb.jvp(lambda a, b: a * b, (x, x), (T(1.0), T(0.0)))[1].item() == 3.0
    assert kb.grad(lambda z: sum(kb.grad(lambda a, b: a * a * b, (0, 1))(z, z)))(x).item() == 18.0


def test_vjp_and_jvp_of_structures():
    y, pullback, aux = kb.vjp(lambda x: ({"u": x * x, "v": x}, "aux"), T([1.0, 2.0]), has_aux=True)
    assert aux == "aux"
    for _ in range(2):
        (g,) = pullback({"u": T([1.0, 0.0]), "v": T([0.0, 5.0])})
        assert g.tolist() == [2.0, 5.0]
    with pytest.raises(ValueError, match="1 primals and 2 tangents"):
        kb.jvp(lambda x: x, (T(1.0),), (T(1.0), T(2.0)))


# ----- custom gradients -----


def test_custom_gradient_of_several_arguments():
    @kb.custom_gradient
    def fn(xs, y, flag=False):
        a, b = xs
        assert flag
        return {"s": a + b, "p": a * y}, lambda p, s: ([p * 10.0, s * 100.0], p * 1000.0)

    a, b, y = T(1.0), T(2.0), T(3.0)
    with kb.GradientTape() as tape:
        tape.watch([a, b, y])
        out = fn([a, b], y, flag=True)
        total = out["s"] + 2.0 * out["p"]
    assert [g.item() for g in tape.gradient(total, [a, b, y])] == [20.0, 100.0, 2000.0]


def test_custom_gradient_of_second_order():
    @kb.custom_gradient
    def fn(x):
        return x**3, lambda g: g * x * x * 7.0

    assert kb.grad(fn)(2.0).item() == 28.0
    assert kb.grad(kb.grad(fn))(2.0).item() == 28.0


def test_custom_gradient_errors():
    @kb.custom_gradient
    def two(x, y):
        return x * y, lambda g: g

    with pytest.raises(ValueError, match="gradient of two must return 2.*Received: 1"):
        kb.grad(two)(1.0, 2.0)

    @kb.custom_gradient
    def wide(x):
        return x * 2.0, lambda g: kb.ops.ones((3,))

    with pytest.raises(ValueError, match=r"shape of its argument, \(\). Received: \(3,\)"):
        kb.grad(wide)(1.0)


def test_stop_gradient_of_structures():
    x = T(3.0)
    with kb.GradientTape() as tape:
        tape.watch(x)
        parts = kb.stop_gradient({"a": x, "b": [x * 2.0]})
        y = parts["a"] * parts["b"][0] * x
    assert tape.gradient(y, x).item() == 18.0
