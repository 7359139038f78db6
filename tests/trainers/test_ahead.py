"""Batches that are asked for before their turn: which, when, and what nobody may notice of it."""

import contextlib
import gc
import weakref

import numpy as np
import pytest

import kbackend as k
from kbackend.engine.interface import Engine
from kbackend.engine.loader import get_engine
from kbackend.trainers import loops
from kbackend.trainers.ahead import Ahead

X = np.arange(24, dtype="float32").reshape(12, 2)
Y = X.sum(axis=1, keepdims=True)


@pytest.fixture
def device(monkeypatch):
    """NumPy as an engine that copies batches while it computes; notes what is uploaded."""
    uploads = []
    plain = Engine.upload

    def upload(self, value, copy=True):
        uploads.append(value[0, 0].item())
        return plain(self, value, copy)

    engine = get_engine("numpy")
    monkeypatch.setattr(type(engine), "capabilities", frozenset({"upload"}))
    monkeypatch.setattr(Engine, "upload", upload)
    with k.use_backend("numpy"):
        yield uploads


def model(step=None):
    inputs = k.Input((2,))
    made = k.Model(inputs, k.layers.Dense(1, kernel_initializer="ones")(inputs))
    made.compile("sgd", "mse")
    if step is not None:
        plain = made.train_step

        def noted(data):
            step()
            return plain(data)

        made.train_step = noted
        made.run_eagerly = True
    return made


class Notes(k.callbacks.Callback):
    """Notes the moments of a training."""

    def __init__(self, notes, stop_at=None):
        super().__init__()
        self.notes, self.stop_at = notes, stop_at

    def on_train_batch_begin(self, batch, logs=None):
        self.notes.append(f"begin {batch}")

    def on_train_batch_end(self, batch, logs=None):
        self.notes.append(f"end {batch}")
        if batch == self.stop_at:
            self.model.stop_training = True


def generator(notes, count=100):
    for i in range(count):
        notes.append(f"batch {i}")
        yield X[:4], Y[:4]


def test_arrays_come_ahead_of_the_callbacks(device):
    found = []
    loops.to_device((X[:1],))
    device.clear()
    fitted = model(lambda: found.append((device[::2][-1], len(device) // 2)))

    class Counting(k.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.append(len(device) // 2)

    fitted.fit(X, Y, batch_size=4, shuffle=False, verbose=0, callbacks=[Counting()])
    # Each step has its own batch, and by its end the next one is there, too.
    assert found == [(0, 1), 2, (8, 2), 3, (16, 3), 3]


def test_a_host_takes_one_batch_after_the_other(device, monkeypatch):
    monkeypatch.setattr(type(get_engine("numpy")), "capabilities", frozenset())
    found = []

    class Counting(k.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            found.append(len(device) // 2)

    model().fit(X, Y, batch_size=4, verbose=0, callbacks=[Counting()])
    assert found == [1, 2, 3]


@pytest.mark.parametrize("how", [{}, {"steps_per_epoch": 2}, {"steps_per_epoch": 2, "epochs": 2}])
@pytest.mark.parametrize("stop_at", [None, 0, 1])
def test_generators_are_asked_in_their_turn(device, how, stop_at):
    notes = []
    model().fit(generator(notes, 4), verbose=0, callbacks=[Notes(notes, stop_at)], **how)
    asked = [notes.index(f"batch {i}") for i in range(1, 4) if f"batch {i}" in notes]
    ends = [i for i, note in enumerate(notes) if note.startswith("end")]
    # The first one is drawn to look at it; each other one after the end of the step before it.
    assert all(end < one for end, one in zip(ends, asked, strict=False))
    if stop_at is not None:
        assert len(asked) == stop_at


def test_what_is_drawn_of_a_generator_is_as_before(device):
    notes = []
    source = generator(notes)
    fitted = model()
    fitted.fit(source, steps_per_epoch=3, verbose=0)
    assert notes == ["batch 0", "batch 1", "batch 2"]
    fitted.evaluate(source, steps=2, verbose=0)
    assert notes[3:] == ["batch 3", "batch 4"]


@pytest.mark.parametrize("batch_size", [1, 5, 12])
@pytest.mark.parametrize("shuffle", [False, True, "batch"])
def test_results_are_those_of_batches_in_their_turn(device, monkeypatch, batch_size, shuffle):
    found = []
    for capabilities in (frozenset({"upload"}), frozenset()):
        monkeypatch.setattr(type(get_engine("numpy")), "capabilities", capabilities)
        k.utils.set_random_seed(1)
        fitted = model()
        history = fitted.fit(
            X, Y, batch_size=batch_size, shuffle=shuffle, epochs=3, steps_per_epoch=None, verbose=0,
            validation_data=(X, Y),
        ).history  # fmt: skip
        found.append((history, fitted.predict(X, batch_size=batch_size, verbose=0).tolist()))
    assert found[0] == found[1]


def test_training_that_is_stopped(device):
    notes = []
    model().fit(X, Y, batch_size=2, epochs=3, verbose=0, callbacks=[Notes(notes, stop_at=1)])
    assert notes == ["begin 0", "end 0", "begin 1", "end 1"]


class Failing(k.utils.PyDataset):
    """Five batches, of which the third can't be made."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index == 2:
            raise OSError("no such row")
        return X[:2], Y[:2]


@pytest.mark.parametrize("early", [False, True])
def test_errors_of_the_data_come_in_their_turn(device, early):
    def steps():
        yield from enumerate([1, 2])
        raise OSError("no such row")

    batches, seen = Ahead(steps(), lambda batch: batch * 10, early), []
    with pytest.raises(OSError, match="no such row"):
        for step, batch in batches:
            batches.prepare()
            batches.prepare()
            seen.append((step, batch))
    assert seen == [(0, 10), (1, 20)]


def test_errors_of_a_data_set_come_after_the_callbacks(device):
    notes = []
    with pytest.raises(OSError, match="no such row"):
        model().fit(Failing(), shuffle=False, verbose=0, callbacks=[Notes(notes)])
    assert notes == ["begin 0", "end 0", "begin 1", "end 1"]


def test_the_end_comes_once(device):
    batches = Ahead(iter([(0, 1)]), lambda batch: batch, early=True)
    assert next(batches) == (0, 1)
    batches.prepare()
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(batches)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_for_the_garbage_collector(device, fails):
    """What it holds may be large, and be on a device."""

    def steps():
        yield from enumerate([1, 2])
        if fails:
            raise OSError("no such row")

    def run():
        batches = Ahead(steps(), lambda batch: batch, early=True)
        with contextlib.suppress(OSError):
            for _ in batches:
                batches.prepare()
        return weakref.ref(batches)

    gc.disable()
    try:
        assert run()() is None
    finally:
        gc.enable()
