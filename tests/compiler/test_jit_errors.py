"""jit: kernels that fail while a program runs say where, and leave everything usable."""

import numpy as np
import pytest

import kbackend as k
from kbackend import ops

GOOD = np.array([[2.0, 0.5], [0.5, 1.0]], "float32")
BAD = np.array([[1.0, 2.0], [2.0, 1.0]], "float32")


def raised(fn, *args):
    """The error that a call raises."""
    with pytest.raises(Exception) as caught:
        fn(*args)
    return caught.value


def text(error):
    return " ".join([str(error), *getattr(error, "__notes__", [])])


def test_cholesky_of_what_has_none():
    compiled = k.jit(lambda x: ops.cholesky(x) * 2)
    wanted = compiled(GOOD)
    eager = raised(ops.cholesky, BAD)
    for _ in range(2):
        error = raised(compiled, BAD)
        assert type(error) is type(eager)
        assert "cholesky" in text(error) and "test_jit_errors.py" in text(error)
        assert str(eager) in str(error)
        np.testing.assert_array_equal(np.asarray(compiled(GOOD)), np.asarray(wanted))


def test_the_layer_and_the_op_are_named():
    class Whiten(k.layers.Layer):
        def call(self, x):
            return ops.cholesky(ops.matmul(ops.transpose(x), x) - 1.0)

    inputs = k.Input((2,))
    model = k.Model(inputs, Whiten(name="whiten")(inputs), name="net")
    good = np.array([[3.0, 0.0], [0.0, 4.0]], "float32")
    fine = model.predict(good, verbose=0)
    error = raised(lambda: model.predict(good * 0, verbose=0))
    assert isinstance(error, np.linalg.LinAlgError)
    assert "whiten" in text(error) and "cholesky" in text(error)
    np.testing.assert_array_equal(model.predict(good, verbose=0), fine)


def embedding_model(**options):
    k.utils.set_random_seed(3)
    model = k.Sequential(
        [
            k.Input((2,), dtype="int32"),
            k.layers.Embedding(5, 3, name="words"),
            k.layers.Flatten(),
            k.layers.Dense(1),
        ]
    )
    model.compile(k.optimizers.SGD(0.1, momentum=0.9), "mse", **options)
    return model


IDS = np.array([[0, 1], [2, 3], [4, 0]], "int32")
WRONG = np.array([[0, 1], [2, 7], [4, 0]], "int32")
Y = np.ones((3, 1), "float32")


# Inside of a program of the CuPy engine no index raises: see "Known differences" in docs/gpu.md.
@pytest.mark.engine("numpy")
def test_an_index_out_of_range_in_an_embedding():
    model, eager = embedding_model(), embedding_model(run_eagerly=True)
    for step in ("predict_on_batch", "test_on_batch", "train_on_batch"):
        right = (IDS,) if step == "predict_on_batch" else (IDS, Y)
        wrong = (WRONG, *right[1:])
        getattr(model, step)(*right)
        getattr(eager, step)(*right)
        wanted = raised(getattr(eager, step), *wrong)
        error = raised(getattr(model, step), *wrong)
        assert type(error) is type(wanted)
        assert "words" in text(error) and "gather" in text(error)
        assert "out of" in text(error)


@pytest.mark.engine("numpy")
def test_training_goes_on_after_an_error():
    """A step that fails changes no weight for good: the next ones train as if it had not been."""
    model, other = embedding_model(), embedding_model()
    losses, wanted = [], []
    for n in range(6):
        wanted.append(other.train_on_batch(IDS, Y))
        if n % 2:
            before = model.get_weights()
            raised(model.train_on_batch, WRONG, Y)
            for now, then in zip(model.get_weights(), before, strict=True):
                np.testing.assert_array_equal(now, then)
        losses.append(model.train_on_batch(IDS, Y))
    assert losses == wanted


def test_the_first_run_may_fail():
    """The kind and the text of the error are the same, whether it was compiled before or not."""
    compiled = k.jit(lambda x: ops.cholesky(x) * 2)
    first, second = raised(compiled, BAD), raised(compiled, BAD)
    assert type(first) is type(second) and str(first) == str(second)
    np.testing.assert_allclose(np.asarray(compiled(GOOD)), 2 * np.linalg.cholesky(GOOD), rtol=1e-6)


def test_variables_keep_their_value_when_a_run_fails():
    w = k.Variable(np.zeros((2, 2), "float32"))

    @k.jit
    def step(x):
        w.assign(w + 1)
        return w.assign(w + ops.cholesky(x))

    step(GOOD)
    before = w.numpy()
    raised(step, BAD)
    np.testing.assert_array_equal(w.numpy(), before)
    step(GOOD)
    np.testing.assert_allclose(w.numpy(), 2 * before, rtol=1e-6)


def test_errors_reach_other_engines_too():
    from kbackend.engine.loader import register_engine
    from tests.examples.loading import load

    register_engine("counting", load("counting_engine").CountingEngine)
    with k.use_backend("counting"):
        compiled = k.jit(lambda x: ops.cholesky(x))
        compiled(GOOD)
        error = raised(compiled, BAD)
    assert isinstance(error, np.linalg.LinAlgError) and "cholesky" in text(error)
