"""The outputs of `predict`: what is waited for, and when."""

import numpy as np
import pytest

import kbackend as k
from kbackend.core.tensor import Tensor
from kbackend.engine.interface import Engine
from kbackend.trainers import results

X = np.arange(24, dtype="float32").reshape(12, 2)


@pytest.fixture
def fetched(monkeypatch):
    """What happens with arrays that are fetched from NumPy: "start" and "end", in order."""
    order = []
    begin = Engine.fetch

    def noted(self, array):
        order.append("start")
        get = begin(self, array)

        def end():
            order.append("end")
            return get()

        return end

    monkeypatch.setattr(Engine, "fetch", noted)
    with k.use_backend("numpy"):
        yield order


def doubling():
    inputs = k.Input((2,))
    return k.Model(inputs, {"twice": inputs * 2, "sums": k.ops.sum(inputs, axis=-1)})


@pytest.mark.parametrize("batch_size", [1, 3, 5, 12, 100])
def test_outputs_come_in_their_order(batch_size):
    found = doubling().predict(X, batch_size=batch_size, verbose=0)
    np.testing.assert_array_equal(found["twice"], X * 2)
    np.testing.assert_array_equal(found["sums"], X.sum(axis=1))
    assert all(one.flags.writeable and one.flags.owndata for one in found.values())


def test_few_batches_are_under_way(fetched):
    inputs = k.Input((2,))
    k.Model(inputs, inputs * 2).predict(X, batch_size=2, verbose=0)
    coming, most = 0, 0
    for what in fetched:
        coming += 1 if what == "start" else -1
        most = max(most, coming)
    assert coming == 0 and most == results._COMING + 1 and len(fetched) == 12


def test_all_has_come_when_predict_ends(fetched):
    class Ending(k.callbacks.Callback):
        def on_predict_end(self, logs=None):
            fetched.append("over")

    inputs = k.Input((2,))
    model = k.Model(inputs, inputs * 2)
    model.predict(X, batch_size=4, verbose=0, callbacks=[Ending()])
    assert fetched == ["start"] * 3 + ["end"] * 3 + ["over"]


def test_callbacks_see_the_tensors_of_their_batch():
    seen = []

    class Looking(k.callbacks.Callback):
        def on_predict_batch_end(self, batch, logs=None):
            assert isinstance(logs["outputs"], Tensor)
            seen.append((batch, np.array(logs["outputs"])))

    inputs = k.Input((2,))
    model = k.Model(inputs, inputs * 2)
    found = model.predict(X, batch_size=5, verbose=0, callbacks=[Looking()])
    assert [batch for batch, _ in seen] == [0, 1, 2]
    np.testing.assert_array_equal(np.concatenate([one for _, one in seen]), found)


@pytest.mark.parametrize("eagerly", [False, True])
def test_what_is_handed_through_is_copied(eagerly):
    def batches():
        buffer = np.empty((3, 2), "float32")
        for i in range(4):
            buffer[:] = i
            yield (buffer,)
            buffer[:] = -1

    inputs = k.Input((2,))
    model = k.Model(inputs, [inputs, inputs + 1])
    model.compile(run_eagerly=eagerly)
    through, more = model.predict(batches(), verbose=0)
    np.testing.assert_array_equal(through, np.repeat(np.arange(4.0), 3)[:, None] * [1, 1])
    np.testing.assert_array_equal(more, through + 1)


def test_outputs_that_are_no_tensors():
    class Own(k.Model):
        def predict_step(self, data):
            return {"mean": float(np.mean(data[0])), "rows": np.array(data[0])}

    model = Own()
    model.run_eagerly = True
    with pytest.raises(ValueError, match="zero-dimensional"):
        model.predict(X, batch_size=6, verbose=0)
    found = model.predict(X, batch_size=12, verbose=0)
    np.testing.assert_array_equal(found["rows"], X)
    assert found["mean"] == X.mean()


def test_no_batches():
    with pytest.raises(ValueError, match=r"\[predict\] the data has no batches"):
        results.Results().joined()
