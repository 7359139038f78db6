"""jit: variables that are read, assigned, made and moved inside of a compiled function."""

import gc

import numpy as np
import pytest

import kbackend as k
from kbackend import ops
from kbackend.base.errors import TraceError


def v(*values, **kwargs):
    return k.Variable(np.array(values, "float32"), **kwargs)


def agree(fn, start, *args, runs=3):
    """Asserts that three runs leave variables, and return values, as three eager ones do.

    `fn` is called with variables of the values `start`, then `args`.
    """
    eager = [k.Variable(np.array(one, "float32")) for one in start]
    replayed = [k.Variable(np.array(one, "float32")) for one in start]
    compiled = k.jit(lambda *given: fn(*replayed, *given))
    for _ in range(runs):
        wanted = fn(*eager, *args)
        found = compiled(*args)
        k.tree.map_structure(
            lambda f, w: np.testing.assert_array_equal(np.asarray(f), np.asarray(w)), found, wanted
        )
        for e, r in zip(eager, replayed, strict=True):
            np.testing.assert_array_equal(np.asarray(r), np.asarray(e))
    assert len(compiled.compiled.executables()) == 1
    return replayed


X = ops.convert_to_tensor(np.array([1.0, 2.0, 3.0], "float32"))
A, B = [1.0, -2.0, 3.0], [10.0, 20.0, 30.0]


def test_read():
    w = v(*A)
    compiled = k.jit(lambda x: x * w)
    assert compiled(X).tolist() == [1.0, -4.0, 9.0]
    w.assign([0.0, 1.0, 0.0])
    assert compiled(X).tolist() == [0.0, 2.0, 0.0]
    w.assign(compiled(X))
    assert compiled(X).tolist() == [0.0, 4.0, 0.0]
    assert len(compiled.compiled.executables()) == 1


def test_assigned():
    agree(lambda a, x: a.assign(a + x), [A], X)
    agree(lambda a, x: a.assign_add(x), [A], X)
    agree(lambda a, x: a.assign_sub(x * 2), [A], X)
    agree(lambda a, x: [a.assign_add(x), None][1], [A], X)


def test_assigned_twice():
    def fn(a, x):
        a.assign(a * 2)
        between = a + x
        a.assign(between - 1)
        return between, a.value

    agree(fn, [A], X)


def test_only_assigned():
    agree(lambda a, x: [a.assign(x * 2), None][1], [A], X)
    agree(lambda a, x: [a.assign(ops.zeros(3)), None][1], [A], X)


def test_assigned_an_argument_and_a_constant():
    constant = ops.convert_to_tensor([7.0, 8.0, 9.0])
    replayed = agree(lambda a, b, x: (a.assign(x), b.assign(constant), x, constant), [A, B], X)
    for one in replayed:
        one.assign_add(ops.ones(3))
    assert X.tolist() == [1.0, 2.0, 3.0] and constant.tolist() == [7.0, 8.0, 9.0]


def test_assigned_to_itself():
    agree(lambda a: [a.assign(a.value), None][1], [A])
    agree(lambda a: [a.assign(a), a.assign(a + 0.5), a.assign(a)][0], [A])
    agree(lambda a: [a.assign(ops.flip(a.value)), None][1], [A])


def test_swapped():
    def swap(a, b):
        first = a.value
        a.assign(b.value)
        b.assign(first)

    agree(swap, [A, B])
    agree(lambda a, b: (swap(a, b), a.value, b.value)[1:], [A, B])


def test_rotated():
    def rotate(a, b, c):
        first = a.value
        a.assign(b.value)
        b.assign(c.value)
        c.assign(first)
        return ops.stack([a, b, c])

    agree(rotate, [A, B, [0.5, 0.25, 0.0]])


def test_assigned_from_views_of_each_other():
    def fn(a, b):
        old_a, old_b = a.value, b.value
        a.assign(ops.flip(old_b))
        b.assign(ops.concatenate([old_a[1:], old_a[:1]]))

    agree(fn, [A, B])

    def transposed(a, b):
        old = a.value
        a.assign(ops.transpose(b.value))
        b.assign(ops.transpose(old))

    agree(transposed, [[A, B, A], [B, B, A]])

    def reshaped(a, b):
        old = a.value
        a.assign(ops.reshape(b.value, (2, 3)))
        b.assign(ops.reshape(old, (3, 2)))

    agree(reshaped, [[A, B], [[1, 2], [3, 4], [5, 6]]])


def test_one_value_for_two_variables():
    def fn(a, b, x):
        new = a + x
        a.assign(new)
        b.assign(new)
        return new

    a, b = agree(fn, [A, B], X)
    before = b.numpy()
    a.assign_add(X)
    np.testing.assert_array_equal(b.numpy(), before)


def test_read_before_and_after():
    def fn(a, x):
        before = a.value
        a.assign(a + x)
        return before, a.value, before * 2, ops.reshape(before, (3, 1)), before[1:]

    agree(fn, [A], X)


def test_late_reads_of_the_old_value():
    """The memory of a variable must not take the new value while the old one is still needed."""

    def fn(a, b, x):
        old = a.value
        a.assign(ops.tanh(a + x))
        b.assign(b * ops.sum(old) + old)
        return ops.exp(-old), old @ a.value

    agree(fn, [A, B], X)


def test_matrices_that_are_multiplied_in_place():
    square = [[0.5, 0.25], [0.125, 1.0]]
    agree(lambda a: a.assign(a @ a), [square])
    agree(lambda a: a.assign(ops.transpose(a) @ a), [square])
    agree(lambda a: a.assign(ops.transpose(a)), [square])
    agree(lambda a: a.assign(a / ops.sum(a, axis=0)), [square])
    agree(lambda a: a.assign(a[::-1] + a), [square])


def test_counters_and_scalars():
    step = k.Variable(0, dtype="int64")
    compiled = k.jit(lambda: step.assign_add(1))
    assert [int(compiled()) for _ in range(4)] == [1, 2, 3, 4]
    assert int(step) == 4 and step.dtype == "int64"
    empty = k.Variable(np.zeros((0, 2), "float32"))
    assert k.jit(lambda: empty.assign(empty + 1))().shape == (0, 2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int32", "uint8", "bool"])
def test_dtypes(dtype):
    var = k.Variable(np.array([1, 0, 1]), dtype=dtype)
    compiled = k.jit(lambda: var.assign(ops.flip(var.value)))
    var.assign([1, 0, 0])
    for wanted in ([0, 0, 1], [1, 0, 0], [0, 0, 1]):
        compiled()
        assert np.asarray(ops.cast(var, "int32")).tolist() == wanted
        assert var.dtype == dtype


def test_returned_variables():
    a = v(*A)
    result = k.jit(lambda x: (a, {"a": a.value}, a.assign(a + x)))(X)
    # The variable itself stands for what it holds in the end.
    assert [r.tolist() for r in k.tree.flatten(result)] == [[2.0, 0.0, 6.0], A, [2.0, 0.0, 6.0]]
    assert all(isinstance(r, k.Tensor) for r in k.tree.flatten(result))


def test_variables_as_arguments():
    """A variable among the arguments is a variable inside: it can be assigned."""

    @k.jit
    def step(var, x):
        return var.assign_add(x)

    a, b = v(*A), v(*B)
    for _ in range(2):
        step(a, X)
        step(b, X)
    assert a.numpy().tolist() == [3.0, 2.0, 9.0]
    assert b.numpy().tolist() == [12.0, 24.0, 36.0]
    assert len(step.compiled.executables()) == 2


def test_the_same_variable_twice():
    a = v(*A)
    compiled = k.jit(lambda p, q: (p.assign_add(q), q.assign(q * 2)))
    compiled(a, a)
    assert a.numpy().tolist() == [4.0, -8.0, 12.0]


def test_trainable_is_part_of_the_signature():
    a = v(*A)
    compiled = k.jit(lambda x: (x * a, x)[0 if a.trainable else 1] + a)
    for _ in range(2):
        a.trainable = True
        assert compiled(X).tolist() == [2.0, -6.0, 12.0]
        a.trainable = False
        assert compiled(X).tolist() == [2.0, 0.0, 6.0]
    assert len(compiled.compiled.executables()) == 2


def test_wrong_shapes_are_told_as_in_eager():
    a = v(*A)
    with pytest.raises(ValueError, match="has the shape \\(3,\\)"):
        k.jit(lambda x: a.assign(x[:2]))(X)
    np.testing.assert_array_equal(a.numpy(), A)


def test_deleted_variables():
    """A program keeps its variables alive."""

    def make():
        w = v(*A)
        return k.jit(lambda x: x * w)

    compiled = make()
    gc.collect()
    assert compiled(X).tolist() == compiled(X).tolist() == [1.0, -4.0, 9.0]


def test_variables_move_between_engines():
    from kbackend.engine.loader import register_engine
    from tests.examples.loading import load

    register_engine("counting", load("counting_engine").CountingEngine)
    a = v(*A)
    compiled = k.jit(lambda x: a.assign(a + x))
    values = [1.0, 1.0, 1.0]
    for n in range(6):
        with k.use_backend("counting" if n % 2 else "numpy"):
            compiled(values)
    assert a.numpy().tolist() == [7.0, 4.0, 9.0]
    assert len(compiled.compiled.executables()) == 2


# ----- made inside -----


def test_layers_are_built_while_tracing():
    for layer in (k.layers.Dense(3), k.layers.BatchNormalization(), k.layers.LSTM(2)):
        shape = (2, 4, 3) if isinstance(layer, k.layers.LSTM) else (2, 3)
        x = ops.convert_to_tensor(np.linspace(-1, 1, int(np.prod(shape))).reshape(shape), "float32")
        compiled = k.jit(lambda x, layer=layer: layer(x))
        first = compiled(x)
        assert layer.built and all(np.isfinite(w).all() for w in layer.get_weights())
        np.testing.assert_array_equal(np.asarray(compiled(x)), np.asarray(first))
        # Sums inside of programs may be taken in another order.
        np.testing.assert_allclose(np.asarray(layer(x)), np.asarray(first), rtol=1e-5, atol=1e-6)
        assert len(compiled.compiled.executables()) == 1


def test_variables_made_inside_are_made_once():
    made = []

    @k.jit
    def fn(x):
        if not made:
            made.append(k.Variable(ops.ones(3) * 2))
        return made[0].assign(made[0] + x)

    assert fn(X).tolist() == [3.0, 4.0, 5.0]
    assert fn(X).tolist() == [4.0, 6.0, 8.0]
    assert len(made) == 1 and made[0].numpy().tolist() == [4.0, 6.0, 8.0]


def test_initial_values_do_not_see_the_trace():
    """What a variable starts with is computed at once, although a function is being traced."""
    made = []

    @k.jit
    def fn(x):
        if not made:
            layer = k.layers.Dense(2, kernel_initializer="orthogonal")
            made.append(layer)
        return made[0](x)

    fn(ops.ones((1, 2)))
    kernel = made[0].kernel.numpy()
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(2), atol=1e-6)  # a few float32 roundings


def test_a_tracer_is_no_initial_value():
    with pytest.warns(UserWarning, match="symbolic tensor can't be an initial value") as caught:
        result = k.jit(lambda x: k.Variable(x * 2).value)(X)
    assert result.tolist() == [2.0, 4.0, 6.0] and len(caught) == 1


# ----- scopes -----


def test_stateless_scope_inside():
    a = v(*A)

    @k.jit
    def fn(x):
        with k.StatelessScope([(a, x)]) as scope:
            a.assign(a * 2)
            inside = a.value
        return inside, a.value, scope.get_current_value(a)

    for _ in range(2):
        inside, outside, kept = fn(X)
        assert inside.tolist() == kept.tolist() == [2.0, 4.0, 6.0]
        assert outside.tolist() == A
    assert a.numpy().tolist() == A


def test_stateless_scope_around():
    a = v(*A)
    compiled = k.jit(lambda x: a.assign(a + x))
    compiled(X)
    for _ in range(2):
        with k.StatelessScope([(a, X)]) as scope:
            assert compiled(X).tolist() == [2.0, 4.0, 6.0]
            assert scope.get_current_value(a).tolist() == [2.0, 4.0, 6.0]
        assert a.numpy().tolist() == [2.0, 0.0, 6.0]


def test_stateless_call_inside():
    model = k.Sequential(
        [k.Input((3,)), k.layers.Dense(2), k.layers.BatchNormalization(), k.layers.Dense(1)]
    )
    x = ops.reshape(ops.arange(12, dtype="float32"), (4, 3))
    trainable = [w.value for w in model.trainable_variables]
    fixed = [w.value for w in model.non_trainable_variables]

    def step(trainable, fixed, x):
        def loss(trainable):
            y, updated = model.stateless_call(trainable, fixed, x, training=True)
            return ops.mean(y * y), updated

        (value, updated), grads = k.value_and_grad(loss, has_aux=True)(trainable)
        return value, [w - 0.1 * g for w, g in zip(trainable, grads, strict=True)], updated

    before = model.get_weights()
    compiled = k.jit(step)
    state, eager = (trainable, fixed), (trainable, fixed)
    for _ in range(3):
        value, *state = compiled(*state, x)
        wanted, *eager = step(*eager, x)
        # Sums inside of programs may be taken in another order.
        np.testing.assert_allclose(np.asarray(value), np.asarray(wanted), rtol=1e-4)
        for f, w in zip(k.tree.flatten(state), k.tree.flatten(eager), strict=True):
            np.testing.assert_allclose(np.asarray(f), np.asarray(w), rtol=1e-4, atol=1e-5)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert len(compiled.compiled.executables()) == 1


def test_autocast_around():
    """A compiled function reads variables as the scope around it says, each time."""
    from kbackend.state.scopes import autocast

    a = v(*A)
    compiled = k.jit(lambda: a * 2)
    for _ in range(2):
        assert compiled().dtype == "float32"
        with autocast("float16"):
            assert compiled().dtype == "float16"


def test_training_around():
    """A compiled function that a layer calls sees whether that layer trains."""

    class Outer(k.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dropout = k.layers.Dropout(0.5, seed=1)
            self.inner = k.jit(lambda x: self.dropout(x))

        def call(self, x):
            return self.inner(x)

    outer, x = Outer(), ops.ones((1, 50))
    for _ in range(2):
        assert ops.sum(ops.cast(outer(x) == 1, "int32")).item() == 50
        assert ops.sum(ops.cast(outer(x, training=True) == 1, "int32")).item() == 0
        assert ops.sum(ops.cast(outer(x, training=False) == 1, "int32")).item() == 50


def test_leaked_tracers():
    kept = []

    @k.jit
    def fn(x):
        kept.append(x * 2)
        return x

    fn(X)
    for use in (lambda y: y + 1, lambda y: y * y, ops.sum, lambda y: k.jit(lambda x: x + y)(X)):
        with pytest.raises(TraceError, match="used outside of it"):
            use(kept[0])
    for use in (float, bool, np.asarray, lambda y: y.numpy(), lambda y: [1, 2][y]):
        with pytest.raises(TraceError, match="used outside of it"):
            use(kept[0])
    with pytest.raises((TraceError, ValueError), match="symbolic|outside"):
        v(*A).assign(kept[0])
    assert "Tracer" in repr(kept[0])
