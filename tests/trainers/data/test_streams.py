"""Generators, `PyDataset`s with workers, and iterables of batches."""

import multiprocessing
import os
import threading
import time
from collections import namedtuple

import numpy as np
import pytest

from kbackend.trainers.data import Epochs, IteratorAdapter, get_adapter
from kbackend.trainers.data.workers import ordered_map
from kbackend.utils.py_dataset import PyDataset


@pytest.fixture(autouse=True)
def start_workers_afresh(monkeypatch):
    # Forking is unsafe where another test has started threads (JAX says so in a warning).
    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "get_context", lambda: context)


def pairs(count, rows=2):
    for i in range(count):
        yield np.full((rows, 1), i, "float64"), np.full(rows, i)


def first_values(batches):
    return [int(batch[0][0, 0]) for batch in batches]


class Numbers(PyDataset):
    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count
        self.begun = self.ended = 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return np.full((2, 1), index, "float32"), np.full(2, index)

    def on_epoch_begin(self):
        self.begun += 1

    def on_epoch_end(self):
        self.ended += 1


class Slow(Numbers):
    """Later batches come sooner, so that order is not luck."""

    def __getitem__(self, index):
        time.sleep(0.002 * (self.count - index))
        return np.full((2, 1), index), np.full(2, os.getpid())


class Failing(Numbers):
    def __getitem__(self, index):
        if index == 3:
            raise KeyError("row 3 is missing")
        return super().__getitem__(index)


class Endless(Numbers):
    num_batches = None


def test_generator_keeps_its_first_batch_and_casts():
    adapter = get_adapter(pairs(3))
    assert adapter.batch_size == 2
    assert adapter.num_batches is None
    batches = list(adapter.batches())
    assert first_values(batches) == [0, 1, 2]
    assert batches[0][0].dtype == "float32"


def test_generator_is_shared_by_epochs():
    epochs = Epochs(get_adapter(pairs(5)), steps_per_epoch=2)
    assert first_values(b for _, b in epochs.epoch()) == [0, 1]
    assert first_values(b for _, b in epochs.epoch()) == [2, 3]
    with pytest.warns(UserWarning, match="1 of 2 steps"):
        assert first_values(b for _, b in epochs.epoch()) == [4]


def test_generator_of_unknown_length_ends_its_epoch_quietly_then_warns():
    epochs = Epochs(get_adapter(pairs(2)))
    assert len(list(epochs.epoch())) == 2
    with pytest.warns(UserWarning, match="ran out"):
        assert list(epochs.epoch()) == []


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (np.ones((2, 1)), 1),
        ((np.ones((2, 1)),), 1),
        ([np.ones((2, 1)), np.ones(2)], 2),
        ((np.ones((2, 1)), np.ones(2), np.ones(2)), 3),
        (({"a": np.ones((2, 1)), "b": [np.ones(2)]}, None, np.ones(2)), 3),
        (([[1.0], [2.0]], [1, 2]), 2),
    ],
)
def test_forms_of_a_batch(data, length):
    (batch,) = get_adapter(iter([data])).batches()
    assert isinstance(batch, tuple)
    assert len(batch) == length


def test_named_tuple_inputs_survive():
    Point = namedtuple("Point", "u v")
    (batch,) = get_adapter(iter([(Point(np.ones(2), np.zeros(2)), np.ones(2))])).batches()
    assert batch[0].u.shape == (2,)


def test_class_weight_applies_to_streams():
    for data in (pairs(2), list(pairs(2)), Numbers(2)):
        source = (
            data
            if not isinstance(data, list)
            else type("L", (), {"__iter__": lambda s, d=data: iter(d)})()
        )
        batches = list(get_adapter(source, class_weight={1: 4.0}).batches())
        assert [b[2].tolist() for b in batches] == [[1.0, 1.0], [4.0, 4.0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: get_adapter(pairs(1), y=np.ones(2)), r"'y' must not be given.*a generator"),
        (lambda: get_adapter(Numbers(1), y=np.ones(2)), r"'y' must not be given.*PyDataset"),
        (
            lambda: get_adapter(pairs(1), sample_weight=np.ones(2)),
            r"'sample_weight' must not be given",
        ),
        (lambda: get_adapter(iter([])), r"yielded no batch"),
        (lambda: get_adapter(pairs), r"is a function, 'pairs'.*fit\(pairs\(\)"),
        (lambda: get_adapter(iter([(1, 2, 3, 4)])), r"4 entries"),
        (lambda: get_adapter(iter([object()])), r"x is of a type that is no array"),
        (lambda: get_adapter(object()), r"unrecognized kind.*object"),
        (lambda: get_adapter(None), r"unrecognized kind.*None"),
        (lambda: get_adapter("text"), r"unrecognized kind.*'text'"),
        (lambda: get_adapter([object()]), r"unrecognized kind.*list of object"),
        (lambda: Epochs(get_adapter(Endless(1))), r"never ends.*steps_per_epoch"),
        (
            lambda: list(
                get_adapter(
                    iter([(np.ones(2), np.ones(2), np.ones(2))]), class_weight={0: 1}
                ).batches()
            ),
            r"brings sample weights",
        ),
    ],
)
def test_bad_streams_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "options",
    [{}, {"workers": 4}, {"workers": 2, "use_multiprocessing": True}],
    ids=["inline", "threads", "processes"],
)
def test_py_dataset_batches_come_in_order(options):
    adapter = get_adapter(Slow(8, max_queue_size=3, **options))
    assert adapter.num_batches == 8
    batches = list(adapter.batches())
    assert first_values(batches) == list(range(8))
    workers = {int(batch[1][0]) for batch in batches}
    assert (os.getpid() in workers) != options.get("use_multiprocessing", False)


@pytest.mark.parametrize(
    "options",
    [{}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}],
    ids=["inline", "threads", "processes"],
)
def test_exceptions_of_workers_reach_the_caller_in_turn(options):
    batches = get_adapter(Failing(6, **options)).batches()
    assert first_values([next(batches) for _ in range(3)]) == [0, 1, 2]
    with pytest.raises(KeyError, match="row 3 is missing"):
        next(batches)


def test_py_dataset_shuffles_the_order_of_batches():
    adapter = get_adapter(Numbers(10), shuffle=True, seed=4)
    orders = [first_values(adapter.batches(epoch)) for epoch in (0, 1, 0)]
    assert sorted(orders[0]) == list(range(10))
    assert orders[0] != orders[1]
    assert orders[0] == orders[2]


def test_epoch_hooks_are_called_once_an_epoch():
    dataset = Numbers(3, workers=2)
    epochs = Epochs(get_adapter(dataset))
    for _ in range(2):
        list(epochs.epoch())
    assert (dataset.begun, dataset.ended) == (2, 2)


class Growing(Numbers):
    def on_epoch_end(self):
        self.count += 1


@pytest.mark.parametrize("processes", [False, True])
def test_workers_see_what_on_epoch_end_changed(processes):
    epochs = Epochs(get_adapter(Growing(2, workers=2, use_multiprocessing=processes)))
    assert [len(list(epochs.epoch())) for _ in range(3)] == [2, 3, 4]


def test_endless_dataset_with_steps():
    epochs = Epochs(get_adapter(Endless(0, workers=2, max_queue_size=2)), steps_per_epoch=3)
    assert first_values(b for _, b in epochs.epoch()) == [0, 1, 2]
    assert first_values(b for _, b in epochs.epoch()) == [3, 4, 5]
    epochs.close()


def test_breaking_off_stops_the_workers():
    before = threading.active_count()
    epochs = Epochs(get_adapter(Endless(0, workers=4)), steps_per_epoch=100)
    run = epochs.epoch()
    next(run)
    assert threading.active_count() > before
    run.close()
    assert threading.active_count() == before


def test_queue_is_bounded():
    made = []
    results = ordered_map(lambda i: made.append(i) or i, range(100), workers=2, ahead=5)
    next(results)
    time.sleep(0.02)
    assert len(made) <= 6
    results.close()


def test_subclass_without_super_init_works():
    class Bare(PyDataset):
        def __init__(self):
            self.n = 2

        def __len__(self):
            return self.n

        def __getitem__(self, index):
            return np.full((1, 1), index)

    assert first_values(get_adapter(Bare()).batches()) == [0, 1]


def test_py_dataset_that_returns_none_is_named():
    class Forgetful(Numbers):
        def __getitem__(self, index):
            return None

    with pytest.raises(ValueError, match=r"\[Forgetful\].*returned None.*number 0"):
        next(get_adapter(Forgetful(1)).batches())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "workers=-1"),
        ({"workers": 1.5}, "workers=1.5"),
        ({"max_queue_size": 0}, "max_queue_size=0"),
    ],
)
def test_py_dataset_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Numbers(1, **options)


def test_py_dataset_without_length_says_so():
    class Short(PyDataset):
        def __getitem__(self, index):
            return index

    with pytest.raises(NotImplementedError, match=r"\[Short\] must define `__len__`"):
        _ = Short().num_batches
    with pytest.raises(NotImplementedError, match="__getitem__"):
        PyDataset()[0]


def test_loader_by_duck_type():
    class Loader:
        batch_size = 4
        drop_last = False
        dataset = range(10)

        def __len__(self):
            return 3

        def __iter__(self):
            for start in range(0, 10, 4):
                rows = np.arange(start, min(start + 4, 10))
                yield [rows[:, None], rows]

    adapter = get_adapter(Loader())
    assert (adapter.num_batches, adapter.batch_size) == (3, 4)
    assert (adapter.has_partial_batch, adapter.partial_batch_size) == (True, 2)
    epochs = Epochs(adapter)
    for _ in range(2):
        assert first_values(b for _, b in epochs.epoch()) == [0, 4, 8]


@pytest.mark.parametrize(
    ("cardinality", "expected"), [(3, (3, False)), (-2, (None, False)), (-1, (None, True))]
)
def test_cardinality_by_duck_type(cardinality, expected):
    class Dataset:
        def cardinality(self):
            return np.int64(cardinality)

        def __iter__(self):
            return pairs(3)

    adapter = get_adapter(Dataset())
    assert (adapter.num_batches, adapter.endless) == expected
    assert first_values(adapter.batches()) == [0, 1, 2]


def test_iterator_adapter_reads_ahead_one_batch_only():
    drawn = []

    def source():
        for i in range(3):
            drawn.append(i)
            yield np.ones((1, 1))

    IteratorAdapter(source())
    assert drawn == [0]
