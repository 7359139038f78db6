"""Results that are fetched while the device goes on with other work."""

import gc

import numpy as np
import pytest

import kbackend as keras
from kbackend.base.dtypes import numpy_dtype
from kbackend.core.tensor import Tensor
from kbackend.engine import loader
from kbackend.trainers import results
from kbackend_cupy import fetch
from kbackend_cupy.engine import CupyEngine
from tests.engines.cupy.simulated import models


@pytest.fixture
def engine(gpu):
    return loader.get_engine("cupy")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int64"])
@pytest.mark.parametrize(
    "view", [lambda a: a, lambda a: a.T, lambda a: a[::-1, 1:], lambda a: a[0, 0], lambda a: a[:0]]
)
def test_values(gpu, engine, dtype, view):
    host = np.arange(12).reshape(3, 4).astype(numpy_dtype(dtype))
    get = engine.fetch(view(engine.asarray(host)))
    found = get()
    np.testing.assert_array_equal(found, view(host))
    assert found.dtype == host.dtype and found.shape == view(host).shape
    # The same again, and memory of its own.
    assert get() is found and found.flags.owndata and found.flags.writeable


def test_only_the_copy_is_waited_for(gpu, engine, cp):
    with gpu.lazy():
        x = engine.asarray(np.ones(3, "float32")) + 1
        get = engine.fetch(x)
        later = cp.cuda.alloc_pinned_memory(12)
        host = np.ndarray(3, "float32", buffer=later)
        host[:] = 0
        (x + 1).data.copy_to_host_async(later.ptr, 12)
        np.testing.assert_array_equal(get(), 2)
        assert (host == 0).all()


def test_a_copy_that_nobody_asks_for_leaves_its_memory_alone(gpu, engine):
    with gpu.lazy():
        get = engine.fetch(engine.asarray(np.ones(3, "float32")) + 1)
        where = get._landing.base.ptr
        del get
        gc.collect()
        # The pool hands out the same memory again.
        again = engine.fetch(engine.asarray(np.ones(3, "float32")) * 7)
        assert again._landing.base.ptr == where
        np.testing.assert_array_equal(again(), 7)


def predicted(model, x, **how):
    return model.predict(x, batch_size=models.BATCH, verbose=0, **how)


def test_predict_waits_later(gpu, monkeypatch):
    x, _ = models.data("mlp")
    model = models.compiled("mlp")
    with gpu.lazy():
        # Batches come ahead as well, and several pieces of memory take turns.
        expected = [predicted(model, x) for _ in range(4)][0]
    order = []
    start, end = fetch.Fetch.__init__, fetch.Fetch.__call__
    monkeypatch.setattr(
        fetch.Fetch, "__init__", lambda *args: (order.append("start"), start(*args))[0] and None
    )
    monkeypatch.setattr(fetch.Fetch, "__call__", lambda self: (order.append("end"), end(self))[1])
    with gpu.lazy(), gpu.counted() as found:
        outputs = predicted(model, x)
    np.testing.assert_array_equal(outputs, expected)
    assert models.STEPS == 3 and order == ["start"] * 3 + ["end"] * 3
    assert found[0].to_host == found[0].syncs == models.STEPS
    assert found[0].allocations == 0


def test_the_outputs_of_few_batches_are_under_way(gpu, monkeypatch):
    x, _ = models.data("mlp")
    model = models.compiled("mlp")
    most, now = [0], [0]
    begin = CupyEngine.fetch

    def counting(self, array):
        now[0] += 1
        most[0] = max(most[0], now[0])
        get = begin(self, array)

        def end():
            now[0] -= 1
            return get()

        return end

    monkeypatch.setattr(CupyEngine, "fetch", counting)
    model.predict(x, batch_size=1, verbose=0)
    assert len(x) == 24 and now == [0] and most == [results._COMING + 1]


def test_callbacks_see_the_tensors_of_their_batch(gpu):
    seen = []

    class Looking(keras.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            assert isinstance(logs["outputs"], Tensor)
            seen.append((batch, np.array(logs["outputs"])))

    x, _ = models.data("mlp")
    found = predicted(models.compiled("mlp"), x, callbacks=[Looking()])
    assert [batch for batch, _ in seen] == [0, 1, 2]
    np.testing.assert_array_equal(np.concatenate([one for _, one in seen]), found)


# ----- a planted fault -----


def test_a_result_that_is_taken_too_early_is_seen(gpu, monkeypatch):
    x, _ = models.data("mlp")
    model = models.compiled("mlp")
    expected = predicted(model, x)
    monkeypatch.setattr(fetch.Fetch, "_wait", lambda self: setattr(self, "_event", None))
    with gpu.lazy():
        assert not np.array_equal(predicted(model, x), expected)
