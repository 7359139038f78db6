"""Control flow in traces: one equation each, with the values and gradients of eager loops."""

import numpy as np
import pytest

import kbackend as keras
from kbackend import ops
from kbackend.base.errors import TraceError
from kbackend.ir.trace import trace

from .control_harness import check, count, data, size, tensors


def second_order(fn):
    """The value of `fn`, its gradient, and the gradient of the gradient's square."""

    def derived(*args):
        with keras.GradientTape() as outer:
            outer.watch(args)
            with keras.GradientTape() as inner:
                inner.watch(args)
                value = fn(*args)
            first = inner.gradient(value, args, unconnected_gradients="zero")
            total = sum(ops.sum(g * g) for g in first)
        return value, first, outer.gradient(total, args, unconnected_gradients="zero")

    return derived


# ----- choices -----


@pytest.mark.parametrize("flag", [True, False])
def test_cond(flag):
    def fn(pred, x, y):
        return ops.cond(pred, lambda: {"a": x * y, "b": 1}, lambda: {"a": x - y, "b": 2})

    traced = check(fn, flag, data(3), data(3, seed=1))
    assert count(traced.graph, "switch") == 1


@pytest.mark.parametrize("flag", [True, False])
def test_cond_derivatives(flag):
    def fn(x, y):
        pred = x[0] > (-100.0 if flag else 100.0)
        return ops.sum(ops.cond(pred, lambda: ops.sin(x) * y**2, lambda: x**3))

    traced = check(second_order(fn), data(4), data(4, seed=1))
    assert count(traced.graph, "switch") >= 3


@pytest.mark.parametrize("index", [-3, 0, 1, 2, 9])
def test_switch(index):
    branches = [lambda x, y: x + y, lambda x, y: ops.exp(x), lambda x, y: x * 0.5]

    def fn(i, x, y):
        derived = second_order(lambda x, y: ops.sum(ops.switch(i, branches, x, y)))
        return ops.switch(i, branches, x, y), derived(x, y)

    check(fn, index, data(2, 3), data(2, 3, seed=1))


def test_a_known_condition_needs_no_equation():
    traced = trace(lambda x: ops.cond(True, lambda: x + 1, lambda: x), tensors(data(2)))
    assert count(traced.graph, "switch") == 0


def test_numbers_take_the_dtype_of_the_other_branch():
    for flag in (True, False):

        def fn(pred, x):
            return ops.cond(pred, lambda: x, lambda: 0.5)

        check(fn, flag, np.float32(2.0))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda x: ops.zeros((3,)), "same shapes"),
        (lambda x: ops.cast(x, "int32"), "same shapes and dtypes"),
        (lambda x: (x, x), "same structure"),
        (lambda x: "a", "same shapes and dtypes"),
    ],
)
def test_branches_that_differ(other, message):
    def fn(pred, x):
        return ops.cond(pred, lambda: x, lambda: other(x))

    with pytest.raises(ValueError, match=rf"\[cond\].*{message}"):
        trace(fn, tensors(True, data(2)))


def test_masks_come_out_of_branches():
    def fn(pred, x, mask):
        def with_mask(values):
            made = values * 2.0
            made._keras_mask = mask
            return made

        out = ops.cond(pred, lambda: with_mask(x), lambda: with_mask(x + 1.0))
        return out, out._keras_mask

    check(fn, True, data(2), np.array([True, False]))


@pytest.mark.parametrize("flag", [True, False])
def test_variables_assigned_in_branches(flag):
    a, b = keras.Variable(1.0), keras.Variable(2.0)

    def fn(pred, x):
        def yes():
            a.assign_add(x)
            return a.value * 2.0

        def no():
            b.assign(a.value + x)
            return b.value

        out = ops.cond(pred, yes, no)
        return out, a.value, b.value

    traced = check(fn, flag, np.float32(0.5))
    assert len(traced.assigned) == 2


# ----- while loops -----


def test_while_loop():
    def fn(x, n):
        def body(i, v):
            return i + 1, v * x

        return ops.while_loop(lambda i, v: i < n, body, (0, ops.ones_like(x)))

    for n in (0, 1, 2, 5):
        traced = check(fn, data(3), n)
    assert count(traced.graph, "while") == 1


@pytest.mark.parametrize("limit", [0, 1, 3, 4, 100])
def test_while_loop_with_a_limit(limit):
    def fn(x):
        return ops.while_loop(
            lambda v: ops.sum(v) < 50.0, lambda v: v * 2.0, x, maximum_iterations=limit
        )

    check(fn, np.ones(3, "float32"))


def test_while_loop_with_variables():
    total, unread = keras.Variable(1.0), keras.Variable(7.0)

    def fn(n):
        def body(i):
            total.assign(total.value * 1.5)
            unread.assign(ops.cast(i, "float32"))
            return i + 1

        def going(i):
            return ops.logical_and(i < n, total.value < 4.0)

        return ops.while_loop(going, body, 0), total.value, unread.value

    for n in (0, 2, 10):
        check(fn, n)


def test_a_while_loop_has_no_gradient():
    def fn(x):
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = ops.while_loop(lambda v: v < 10.0, lambda v: v * 2.0, x)
        return tape.gradient(y, x)

    with pytest.raises(TraceError, match="ops.scan, or ops.fori_loop"):
        trace(fn, tensors(np.float32(1.0)))


def test_the_compiler_falls_back_to_eager_loops():
    @keras.jit
    def fn(x):
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = ops.while_loop(lambda v: v < 10.0, lambda v: v * 2.0, x)
        return tape.gradient(y, x)

    with pytest.warns(UserWarning, match="number of steps is not known"):
        assert float(fn(np.float32(1.0))) == 16.0


def test_a_condition_that_assigns():
    v = keras.Variable(0.0)

    def fn(x):
        return ops.while_loop(lambda y: v.assign_add(1.0) < y, lambda y: y, x)

    with pytest.raises(TraceError, match="condition assigns"):
        trace(fn, tensors(np.float32(1.0)))


# ----- loops of known length -----


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_fori_loop(length):
    def fn(x, w):
        return ops.sum(ops.fori_loop(0, length, lambda i, v: ops.tanh(v @ w) + i, x))

    traced = check(second_order(fn), data(2, 3), data(3, 3, seed=1), rtol=1e-4)
    assert count(traced.graph, "scan") >= 1


def test_fori_loop_with_symbolic_bounds():
    def fn(lower, upper, x):
        return ops.fori_loop(lower, upper, lambda i, v: v * 2.0 + ops.cast(i, "float32"), x)

    for upper in (1, 3, 6):
        traced = check(fn, 2, upper, data(2))
    assert count(traced.graph, "while") == 1


def test_fori_loop_that_starts_with_a_number():
    def fn(x):
        return ops.fori_loop(0, 3, lambda i, total: total + x[i], 0)

    check(fn, data(3))


def test_a_loop_without_steps():
    check(lambda x: ops.fori_loop(3, 3, lambda i, v: v * 2.0, x), data(2))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_scan(length, reverse):
    def fn(x, w, start):
        def step(carry, row):
            state, number = carry
            state = ops.tanh(state @ w + row["a"]) * row["b"]
            return (state, number + 1), {"y": state * 2.0, "none": None, "n": number}

        xs = {"a": x, "b": ops.cos(x)}
        (last, number), ys = ops.scan(step, (start, 0), xs, reverse=reverse)
        value = ops.sum(last**2) + ops.sum(ys["y"] ** 3)
        return value + ops.cast(number, "float32") + ops.sum(ops.cast(ys["n"], "float32"))

    args = data(length, 2, 3), data(3, 3, seed=1), data(2, 3, seed=2)
    check(second_order(fn), *args, rtol=1e-4, atol=1e-4)


def test_scan_gives_structures():
    def fn(x):
        return ops.scan(lambda c, r: ({"s": c["s"] + r, "n": None}, [r * c["s"], 3]),
                        {"s": ops.zeros(2), "n": None}, x)  # fmt: skip

    traced = check(fn, data(4, 2))
    assert count(traced.graph, "scan") == 1


def test_scan_without_xs():
    check(lambda x: ops.scan(lambda c, _: (c * 1.5, c), x, length=4), data(2))


def test_scan_unrolled():
    traced = check(lambda x: ops.scan(lambda c, r: (c + r, c), ops.zeros(2), x, unroll=True),
                   data(4, 2))  # fmt: skip
    assert count(traced.graph, "scan") == 0


@pytest.mark.parametrize("op", [ops.map, ops.vectorized_map])
def test_map(op):
    def fn(x, w):
        return ops.sum(op(lambda row: ops.tanh(row[0] @ w) * row[1], (x, x * 2.0)) ** 2)

    traced = check(second_order(fn), data(5, 3), data(3, 3, seed=1), rtol=1e-4, atol=1e-5)
    assert count(traced.graph, "scan") >= 3


def test_associative_scan():
    def fn(x):
        return ops.sum(ops.associative_scan(lambda a, b: a * b, x) ** 2)

    check(second_order(fn), data(7, 2), rtol=1e-4)


@pytest.mark.parametrize("order", ["value", "gradient"])
def test_the_number_of_equations_does_not_depend_on_the_length(order):
    def graph(length):
        def fn(x, w):
            def loss(x, w):
                c, ys = ops.scan(lambda c, r: (ops.tanh(c @ w + r), c * 2.0), ops.zeros((2, 3)), x)
                total = ops.fori_loop(0, length, lambda i, v: v * 0.5 + i, ops.sum(c))
                return total + ops.sum(ys) + ops.sum(ops.map(ops.sin, x))

            return loss(x, w) if order == "value" else second_order(loss)(x, w)

        return trace(fn, tensors(data(length, 2, 3), data(3, 3))).graph

    assert size(graph(3)) == size(graph(300))


def test_a_body_is_run_once():
    calls = []

    def step(carry, row):
        calls.append(1)
        return carry + row, row

    trace(lambda x: ops.scan(step, ops.zeros(2), x), tensors(data(100, 2)))
    assert len(calls) == 1


def test_nested_loops():
    def fn(x, w):
        def outer(carry, row):
            def inner(i, v):
                change = ops.cond(ops.sum(v) > 0.0, lambda: v @ w, lambda: ops.sin(v) * carry)
                return v + 0.1 * change

            new = ops.fori_loop(0, 3, inner, row)
            return carry + new, ops.sum(ops.map(lambda r: r * ops.sum(carry), new))

        last, ys = ops.scan(outer, ops.ones(3), x)
        return ops.sum(last * ops.sum(ys))

    check(second_order(fn), data(4, 3), data(3, 3, seed=1), rtol=1e-3, atol=1e-3)


def test_a_gradient_inside_of_a_body():
    def fn(x, w):
        def step(v, row):
            slope = keras.grad(lambda u: ops.sum(ops.tanh(u @ w) * row))(v)
            return v - 0.1 * slope, ops.sum(v)

        last, ys = ops.scan(step, ops.ones(3), x)
        return ops.sum(last**2) + ops.sum(ys)

    check(second_order(fn), data(4, 3), data(3, 3, seed=1), rtol=1e-3, atol=1e-4)


def test_stop_gradient_inside_of_a_body():
    def fn(x):
        def step(c, row):
            return c * ops.stop_gradient(c) + row, ops.stop_gradient(row) * c

        last, ys = ops.scan(step, ops.ones(2), x)
        return ops.sum(last) + ops.sum(ys)

    check(second_order(fn), data(3, 2), rtol=1e-4)


def test_tensors_from_around_that_a_tape_watches():
    w = ops.convert_to_tensor(data(3))

    def fn(x):
        with keras.GradientTape() as tape:
            tape.watch(w)
            twice = w * 2.0
            y = ops.scan(lambda c, r: (c * w + r * (twice + w * w), None), ops.ones(3), x)[0]
        return tape.gradient(y, w)

    check(fn, data(4, 3))


def test_recomputed_values_inside_of_a_body():
    def fn(x, w):
        layer = keras.remat(lambda v: ops.tanh(v @ w))
        return ops.sum(ops.scan(lambda c, r: (layer(c) + r, None), ops.ones(3), x)[0])

    check(second_order(fn), data(4, 3), data(3, 3, seed=1), rtol=1e-4)


def test_gradients_of_their_own_can_not_be_differentiated_inside_of_a_body():
    @keras.custom_gradient
    def odd(x):
        return x * 2.0, lambda upstream: upstream * 100.0

    def fn(x):
        return ops.sum(ops.map(odd, x))

    check(fn, data(3))
    with pytest.raises(TraceError, match=r"\[custom_gradient\]"):
        trace(keras.grad(fn), tensors(data(3)))


# ----- what is carried -----


def test_carries_become_as_wide_as_a_step_makes_them():
    def fn(x):
        return ops.scan(lambda c, r: (c + r, c * 2), 0, x)[0]

    check(fn, data(4))


@pytest.mark.parametrize(
    "step",
    [
        lambda c, r: (ops.concatenate([c, c]), r),
        lambda c, r: (ops.cast(c, "int32"), r),
    ],
)
def test_a_step_that_changes_what_is_carried(step):
    with pytest.raises(ValueError, match=r"\[scan\] what is carried must keep its shape and dtype"):
        trace(lambda x: ops.scan(step, ops.zeros(2), x), tensors(data(3, 2)))


def test_a_step_that_changes_the_structure():
    with pytest.raises(ValueError, match=r"\[scan\] what is carried must have the same structure"):
        trace(lambda x: ops.scan(lambda c, r: ((c, c), r), ops.zeros(2), x), tensors(data(3, 2)))


def test_what_a_body_lets_escape():
    kept = []

    def fn(x):
        ops.map(lambda r: kept.append(r) or r, x)
        return kept[0] + 1.0

    with pytest.raises(TraceError, match="inside of a loop or a branch"):
        trace(fn, tensors(data(3, 2)))


# ----- variables -----


def test_variables_in_a_scan():
    weight, count_, last = keras.Variable(data(3, 3)), keras.Variable(0), keras.Variable(data(3))

    def fn(x):
        def step(c, row):
            before = count_.value
            count_.assign_add(1)
            last.assign(c)
            c = ops.tanh(c @ weight.value + row * ops.cast(before, "float32"))
            return c, count_.value

        with keras.GradientTape() as tape:
            c, ys = ops.scan(step, ops.ones(3), x)
            value = ops.sum(c**2)
        return value, ys, tape.gradient(value, weight), count_.value

    traced = check(fn, data(4, 3), rtol=1e-4)
    assert len(traced.assigned) == 2


def test_a_value_read_before_the_loop_stays():
    v = keras.Variable(1.0)

    def fn(x):
        before = v.value

        def step(c, row):
            v.assign_add(row)
            return c + before * v.value, v.value

        return ops.scan(step, ops.zeros(()), x)

    check(fn, data(4))


def test_variables_in_nested_loops():
    v = keras.Variable(0.5)

    def fn(x):
        def inner(i, c):
            v.assign(v.value * 1.1)
            return c + v.value

        return ops.scan(lambda c, row: (ops.fori_loop(0, 2, inner, c) * row, v.value), 1.0, x)

    check(fn, data(3))


def test_random_numbers_in_a_loop():
    seed = keras.random.SeedGenerator(3)

    def fn(x):
        return ops.map(lambda row: row + keras.random.normal((2,), seed=seed), x)

    traced = check(fn, data(4, 2))
    assert len(traced.assigned) == 1


def test_a_stateless_scope_around_a_loop():
    v = keras.Variable(1.0)

    def fn(x):
        with keras.StatelessScope([(v, x[0] * 10.0)]) as scope:

            def step(c, row):
                v.assign_add(row)
                return c + v.value, None

            out = ops.scan(step, ops.zeros(()), x)[0]
        return out, scope.get_current_value(v)

    traced = check(fn, data(3))
    assert not traced.assigned


def test_unused_results_are_not_computed():
    from kbackend.compiler.passes.dce import dce

    def fn(x):
        last, (a, b) = ops.scan(
            lambda c, r: ((c[0] + r, ops.exp(c[1])), (ops.sin(r), ops.cos(c[1]))), (x[0], x[0]), x
        )
        return last[0], a

    graph = dce(trace(fn, tensors(data(3, 2))).graph)
    (scan,) = [eqn for eqn in graph.eqns if eqn.op.name == "scan"]
    names = [eqn.op.name for eqn in scan.params["body"].eqns]
    assert sorted(names) == ["add", "sin"]
    assert len(scan.outputs) == 2
