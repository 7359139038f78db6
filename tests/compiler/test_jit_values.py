"""jit: what goes in and comes out is as in eager running, whatever it is."""

import collections
import functools
import math

import numpy as np
import pytest

import kbackend as k
from kbackend import ops

Pair = collections.namedtuple("Pair", "left right")


def t(*shape, dtype="float32"):
    """A tensor of small numbers."""
    return ops.convert_to_tensor((np.arange(math.prod(shape)) % 7 - 2).reshape(shape), dtype=dtype)


def assert_same(found, wanted):
    """Asserts that two structures are of one form and kind, and hold the same bits."""
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            assert_same(found[key], wanted[key])
    elif isinstance(wanted, (list, tuple)):
        assert len(found) == len(wanted)
        for f, w in zip(found, wanted, strict=True):
            assert_same(f, w)
    elif isinstance(wanted, k.Tensor):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))
    else:
        assert found == wanted


def check(fn, *args, compiles=1, **kwargs):
    """Asserts that a function is compiled, and returns in three runs what it returns eagerly."""
    wanted = fn(*args, **kwargs)
    compiled = k.jit(fn)
    for _ in range(3):
        assert_same(compiled(*args, **kwargs), wanted)
    assert len(compiled.compiled.executables()) == compiles
    return compiled


# ----- structures -----


@pytest.mark.parametrize(
    "argument",
    [
        {"a": t(2), "b": t(3)},
        {"b": t(2), "a": t(3)},
        collections.OrderedDict([("z", t(2)), ("a", t(3))]),
        [t(2), t(3)],
        (t(2), [t(3), {"x": t(1)}]),
        Pair(t(2), t(3)),
        {"deep": {"er": [t(2), (t(3), None)]}},
        [t(2), None, t(3)],
        (t(2), "name", True, t(3)),
        {1: t(2), 2: t(3)},
    ],
)
def test_structures_come_back_as_they_are_given(argument):
    check(lambda x: x, argument)
    double = functools.partial(
        k.tree.map_structure, lambda leaf: leaf * 2 if hasattr(leaf, "dtype") else leaf
    )
    check(double, argument)


def test_results_of_every_kind():
    def fn(x):
        return {
            "tensor": x + 1,
            "pair": Pair(x * 2, None),
            "list": [x, "text", True, 3, 2.5, None],
            "empty": [(), [], {}],
        }

    check(fn, t(2, 2))


@pytest.mark.parametrize("result", [None, 7, "text", (), {}, [1, 2], True])
def test_results_without_tensors(result):
    check(lambda x: result, t(2))


def test_no_arguments():
    check(lambda: ops.ones((2, 3)) * 2)
    check(lambda: 5)


def test_bools_strings_and_none_choose_a_program_each():
    seen = []

    @k.jit
    def fn(x, flag, mode, extra=None):
        seen.append((flag, mode, extra is None))
        x = x + 1 if flag else x - 1
        x = x * 2 if mode == "double" else x
        return x if extra is None else x + extra

    for _ in range(2):
        assert fn(t(2), True, "double").tolist() == [-2.0, 0.0]
        assert fn(t(2), False, "double").tolist() == [-6.0, -4.0]
        assert fn(t(2), True, "").tolist() == [-1.0, 0.0]
        assert fn(t(2), True, "", t(2)).tolist() == [-3.0, -1.0]
        assert fn(t(2), True, "", extra=t(2)).tolist() == [-3.0, -1.0]
    assert len(seen) == 5


def test_structures_of_one_content_are_told_apart():
    """Lists and tuples, dicts and lists, empty ones too: each has its own program."""

    @k.jit
    def kind(x):
        inner = x["in"]
        return t(1) if isinstance(inner, tuple) else t(2) if isinstance(inner, list) else t(3)

    for _ in range(2):
        assert kind({"in": (t(2),)}).shape == (1,)
        assert kind({"in": [t(2)]}).shape == (2,)
        assert kind({"in": {0: t(2)}}).shape == (3,)
        assert kind({"in": ()}).shape == (1,)
        assert kind({"in": []}).shape == (2,)
        assert kind({"in": {}}).shape == (3,)


def test_named_tuples_and_order_of_keys():
    @k.jit
    def first(x):
        return x.left if isinstance(x, Pair) else x[0]

    assert first(Pair(t(2), t(3))).shape == (2,)
    assert first((t(2), t(3))).shape == (2,)

    @k.jit
    def keys(x):
        return list(x)

    assert keys({"a": t(1), "b": t(1)}) == ["a", "b"]
    assert keys({"b": t(1), "a": t(1)}) == ["b", "a"]


def test_mutable_results_are_new_each_time():
    compiled = k.jit(lambda x: {"a": x + 1, "notes": ["one"]})
    first = compiled(t(2))
    first["notes"].append("two")
    first["b"] = 1
    assert list(compiled(t(2))) == ["a", "notes"]
    assert compiled(t(2))["notes"] == ["one"]


# ----- what compiles anew -----


def count(compiled):
    return len(compiled.compiled.executables())


def test_one_program_per_shape_dtype_and_structure():
    compiled = k.jit(lambda x: ops.sum(x))
    for _ in range(2):
        compiled(t(2, 3))
        compiled(t(3, 2))
        compiled(t(6))
        compiled(t(6, dtype="int32"))
    assert count(compiled) == 4


def test_numbers_are_arguments():
    traces = []

    @k.jit
    def fn(x, n):
        traces.append(n)
        return x * n

    for n in range(5):
        assert fn(t(2), n).tolist() == [-2.0 * n, -1.0 * n]
    for n in (0.5, 1.5, -2.0):
        assert fn(t(2), n).tolist() == [-2.0 * n, -1.0 * n]
    assert count(fn) == len(traces) == 2, "one for integers, one for floats"
    assert fn(t(2), True).tolist() == [-2.0, -1.0]
    assert count(fn) == 3


@pytest.mark.parametrize("dtype", ["float16", "int8", "int32", "float32", "float64"])
def test_numbers_become_int32_and_floatx(dtype):
    """They are no weak numbers any more, as the guide says, unless they are static."""
    x = t(2, dtype=dtype)
    plain, static = k.jit(lambda x, n: x * n), k.jit(lambda x, n: x * n, static_argnums=1)
    for n in (2, 2.5):
        assert plain(x, n).dtype == (x * ops.convert_to_tensor(n)).dtype
        assert_same(static(x, n), x * n)


def test_arrays_of_other_kinds_are_arguments():
    compiled = k.jit(lambda x, y: x + y)
    wanted = [0.0, 2.0]
    assert compiled(t(2), np.array([2.0, 3.0], "float32")).tolist() == wanted
    assert compiled(t(2), t(2) + 4).tolist() == [0.0, 2.0]
    assert count(compiled) == 1
    assert compiled(t(2), np.float32(2)).tolist() == [0.0, 1.0]
    assert compiled(t(2), np.float32(3)).tolist() == [1.0, 2.0]
    assert count(compiled) == 2
    # A later change of an array that was passed changes no result.
    array = np.zeros(2, "float32")
    result = k.jit(lambda x: x)(array)
    array += 1
    assert result.tolist() == [0.0, 0.0]


def test_strided_arguments():
    x = t(4, 6)
    check(lambda a, b: a @ ops.transpose(b) + a[:, :1], x[:, ::2], x[:, 1::2])
    check(lambda a: a * 2, ops.transpose(x))
    check(lambda a: ops.sum(a, axis=0), ops.flip(x, 0))
    check(lambda a: a + 1, ops.broadcast_to(t(3), (2, 3)))
    array = np.asarray(x)
    for given in (array[:, ::2], array.T, array[::-1], np.broadcast_to(np.float32(3), (2, 3))):
        np.testing.assert_array_equal(np.asarray(k.jit(lambda a: a * 2)(given)), given * 2)


def test_static_numbers():
    @functools.partial(k.jit, static_argnums=1, static_argnames=("axis",))
    def fn(x, times, axis=0):
        assert isinstance(times, int) and isinstance(axis, int)
        for _ in range(times):
            x = x + 1
        return ops.sum(x, axis=axis)

    for _ in range(2):
        assert fn(t(2, 2), 3, axis=1).tolist() == [3.0, 7.0]
        assert fn(t(2, 2), 2, axis=0).tolist() == [2.0, 4.0]
        assert fn(t(2, 2), 2).tolist() == [2.0, 4.0]
    assert count(fn) == 3


def test_static_values_of_several_types_are_told_apart():
    fn = k.jit(lambda x, kind: (x, repr(kind)), static_argnums=(1,))
    for kind in (1, 1.0, True, (1,), (1.0,), (True,), 0.0, -0.0):
        assert fn(t(1), kind)[1] == repr(kind)


def test_static_structures():
    @functools.partial(k.jit, static_argnums=(1, 2))
    def fn(x, shape, axes):
        return ops.sum(ops.reshape(x, shape), axis=axes)

    assert fn(t(6), (2, 3), (0,)).shape == (3,)
    assert fn(t(6), (3, 2), (0,)).shape == (2,)
    assert count(fn) == 2


@k.jit
def _joined(x, *more, scale=2.0, **named):
    return ops.concatenate([x, *more, *[named[key] for key in sorted(named)]]) * scale


def test_starred_arguments():
    assert _joined(t(1), t(1), b=t(1), a=t(2)).tolist() == [-4.0, -4.0, -4.0, -2.0, -4.0]
    assert _joined(t(1), scale=3).tolist() == [-6.0]


class Scaler:
    """A class with a compiled method."""

    def __init__(self, factor):
        self.factor = k.Variable(factor)

    @k.jit
    def decorated(self, x):
        return x * self.factor


def test_methods():
    two, three = Scaler(2.0), Scaler(3.0)
    bound = k.jit(Scaler(4.0).decorated.__wrapped__.__get__(two))
    for _ in range(2):
        assert two.decorated(t(1)).tolist() == [-4.0]
        assert three.decorated(t(1)).tolist() == [-6.0]
        assert bound(t(1)).tolist() == [-4.0]
    assert count(Scaler.decorated) == 2


def test_names_and_docs_stay():
    def fn(x):
        """What it does."""
        return x

    compiled = k.jit(fn)
    assert (compiled.__name__, compiled.__doc__) == ("fn", "What it does.")
    assert compiled.__wrapped__ is fn


def test_objects_with_call():
    dense = k.layers.Dense(3)
    wanted = dense(t(2, 2))
    assert_same(k.jit(dense)(t(2, 2)), wanted)
    assert_same(k.jit(functools.partial(ops.add, t(2)))(t(2)), t(2) + t(2))


def test_no_function():
    with pytest.raises(TypeError, match=r"\[jit\] 'fn' must be a function. Received: fn=3"):
        k.jit(3)


def test_engines_and_settings_have_programs_of_their_own():
    from kbackend.engine.loader import register_engine
    from tests.examples.loading import load

    register_engine("counting", load("counting_engine").CountingEngine)
    compiled = k.jit(lambda x: x @ ops.ones((2, 2)))
    wanted = compiled(t(2, 2))
    with k.use_backend("counting") as engine:
        assert_same(compiled(t(2, 2)), wanted)
        engine.counts.clear()
        there = compiled(t(2, 2))
        assert there.engine is engine and engine.counts["dot"] == 1
    assert count(compiled) == 2
    assert_same(compiled(there), compiled(wanted))
    assert count(compiled) == 2
    k.config.set_floatx("float64")
    assert compiled(t(2, 2)).dtype == "float64"
    assert count(compiled) == 3
    k.config.set_float32_matmul_precision("high")
    compiled(t(2, 2))
    assert count(compiled) == 4
    k.config.set_float32_matmul_precision("highest")
    compiled(t(2, 2))
    assert count(compiled) == 4


def test_the_oldest_programs_go():
    traced = []
    compiled = k.jit(lambda x: (traced.append(x.shape), x + 1)[1])
    for n in range(70):
        compiled(np.zeros(n, "float32"))
    assert count(compiled) == 64
    assert len(traced) == 70
    compiled(np.zeros(69, "float32"))
    assert len(traced) == 70
    assert compiled(np.zeros(0, "float32")).shape == (0,)
    assert len(traced) == 71


# ----- values -----


@pytest.mark.parametrize(
    "dtype",
    [
        "float16", "bfloat16", "float32", "float64", "complex64", "complex128", "bool",
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    ],
)  # fmt: skip
def test_dtypes(dtype):
    def fn(x, y):
        results = [x, ops.reshape(x, (3, 2)), ops.transpose(y), x[1:], x == y]
        if dtype != "bool":
            results += [x + y, x * y + x, ops.matmul(x, ops.transpose(y)), ops.sum(x, axis=0)]
        else:
            results += [x & y, ops.logical_not(x), ops.any(x, axis=1)]
        return results

    check(fn, t(2, 3, dtype=dtype), ops.flip(t(2, 3, dtype=dtype)))


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 3), (3, 0), (2, 0, 3), (1, 1, 1)])
def test_scalar_and_empty_tensors(shape):
    def fn(x):
        return (
            x + 1,
            ops.sum(x),
            ops.tanh(x) * ops.exp(x),
            ops.reshape(x, (-1,)) if x.size else ops.reshape(x, (0,)),
            ops.stack([x, x]),
            ops.where(x > 0, x, -x),
            ops.transpose(x),
            ops.expand_dims(x, 0),
        )

    check(fn, t(*shape))


def test_products_with_empty_tensors():
    check(lambda a, b: a @ b, t(2, 0), t(0, 3))
    check(lambda a, b: a @ b, t(0, 2), t(2, 3))
    check(lambda a, b: ops.concatenate([a, b]), t(0, 2), t(2, 2))
    check(lambda a: ops.mean(a, axis=1), t(0, 2))


def test_infinities_and_nan_pass_through():
    x = ops.convert_to_tensor([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0], "float32")
    compiled = check(lambda x: (ops.exp(x), x * 0, x - x, 1 / x), x)
    assert np.signbit(np.asarray(compiled(x)[3])).tolist()[4]


def test_outputs_that_are_inputs_constants_views_and_duplicates():
    constant = t(3)

    def fn(x, y):
        total = x + y
        return {
            "input": x,
            "input twice": [x, x],
            "constant": constant,
            "same constant": constant,
            "filled": ops.ones((2, 2)),
            "view of input": x[0],
            "reshaped": ops.reshape(x, (-1,)),
            "sum": total,
            "sum again": total,
            "view of sum": total[1:],
            "transposed": ops.transpose(total),
            "broadcast": ops.broadcast_to(y, (2, 2, 3)),
            "number": ops.convert_to_tensor(2.0),
        }

    check(fn, t(2, 3), t(2, 3) * 3)


def test_results_keep_their_values():
    """What a run returned is not touched by the next one, or by its other results."""
    compiled = k.jit(lambda x: (x, x * 2, (x * 2)[1:], ops.transpose(x), ops.ones((2, 2))))
    kept = []
    for n in range(4):
        result = compiled(np.full((2, 2), n, "float32"))
        kept.append((n, result, [np.array(r) for r in result]))
    for _, result, wanted in kept:
        for r, w in zip(result, wanted, strict=True):
            np.testing.assert_array_equal(np.asarray(r), w)


def test_results_can_be_arguments():
    compiled = k.jit(lambda x, y: (y * 2, x + y))
    a, b = t(3), t(3) + 1
    wanted_a, wanted_b = a, b
    for _ in range(4):
        a, b = compiled(a, b)
        wanted_a, wanted_b = wanted_b * 2, wanted_a + wanted_b
        assert_same(a, wanted_a)
        assert_same(b, wanted_b)
    # The same tensor as both arguments.
    assert_same(compiled(a, a), (a * 2, a + a))


def test_closures_over_tensors():
    weights = [t(2, 2), t(2)]
    fn = lambda x: x @ weights[0] + weights[1]  # noqa: E731
    compiled = check(fn, t(3, 2))
    before = compiled(t(3, 2))
    weights[1] = t(2) + 100
    assert_same(compiled(t(3, 2)), before)  # traced before: a constant of the program


def test_large_and_filled_constants():
    fill, table = ops.ones((50, 4)) * 3, t(50, 4)
    check(lambda i, x: ops.take(table, i, axis=0) * x + ops.take(fill, i, axis=0), t(3) * 0, 2.0)


def test_symbolic_arguments():
    """In functional models a compiled function is applied like any other."""
    compiled = k.jit(lambda x: ops.tanh(x) * 2)
    inputs = k.Input((3,))
    outputs = compiled(k.layers.Lambda(compiled)(inputs))
    assert isinstance(outputs, k.KerasTensor) and count(compiled) == 0
    model = k.Model(inputs, outputs)
    x = t(2, 3)
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.asarray(compiled(compiled(x))))


# ----- masks -----


def test_masks_on_arguments():
    values = t(2, 3, 4)
    mask = ops.convert_to_tensor([[True, True, False], [True, False, False]])
    lstm = k.layers.LSTM(3)
    plain = lstm(values)
    wanted = lstm(values, mask=mask)
    assert not np.array_equal(np.asarray(plain), np.asarray(wanted))
    masked = ops.add(values, 0)
    masked._keras_mask = mask
    compiled = k.jit(lambda x: lstm(x))
    for _ in range(2):
        np.testing.assert_allclose(np.asarray(compiled(masked)), np.asarray(wanted), atol=1e-6)
        np.testing.assert_allclose(np.asarray(compiled(values)), np.asarray(plain), atol=1e-6)
    assert count(compiled) == 2


def test_masks_on_results():
    embedding = k.layers.Embedding(5, 2, mask_zero=True)
    ids = ops.convert_to_tensor([[1, 2, 0], [3, 0, 0]])
    wanted = embedding(ids)
    compiled = k.jit(lambda x: {"out": embedding(x)})
    for _ in range(2):
        found = compiled(ids)["out"]
        assert_same(found, wanted)
        assert_same(found._keras_mask, wanted._keras_mask)
