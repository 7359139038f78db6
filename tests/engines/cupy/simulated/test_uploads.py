"""Batches that are copied on a second stream while the device computes."""

import gc

import numpy as np
import pytest

import kbackend as keras
from kbackend.base.dtypes import numpy_dtype
from kbackend.core.tensor import uploaded
from kbackend.engine import loader
from kbackend_cupy import uploads
from kbackend_cupy.engine import CupyEngine
from kbackend_cupy.pinned import Events, is_pinned
from tests.engines.cupy.simulated import models


@pytest.fixture
def engine(gpu):
    """The engine, without anything from before."""
    gc.collect()
    engine = loader.get_engine("cupy")
    engine._uploads.clear()
    return engine


@pytest.fixture
def hasty(monkeypatch):
    """Copies are made as early as they may be, while all else is as late as it may be."""
    upload = uploads.Uploads.__call__

    def at_once(self, value):
        array = upload(self, value)
        self._stream.synchronize()
        return array

    monkeypatch.setattr(uploads.Uploads, "__call__", at_once)


VIEWS = {
    "as it is": lambda a: a,
    "transposed": lambda a: a.T,
    "part": lambda a: a[::-1, 1:],
    "one": lambda a: a[:1, :1],
    "a scalar": lambda a: a[0, 0, ...],
    "nothing": lambda a: a[:0],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")) if a.dtype.kind in "if" else a,
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int64"])
@pytest.mark.parametrize("view", VIEWS)
def test_values(engine, dtype, view):
    host = VIEWS[view](np.arange(12).reshape(3, 4).astype(numpy_dtype(dtype)))
    found = uploaded(host)
    assert found.dtype == dtype and found.shape == host.shape
    np.testing.assert_array_equal(np.array(found), host)


def test_what_a_device_lacks_is_refused(engine):
    with pytest.raises(TypeError, match="'cupy'"):
        uploaded(np.zeros(3, "datetime64[s]"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_rows_are_gathered_where_the_device_reads_them(engine, gpu, dtype):
    data = np.arange(20).reshape(5, 4).astype(numpy_dtype(dtype))
    order = np.array([4, 0, 0, 2])
    rows = engine.take_rows(data, order)
    assert is_pinned(engine._cp, rows)
    np.testing.assert_array_equal(rows, data[order])
    np.testing.assert_array_equal(engine.to_numpy(engine.upload(rows)), data[order])
    words = np.array(["a", "b"])
    assert engine.take_rows(words, np.array([1])).tolist() == ["b"]
    assert engine.take_rows(data, np.array([], int)).shape == (0, 4)


def test_the_host_may_change_what_was_uploaded(engine, gpu, cp):
    for memory in (
        np.empty(4, "float32"),
        np.ndarray(4, "float32", cp.cuda.alloc_pinned_memory(16)),
    ):
        with gpu.lazy():
            memory[:] = 1
            x = engine.upload(memory)
            memory[:] = 2
            y = engine.upload(memory)
            memory[:] = 3
            np.testing.assert_array_equal(engine.to_numpy(x + y), 3)


def test_copies_go_beside_the_work(engine, gpu, cp):
    host = np.ones(4, "float32")
    with gpu.lazy():
        for _ in range(6):
            x = engine.upload(host)
            x = x + 1
        # The copies before the last two wait for nothing that is not done.
        cp.cuda.Stream.null.synchronize()
        x = engine.upload(host) * 3
        y = engine.upload(host)
        engine._uploads[0]._stream.synchronize()
        assert not cp.cuda.Stream.null.done
        np.testing.assert_array_equal(engine.to_numpy(x), 3)
        np.testing.assert_array_equal(engine.to_numpy(y), 1)


def test_memory_that_is_held_is_left_alone(engine, gpu, hasty):
    with gpu.lazy():
        held = [engine.upload(np.full(4, i, "float32")) for i in range(5)]
        # A view holds the whole.
        held = [x[1:] for x in held]
        gc.collect()
        for i in range(5, 40):
            engine.upload(np.full(4, i, "float32"))
        for i, x in enumerate(held):
            np.testing.assert_array_equal(engine.to_numpy(x), i)


def test_memory_is_used_again(engine, gpu):
    def cost(steps=50):
        """What uploads cost of which each is used at once, and the last one's result is read."""
        with gpu.counted() as found:
            for i in range(steps):
                x = engine.upload(np.full(1000, i, "float32")) + 1
            assert engine.to_numpy(x)[0] == steps
        return found[0]

    with gpu.lazy():
        cost()
        counts = cost()
        assert counts.allocations == 0 and counts.to_device == 50
        # The host may be ahead of the device by so many copies, and no more.
        assert counts.syncs >= 50 - uploads._UNDER_WAY
        assert len(engine._uploads[0]._under_way) <= uploads._UNDER_WAY
    counts = cost()
    # A device that keeps up is never waited for, but for the result.
    assert counts.allocations == 0 and counts.syncs == cost(1).syncs
    assert len(engine._uploads[0]._free) <= uploads._TURNS + 1


def test_pinned_memory_of_large_batches_is_bounded(engine, gpu, monkeypatch):
    monkeypatch.setattr(uploads, "_BYTES", 5000)
    value = np.ones(500, "float32")
    with gpu.lazy():
        for size, most in ((500, 2), (250, 5), (100, 8)):
            for _ in range(20):
                engine.upload(value[:size]) + 1
            one = engine._uploads[0]
            assert len(one._under_way) == most
            assert one._bytes == sum(host.nbytes for _, host in one._under_way) <= 5000
    engine._uploads[0].clear()
    assert engine._uploads[0]._bytes == 0


def test_memory_of_many_sizes_is_bounded(engine, gpu, hasty):
    with gpu.lazy():
        for i in range(1, 60):
            x = engine.upload(np.arange(i, dtype="float32")) * 2
            if i % 7 == 0:
                np.testing.assert_array_equal(engine.to_numpy(x), np.arange(i) * 2)
    assert len(engine._uploads[0]._free) <= uploads._KEPT


def test_what_is_kept_can_be_given_back(engine, gpu, cp):
    pool = cp.get_default_memory_pool()
    before = pool.used_bytes()
    held = engine.upload(np.ones(1000, "float32"))
    for _ in range(3):
        engine.upload(np.ones(1000, "float32"))
    assert pool.used_bytes() >= before + 8000
    engine._uploads[0].clear()
    assert pool.used_bytes() == before + 4096
    np.testing.assert_array_equal(engine.to_numpy(held), 1)


# ----- training -----


def history(name="mlp", source=None, **how):
    """What training gives, and what the model predicts afterwards."""
    x, y = models.data(name)
    model = models.compiled(name)
    data = (x, y) if source is None else (source(x, y), None)
    found = model.fit(
        *data,
        **({"batch_size": models.BATCH} if source is None else {}),
        verbose=0,
        epochs=3,
        **how,
    )
    return found.history, model.predict(x, batch_size=5, verbose=0)


def reusing(x, y):
    """Batches in one place, which is overwritten as soon as it may."""
    a, b = np.empty_like(x[: models.BATCH]), np.empty_like(y[: models.BATCH])
    for _ in range(3):
        for i in range(0, len(x), models.BATCH):
            a[:], b[:] = x[i : i + models.BATCH], y[i : i + models.BATCH]
            yield a, b
            a[:], b[:] = np.nan, 0


CASES = {
    "arrays": {"shuffle": False},
    "shuffled": {"shuffle": True},
    "parts of a pass": {"shuffle": True, "steps_per_epoch": 1},
    "a smaller batch": {"shuffle": True, "validation_split": 0.2},
    "a generator": {"source": reusing, "steps_per_epoch": models.STEPS},
}


@pytest.mark.parametrize("case", CASES)
def test_training_is_that_of_numpy(engine, gpu, hasty, case):
    found = []
    for name in ("cupy", "numpy"):
        keras.set_backend(name)
        with gpu.lazy():
            found.append(history(**CASES[case]))
    for key, values in found[1][0].items():
        np.testing.assert_allclose(found[0][0][key], values, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=2e-3, atol=2e-4)


def test_a_stream_of_the_user(engine, gpu, cp, hasty):
    expected = history(shuffle=True)
    # What the default stream has left behind is used again here, and the other way round.
    for stream in (cp.cuda.Stream(non_blocking=True), cp.cuda.Stream.null):
        with gpu.lazy(), stream:
            found = history(shuffle=True)
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])


def test_an_epoch_copies_each_batch_once(engine, gpu):
    x, y = models.data("mlp")
    model = models.compiled("mlp")
    models.fit(model, x, y, epochs=3)
    scalar = keras.ops.sum(keras.ops.ones(3))
    with gpu.counted() as found:
        np.array(scalar)
    with gpu.counted() as found_:
        model.fit(x, y, batch_size=models.BATCH, verbose=0)
    (reading,), (counts,) = found, found_
    assert counts.allocations == 0 and counts.to_device == 2 * models.STEPS
    # Of the host, for the loss and the metric.
    assert counts.to_host == 2 and counts.syncs == 2 * reading.syncs


def test_an_evaluation_waits_for_its_results_alone(engine, gpu):
    x, y = models.data("mlp")
    model = models.compiled("mlp")
    scalar = keras.ops.sum(keras.ops.ones(3))
    with gpu.counted() as reading:
        np.array(scalar)
    for _ in range(4):
        with gpu.counted() as found:
            model.evaluate(x, y, batch_size=models.BATCH, verbose=0)
    (counts,) = found
    assert counts.allocations == 0 and counts.to_device == 2 * models.STEPS
    assert counts.to_host == 2 and counts.syncs == 2 * reading[0].syncs


# ----- planted faults -----


def done_event(cp):
    event = cp.cuda.Event(disable_timing=True)
    event.record(cp.cuda.Stream(non_blocking=True))
    event.synchronize()
    return event


def test_a_batch_that_is_not_waited_for_is_seen(engine, gpu, cp, monkeypatch):
    expected = history()
    recorded = Events.recorded

    def early(self, stream, device):
        copies = any(stream is one._stream for one in engine._uploads.values())
        return done_event(cp) if copies else recorded(self, stream, device)

    monkeypatch.setattr(Events, "recorded", early)
    with gpu.lazy():
        found = history()
    assert not np.array_equal(found[1], expected[1])


def test_memory_that_is_used_again_too_early_is_seen(engine, gpu, cp, hasty, monkeypatch):
    def steps():
        with gpu.lazy():
            found = [engine.upload(np.full(4, i, "float32")) + 1 for i in range(12)]
            return [float(engine.to_numpy(x)[0]) for x in found]

    assert steps() == list(range(1, 13))

    def early(self, slot, compute):
        slot.unused = done_event(cp)
        self._returned.append(slot)

    monkeypatch.setattr(uploads.Uploads, "take_back", early)
    assert steps() != list(range(1, 13))


def test_pinned_memory_that_is_written_too_early_is_seen(engine, gpu, monkeypatch):
    x = np.arange(400, dtype="float32").reshape(20, 20)

    def total():
        with gpu.lazy():
            arrays = [engine.upload(engine.take_rows(x, np.array([i]))) for i in range(20)]
            return [float(engine.to_numpy(a)[0, 0]) for a in arrays]

    assert total() == x[:, 0].tolist()

    def forget(self):
        self._under_way.clear()

    monkeypatch.setattr(uploads.Uploads, "_let_go", forget)
    assert total() != x[:, 0].tolist()


def test_other_engines_have_none_of_it():
    with keras.use_backend("numpy"):
        engine = loader.get_engine("numpy")
        assert not engine.supports("upload") and CupyEngine.capabilities >= {"upload"}
