"""jit and gradients: inside of compiled functions, around them, and of any order."""

import numpy as np
import pytest

import kbackend as k
from kbackend import ops

X = ops.convert_to_tensor(np.array([0.5, -1.0, 2.0], "float32"))


def close(found, wanted):
    """The same structure of values, but for sums taken in another order."""
    k.tree.map_structure(
        lambda f, w: np.testing.assert_allclose(np.asarray(f), np.asarray(w), rtol=1e-5, atol=1e-6),
        found,
        wanted,
    )


def check(fn, *args):
    """Asserts that a function gives the same compiled, with one program."""
    compiled = k.jit(fn)
    wanted = fn(*args)
    for _ in range(2):
        close(compiled(*args), wanted)
    assert len(compiled.compiled.executables()) == 1
    return compiled


def cube(x):
    return ops.sum(x * x * x + ops.sin(x))


def test_tape_inside():
    def fn(x):
        with k.GradientTape() as tape:
            tape.watch(x)
            y = cube(x)
        return y, tape.gradient(y, x)

    check(fn, X)


def test_tape_inside_with_variables():
    w = k.Variable([1.0, 2.0, 3.0])

    def fn(x):
        with k.GradientTape(persistent=True) as tape:
            y = ops.sum(ops.tanh(x * w) * w)
        return y, tape.gradient(y, w), tape.gradient(y, [w])

    check(fn, X)


def test_assignment_under_a_tape():
    w, w2 = k.Variable([1.0, 2.0, 3.0]), k.Variable([1.0, 2.0, 3.0])

    def fn(x, w):
        with k.GradientTape() as tape:
            y = ops.sum(w * x)
            w.assign(w * 2)
            z = y + ops.sum(w * w)
        return z, tape.gradient(z, w)

    compiled = k.jit(lambda x: fn(x, w2))
    for _ in range(3):
        close(compiled(X), fn(X, w))
        close(w2.value, w.value)


def test_a_training_step():
    def make():
        w = k.Variable([[0.5], [-0.5]])
        optimizer = k.optimizers.Adam(0.1)

        def step(x, y):
            with k.GradientTape() as tape:
                loss = ops.mean((x @ w - y) ** 2)
            optimizer.apply(tape.gradient(loss, [w]), [w])
            return loss

        return step, w

    x = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]], "float32")
    y = x @ np.array([[2.0], [1.0]], "float32")
    (eager, w), (step, w2) = make(), make()
    compiled = k.jit(step)
    for _ in range(5):
        close(compiled(x, y), eager(x, y))
        close(w2.value, w.value)
    assert len(compiled.compiled.executables()) == 1


def test_grad_inside():
    check(k.grad(cube), X)
    check(k.value_and_grad(cube), X)
    check(lambda x: k.grad(lambda a, b: ops.sum(a * b * b), argnums=(0, 1))(x, x + 1), X)


def test_vjp_and_jvp_inside():
    def back(x, ct):
        y, pull = k.vjp(lambda x: ops.exp(x) * x, x)
        return y, pull(ct)

    check(back, X, X * 2)
    check(lambda x, t: k.jvp(lambda x: ops.exp(x) * x, (x,), (t,)), X, X * 2)


def test_second_order_inside():
    check(k.grad(lambda x: ops.sum(k.grad(cube)(x) ** 2)), X)
    check(k.hessian(cube), X)
    check(k.jacobian(lambda x: ops.cumsum(x * x)), X)

    def nested(x):
        with k.GradientTape() as outer:
            outer.watch(x)
            with k.GradientTape() as inner:
                inner.watch(x)
                y = cube(x)
            first = inner.gradient(y, x)
        return first, outer.gradient(first, x)

    check(nested, X)


@k.custom_gradient
def clipped(x):
    def grad(*args, upstream=None):
        return ops.clip(args[0] if upstream is None else upstream, -0.5, 0.5)

    return x * 3, grad


def test_custom_gradient_inside():
    compiled = check(k.value_and_grad(lambda x: ops.sum(clipped(x) ** 2)), X)
    assert np.abs(np.asarray(compiled(X)[1])).max() <= 0.5


def test_stop_gradient_inside():
    check(k.grad(lambda x: ops.sum(ops.stop_gradient(x) * x)), X)


def test_remat_inside():
    inner = k.remat(lambda x: ops.tanh(ops.sin(x) * x))
    check(k.value_and_grad(lambda x: ops.sum(inner(x) * inner(x * 2))), X)


def test_gradient_through_randomness():
    generators = [k.random.SeedGenerator(3) for _ in range(2)]

    def fn(x, generator):
        return ops.sum(x * k.random.uniform(x.shape, seed=generator))

    compiled = k.jit(k.grad(lambda x: fn(x, generators[0])))
    eager = k.grad(lambda x: fn(x, generators[1]))
    for _ in range(3):
        close(compiled(X), eager(X))


def test_tape_around():
    w = k.Variable([1.0, 2.0, 3.0])
    plain = lambda x: ops.sum(ops.tanh(x * w))  # noqa: E731
    compiled = k.jit(plain)
    compiled(X)
    grads = []
    for fn in (plain, compiled):
        with k.GradientTape() as tape:
            tape.watch(X)
            y = fn(X)
        grads.append(tape.gradient(y, [X, w]))
    close(grads[1], grads[0])
    assert np.asarray(grads[1][1]).any()


def test_grad_of_compiled():
    compiled = k.jit(cube)
    compiled(X)
    close(k.grad(compiled)(X), k.grad(cube)(X))
    close(k.hessian(compiled)(X), k.hessian(cube)(X))
    check(k.grad(compiled), X)


def test_compiled_in_compiled():
    traced = []

    @k.jit
    def inner(x, flag):
        traced.append(flag)
        return x * 2 if flag else x * 3

    outer = k.jit(lambda x: inner(x, True) + inner(x + 1, False))
    wanted = (X * 2 + (X + 1) * 3).tolist()
    for _ in range(3):
        assert outer(X).tolist() == wanted
    assert len(outer.compiled.executables()) == 1 and not inner.compiled.executables()
    assert traced == [True, False]
    assert inner(X, True).tolist() == (X * 2).tolist()
    assert len(inner.compiled.executables()) == 1


def test_compiled_in_compiled_with_variables():
    w = k.Variable([1.0, 1.0, 1.0])
    inner = k.jit(lambda x: w.assign(w + x))
    outer = k.jit(lambda x: [inner(x), inner(x * 10), w.value][2])
    for n in (1, 2, 3):
        np.testing.assert_allclose(np.asarray(outer(X)), 1 + n * 11 * np.asarray(X), rtol=1e-6)


def test_gradient_of_what_is_not_connected():
    def fn(x):
        with k.GradientTape() as tape:
            tape.watch(x)
            y = ops.sum(ops.ones(3))
        return tape.gradient(y, x)

    assert fn(X) is None and k.jit(fn)(X) is None


@pytest.mark.parametrize("name", ["relu", "gelu", "softmax", "log_softmax", "silu", "elu"])
def test_gradients_of_activations(name):
    activation = getattr(ops, name)
    x = ops.reshape(ops.linspace(-3.0, 3.0, 12), (3, 4))
    check(k.value_and_grad(lambda x: ops.sum(activation(x) * ops.cos(x))), x)
