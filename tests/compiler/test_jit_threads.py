"""jit: compiled functions and models that are used by several threads at once."""

import threading
import time

import numpy as np

import kbackend as k
from kbackend import ops


def together(work, count=4):
    """Runs `work(number)` on several threads at once, and raises what one of them raised."""
    errors, start = [], threading.Barrier(count)

    def run(number):
        try:
            start.wait(timeout=60)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def test_one_function():
    compiled = k.jit(lambda x, n: ops.tanh(x * n) @ ops.transpose(x) + n)
    base = np.linspace(-1, 1, 60, dtype="float32").reshape(10, 6)
    wanted = {n: np.asarray(compiled(base, float(n))) for n in range(4)}

    def work(n):
        for _ in range(50):
            np.testing.assert_array_equal(np.asarray(compiled(base, float(n))), wanted[n])

    together(work)


def test_first_calls_at_once():
    """Threads that compile the same function get right results, and few programs."""
    compiled = k.jit(lambda x: ops.sum(ops.exp(x), axis=-1))

    def work(n):
        for size in range(1, 8):
            x = np.full((2, size), n, "float32")
            np.testing.assert_allclose(
                np.asarray(compiled(x)), size * np.exp(np.full(2, n, "float32")), rtol=1e-6
            )

    together(work)
    # One per shape.
    assert len(compiled.compiled.executables()) == 7


def test_threads_that_wait_do_not_compile_again():
    traced = []

    @k.jit
    def fn(x):
        traced.append(1)
        time.sleep(0.02)  # lets the others arrive
        return x * 2

    together(lambda n: np.testing.assert_array_equal(np.asarray(fn(np.float32(n))), 2 * n))
    assert len(traced) == len(fn.compiled.executables()) == 1


def test_counting_loses_nothing():
    counter = k.Variable(0, dtype="int32")
    step = k.jit(lambda: counter.assign_add(1))
    seen = [[] for _ in range(4)]

    def work(n):
        seen[n] = [int(step()) for _ in range(50)]

    together(work)
    assert int(counter) == 200
    assert sorted(value for values in seen for value in values) == list(range(1, 201))


def small_model():
    k.utils.set_random_seed(0)
    model = k.Sequential([k.Input((8,)), k.layers.Dense(16, activation="relu"), k.layers.Dense(1)])
    model.compile(k.optimizers.Adam(0.01), "mse")
    return model


def test_predict():
    model = small_model()
    data = [np.full((6, 8), n, "float32") for n in range(4)]
    wanted = [model.predict(x, verbose=0) for x in data]

    def work(n):
        for _ in range(10):
            np.testing.assert_array_equal(model.predict(data[n], verbose=0), wanted[n])
            np.testing.assert_array_equal(model.predict_on_batch(data[n]), wanted[n])

    together(work)


def test_reading_while_training():
    """Weights that are read between two steps belong to one moment each."""
    w = k.Variable(np.zeros((200, 50), "float32"))
    step = k.jit(lambda: [w.assign(ops.tanh(ops.sin(w) * 0) + w + 1), None][1])
    step()
    done = threading.Event()

    def work(n):
        if n == 0:
            for _ in range(300):
                step()
            done.set()
            return
        last = 0.0
        while not done.is_set():
            value = np.asarray(w.value)
            first = value.flat[0]
            assert (value == first).all() and first >= last
            last = first

    together(work, 3)
    assert (w.numpy() == 301).all()


def test_two_models_train_at_once():
    x = np.random.default_rng(0).standard_normal((32, 8)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    alone = small_model()
    wanted = [alone.train_on_batch(x, y) for _ in range(20)]
    models = [small_model() for _ in range(3)]
    found = [[] for _ in models]

    def work(n):
        found[n] = [models[n].train_on_batch(x, y) for _ in range(20)]

    together(work, 3)
    assert found == [wanted] * 3


def test_training_and_predicting_at_once():
    model = small_model()
    x = np.random.default_rng(0).standard_normal((32, 8)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model.predict(x, verbose=0)

    def work(n):
        for _ in range(10):
            if n == 0:
                model.fit(x, y, batch_size=8, verbose=0)
            else:
                assert np.isfinite(model.predict(x, verbose=0)).all()

    together(work, 3)


def test_tracing_and_running_at_once():
    w = k.Variable(np.ones(4, "float32"))
    running = k.jit(lambda x: ops.sum(x * w))
    running(np.ones(4, "float32"))

    def work(n):
        for i in range(20):
            if n % 2:
                fresh = k.jit(lambda x, i=i: ops.sum(x * w) * 2 + i)
                assert float(fresh(np.ones(4, "float32"))) == 8 + i
            else:
                assert float(running(np.ones(4, "float32"))) == 4

    together(work)
