"""jit: what can't be traced runs eagerly, says so once, and is right."""

import linecache
import re
import warnings

import numpy as np
import pytest

import kbackend as k
from kbackend import ops
from kbackend.base.errors import TraceError

X = ops.convert_to_tensor(np.array([1.0, 2.0, 3.0], "float32"))


# Each function needs the value of a tensor in the line that ends in `# here`.


def branch(x):
    if ops.sum(x) > 0:  # here
        return x * 2
    return x


def loop(x):
    while ops.max(x) < 10:  # here
        x = x * 2
    return x


def as_float(x):
    return x * float(ops.sum(x))  # here


def as_int(x):
    return x * int(ops.sum(x))  # here


def as_array(x):
    return x * np.asarray(x).max()  # here


def as_numpy(x):
    return x + x.numpy()  # here


def item(x):
    return x * x[0].item()  # here


def tolist(x):
    return ops.convert_to_tensor(x.tolist()) * 2  # here


def bounds(x):
    total = x * 0
    for _ in range(ops.cast(x[2], "int32")):  # here
        total = total + x
    return total


def both(x):
    return x * 2 if ops.sum(x) > 0 and ops.max(x) < 5 else x  # here


def formatted(x):
    return x * len(f"{ops.sum(x):.1f}")  # here


def numpy_function(x):
    return x + np.linalg.norm(x)  # here


def list_index(x):
    return [x, x * 5][ops.cast(x[0], "int32")]  # here


def sliced(x):
    return x[: ops.cast(x[1], "int32")]  # here


CASES = [
    (branch, "Python's if"),
    (loop, "Python's if, while"),
    (as_float, "float()"),
    (as_int, "int()"),
    (as_array, "Conversion to a NumPy array"),
    (as_numpy, "numpy()"),
    (item, "item()"),
    (tolist, "tolist()"),
    (bounds, "range() with a tensor"),
    (both, "Python's if"),
    (formatted, "A format"),
    (numpy_function, "Conversion to a NumPy array"),
    (list_index, "Indexing or range()"),
]


def marked_line(fn):
    """The number of the line of `fn` that ends in `# here`."""
    start = fn.__code__.co_firstlineno
    return next(n for n in range(start, start + 9) if linecache.getline(__file__, n)[:-1].endswith(
        "# here"))  # fmt: skip


@pytest.mark.parametrize(("fn", "reason"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_runs_eagerly_with_one_warning(fn, reason):
    compiled = k.jit(fn)
    wanted = fn(X).tolist()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            assert compiled(X).tolist() == wanted
        # Another signature is as hopeless, and not worth another warning.
        compiled(ops.concatenate([X, X]))
    (warning,) = caught
    message = str(warning.message)
    assert message.startswith(f"[jit] '{fn.__name__}' can't be compiled and runs eagerly")
    assert f"{__file__}:{marked_line(fn)}" in message
    assert f"{reason}" in message and "needs the value of a tensor" in message
    assert not compiled.compiled.executables()
    # It points at the call, not into the package.
    assert warning.filename == __file__


def test_slices_with_tensors():
    """Slices take tensors where these can be traced; else they fall back, too."""
    compiled = k.jit(sliced)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert compiled(X).tolist() == sliced(X).tolist() == [1.0, 2.0]
    assert len(caught) <= 1


def test_one_signature_may_be_traced_where_another_is_not():
    @k.jit
    def fn(x, check):
        if check and ops.sum(x) < 0:
            return -x
        return x * 2

    assert fn(X, False).tolist() == [2.0, 4.0, 6.0]
    with pytest.warns(UserWarning, match="'fn' can't be compiled"):
        assert fn(X, True).tolist() == [2.0, 4.0, 6.0]
    assert fn(-X, True).tolist() == [1.0, 2.0, 3.0]
    assert fn(X + 1, False).tolist() == [4.0, 6.0, 8.0]
    assert len(fn.compiled.executables()) == 1


def test_nested_functions_name_the_innermost_line_of_the_user():
    def helper(x):
        return float(x)

    compiled = k.jit(lambda x: k.tree.map_structure(helper, [ops.sum(x)]))
    with pytest.warns(UserWarning) as caught:
        compiled(X)
    line = helper.__code__.co_firstlineno + 1
    assert f"{__file__}:{line}" in str(caught[0].message)


def test_attempts_leave_no_trace():
    """Tracing that fails assigns nothing, draws nothing, and leaves no scope open."""
    w, generator = k.Variable([1.0, 1.0, 1.0]), k.random.SeedGenerator(3)

    def fn(x):
        w.assign(w + x)
        x = x + k.random.uniform((3,), seed=generator)
        return float(ops.sum(x))

    compiled = k.jit(fn)
    with pytest.warns(UserWarning, match="can't be compiled"):
        compiled(X)
    assert w.numpy().tolist() == [2.0, 3.0, 4.0]
    assert generator.state.tolist() == [3, 1]
    compiled(X)
    assert w.numpy().tolist() == [3.0, 5.0, 7.0]
    assert k.jit(lambda x: x + w)(X).tolist() == [4.0, 7.0, 10.0]


def test_a_layer_of_the_user():
    class Gate(k.layers.Layer):
        def call(self, x):
            if ops.mean(x) > 100:
                return x * 0
            return x * 2

    class Net(k.Model):
        def __init__(self):
            super().__init__()
            self.gate, self.dense = Gate(), k.layers.Dense(1)

        def call(self, x):
            return self.dense(self.gate(x))

    model = Net()
    model.compile("sgd", "mse")
    x, y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(x, y, batch_size=4, epochs=3, verbose=0).history["loss"]
        model.fit(x, y, batch_size=3, verbose=0)
    assert history[-1] < history[0]
    (warning,) = caught
    message = str(warning.message)
    line = Gate.call.__code__.co_firstlineno + 1
    assert f"{__file__}:{line}" in message and f"{model.name}.train_step" in message
    with pytest.warns(UserWarning, match="predict_step"):
        model.predict(x, verbose=0)


def test_the_users_own_error_is_shown_as_it_is():
    class Wrong(Exception):
        pass

    def fn(x):
        raise Wrong("mine")

    compiled = k.jit(fn)
    for _ in range(2):
        with pytest.raises(Wrong, match="^mine$") as caught:
            compiled(X)
        assert caught.traceback[-1].path.name == "test_jit_fallback.py"


def test_errors_of_ops_are_shown_as_they_are():
    def fn(x):
        return x @ ops.ones((5, 5))

    with pytest.raises(Exception) as eager:
        fn(X)
    with pytest.raises(type(eager.value)) as compiled:
        k.jit(fn)(X)
    assert str(compiled.value) == str(eager.value)


def test_an_error_with_some_arguments_only():
    @k.jit
    def fn(x, flag):
        if flag:
            raise ValueError("not with a flag")
        return x * 2

    with pytest.raises(ValueError, match="not with a flag"):
        fn(X, True)
    assert fn(X, False).tolist() == [2.0, 4.0, 6.0]
    with pytest.raises(ValueError, match="not with a flag"):
        fn(X, True)


def test_interrupts_are_not_swallowed():
    def fn(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        k.jit(fn)(X)
    assert k.jit(lambda x: x * 2)(X).tolist() == [2.0, 4.0, 6.0]


def test_unhashable_objects():
    """An object that can't be part of a signature makes the function run eagerly."""

    class Odd:
        __hash__ = None

        def __eq__(self, other):
            return True

    compiled = k.jit(lambda x, odd: x * 2)
    with pytest.warns(UserWarning, match="unhashable type: 'Odd'"):
        assert compiled(X, Odd()).tolist() == [2.0, 4.0, 6.0]
    assert compiled(X, Odd()).tolist() == [2.0, 4.0, 6.0]
    static = k.jit(lambda x, sizes: x * sizes[0], static_argnums=1)
    with pytest.warns(UserWarning, match="unhashable type: 'list'"):
        assert static(X, [2]).tolist() == [2.0, 4.0, 6.0]


def test_a_tensor_kept_in_an_attribute():
    class Keeper:
        kept = None

    keeper = Keeper()

    @k.jit
    def fn(x):
        keeper.kept = x * 2
        return x

    fn(X)
    with pytest.raises(TraceError, match="Return it from the function, or assign it to a Variable"):
        keeper.kept + 1  # noqa: B018 - raises


def test_a_tensor_of_an_earlier_trace():
    kept = []

    @k.jit
    def fn(x, again):
        kept.append(x)
        return x + kept[0]

    fn(X, False)
    # The next trace meets the leaked tensor of the first one; eagerly it is of no use either.
    with pytest.raises(TraceError, match=re.escape("used outside of it")):
        fn(X, True)


def test_losses_of_a_compiled_call():
    """Layers keep the losses of their last call: compiled, these must be returned."""
    model = k.Sequential([k.Input((3,)), k.layers.Dense(2, activity_regularizer="l2")])
    compiled = k.jit(lambda x: (model(x), model.losses))
    x = ops.ones((2, 3))
    _, (found,) = compiled(x)
    with pytest.raises(TraceError, match="Return it from the function"):
        float(model.losses[0])
    model(x)
    np.testing.assert_allclose(float(found), float(model.losses[0]), rtol=1e-6)


def test_compile_says_nothing_when_told_to_run_eagerly():
    class Net(k.Model):
        def __init__(self):
            super().__init__()
            self.dense = k.layers.Dense(1)

        def call(self, x):
            return self.dense(x) if float(ops.sum(x)) > 0 else self.dense(-x)

    x, y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")
    for options in ({"run_eagerly": True}, {"jit_compile": False}):
        model = Net()
        model.compile("sgd", "mse", **options)
        model.fit(x, y, verbose=0)
        assert not model._steps._steps
