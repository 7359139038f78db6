"""Arrays of every kind become host batches of the right rows, order and dtype."""

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from kbackend.base import config
from kbackend.trainers.data import ArrayAdapter, Epochs, get_adapter
from kbackend.trainers.data.rows import is_array_data


def collect(adapter, epoch=0):
    return list(adapter.batches(epoch))


@pytest.mark.parametrize(
    ("rows", "batch_size", "sizes"),
    [(10, 4, [4, 4, 2]), (8, 4, [4, 4]), (3, 32, [3]), (5, 1, [1] * 5)],
)
def test_slices_cover_all_rows_in_order(rows, batch_size, sizes):
    x = np.arange(rows * 2, dtype="float32").reshape(rows, 2)
    adapter = get_adapter(x, x[:, 0], batch_size=batch_size)
    batches = collect(adapter)
    assert [len(batch[0]) for batch in batches] == sizes
    np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), x)
    np.testing.assert_array_equal(np.concatenate([b[1] for b in batches]), x[:, 0])
    assert adapter.num_batches == len(sizes)
    assert adapter.has_partial_batch == (rows % batch_size != 0)
    assert adapter.partial_batch_size == (rows % batch_size or None)


def test_unshuffled_batches_are_views():
    x = np.zeros((10, 3), "float32")
    for (batch,) in get_adapter(x, batch_size=4).batches():
        assert np.shares_memory(batch, x)


def test_default_batch_size_is_32_and_steps_decide_it():
    assert get_adapter(np.zeros((100, 1))).batch_size == 32
    adapter = get_adapter(np.zeros((10, 1)), steps_per_epoch=3)
    assert (adapter.batch_size, adapter.num_batches) == (4, 3)


def test_floats_are_cast_to_floatx_and_integers_kept():
    x, y = np.ones((4, 2)), np.arange(4)
    (batch,) = collect(get_adapter(x, y))
    assert batch[0].dtype == "float32"
    assert batch[1].dtype == y.dtype
    config.set_floatx("float16")
    try:
        assert collect(get_adapter(x, y))[0][0].dtype == "float16"
    finally:
        config.set_floatx("float32")


def test_shuffle_is_a_permutation_fixed_by_seed_and_epoch():
    x = np.arange(50)
    y = x * 2.0

    def order(seed, epoch):
        batches = collect(get_adapter(x, y, batch_size=8, shuffle=True, seed=seed), epoch)
        for a, b in batches:
            np.testing.assert_array_equal(a * 2.0, b)
        return np.concatenate([b[0] for b in batches])

    first = order(1, 0)
    np.testing.assert_array_equal(np.sort(first), x)
    np.testing.assert_array_equal(first, order(1, 0))
    assert not np.array_equal(first, order(1, 1))
    assert not np.array_equal(first, order(2, 0))
    expected = np.random.Generator(
        np.random.Philox(key=np.array([1, 0], dtype="uint64"))
    ).permutation(50)
    np.testing.assert_array_equal(first, expected)


def test_seed_none_follows_numpy_global_seed():
    x = np.arange(30)
    orders = []
    for _ in range(2):
        np.random.seed(7)
        orders.append(np.concatenate([b[0] for b in collect(get_adapter(x, shuffle=True))]))
    np.testing.assert_array_equal(*orders)


def test_shuffle_batch_keeps_rows_of_a_batch_together():
    x = np.arange(20)
    batches = [b[0] for b in collect(get_adapter(x, batch_size=4, shuffle="batch", seed=3))]
    assert sorted(b[0] for b in batches) == [0, 4, 8, 12, 16]
    assert [b[0] for b in batches] != [0, 4, 8, 12, 16]
    for batch in batches:
        np.testing.assert_array_equal(batch, np.arange(batch[0], batch[0] + 4))


@pytest.mark.parametrize("layout", ["fortran", "strided", "big-endian"])
def test_shuffle_of_unusual_layouts(layout):
    base = np.arange(24, dtype="float32").reshape(6, 4)
    x = {
        "fortran": np.asfortranarray(base),
        "strided": np.repeat(base, 2, axis=1)[:, ::2],
        "big-endian": base.astype(">f4"),
    }[layout]
    batches = collect(get_adapter(x, np.arange(6), batch_size=4, shuffle=True, seed=0))
    rows = np.concatenate([b[1] for b in batches])
    np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), base[rows])


def test_nested_structures_keep_their_form():
    x = {"b": np.zeros((6, 1)), "a": [np.ones((6, 2)), (np.arange(6),)]}
    y = (np.zeros(6), np.ones(6))
    for shuffle in (False, True):
        batch = collect(get_adapter(x, y, batch_size=4, shuffle=shuffle))[1]
        assert list(batch[0]) == ["b", "a"]
        assert isinstance(batch[0]["a"], list)
        assert isinstance(batch[0]["a"][1], tuple)
        assert batch[0]["a"][1][0].shape == (2,)
        assert isinstance(batch[1], tuple)
        assert len(batch) == 2


def test_one_sample_weight_serves_all_outputs():
    weight = np.arange(3.0)
    (batch,) = collect(get_adapter(np.zeros(3), {"u": np.ones(3), "v": np.ones(3)}, weight))
    assert set(batch[2]) == {"u", "v"}
    np.testing.assert_array_equal(batch[2]["v"], weight)


def test_weights_without_targets_keep_their_place():
    (batch,) = collect(get_adapter(np.zeros(3), None, np.ones(3)))
    assert len(batch) == 3
    assert batch[1] is None


@pytest.mark.parametrize(
    "x", [[1, 2, 3], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [True, False, True]]
)
def test_lists_of_numbers_are_one_array(x):
    (batch,) = collect(get_adapter(x, [0, 1, 2]))
    np.testing.assert_array_equal(batch[0], np.asarray(x))
    np.testing.assert_array_equal(batch[1], [0, 1, 2])


def test_list_of_arrays_is_several_inputs():
    (batch,) = collect(get_adapter([np.zeros((3, 1)), np.ones((3, 2))]))
    assert [a.shape for a in batch[0]] == [(3, 1), (3, 2)]


def test_strings_pass_through():
    (batch,) = collect(get_adapter(np.array(["a", "b"]), np.ones(2)))
    assert batch[0].tolist() == ["a", "b"]
    (batch,) = collect(get_adapter(["a", "b"]))
    assert batch[0].tolist() == ["a", "b"]


def test_pandas_matches_keras_shapes():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3, 4]})
    (batch,) = collect(get_adapter(frame, pd.Series([1, 2])))
    np.testing.assert_array_equal(batch[0], [[1, 3], [2, 4]])
    assert batch[0].dtype == "float32"
    assert batch[1].shape == (2, 1)
    (batch,) = collect(get_adapter({"a": frame["a"]}))
    assert batch[0]["a"].shape == (2, 1)


def test_pandas_mixed_and_nullable_columns_become_floats():
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [True, False]})
    (batch,) = collect(get_adapter(frame))
    np.testing.assert_array_equal(batch[0], np.array([[1, 1], [np.nan, 0]], "float32"))


@pytest.mark.parametrize("kind", ["csr", "coo", "csc"])
def test_scipy_sparse_is_made_dense_by_batch(kind):
    dense = np.random.default_rng(0).integers(0, 2, (7, 5)).astype("float64")
    x = scipy.sparse.csr_matrix(dense).asformat(kind)
    batches = collect(get_adapter(x, batch_size=3))
    assert type(batches[0][0]) is np.ndarray
    assert batches[0][0].dtype == "float32"
    np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), dense)
    shuffled = collect(get_adapter(x, np.arange(7), batch_size=3, shuffle=True, seed=1))
    for a, rows in shuffled:
        np.testing.assert_array_equal(a, dense[rows])


def test_h5py_dataset_is_read_by_batch(tmp_path):
    data = np.arange(14.0).reshape(7, 2)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        x = file.create_dataset("x", data=data)
        batches = collect(get_adapter(x, batch_size=3))
        np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), data)
        for a, rows in collect(get_adapter(x, np.arange(7), shuffle=True, seed=1, batch_size=3)):
            np.testing.assert_array_equal(a, data[rows])


def test_foreign_tensors_by_duck_type():
    class Torchlike:
        shape = (2,)

        def __array__(self, dtype=None, copy=None):
            raise TypeError("requires grad")

        def detach(self):
            return self

        def cpu(self):
            return np.array([1.0, 2.0])

    class Devicelike:
        shape = (2,)
        __cuda_array_interface__ = {}

        def get(self):
            return np.array([1.0, 2.0])

    for x in (Torchlike(), Devicelike()):
        (batch,) = collect(get_adapter(x))
        assert batch[0].tolist() == [1.0, 2.0]


def test_jax_arrays():
    jnp = pytest.importorskip("jax.numpy")
    (batch,) = collect(get_adapter(jnp.ones((3, 2))))
    assert isinstance(batch[0], np.ndarray)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([0, 1, 2, 0]), [2, 3, 1, 2]),
        (np.array([[0], [1], [2], [0]]), [2, 3, 1, 2]),
        (np.eye(3)[[0, 1, 2, 0]], [2, 3, 1, 2]),
        (np.array([0.0, 1.0, 2.0, 0.0]), [2, 3, 1, 2]),
    ],
)
def test_class_weight_becomes_sample_weight(labels, expected):
    (batch,) = collect(get_adapter(np.zeros(4), labels, class_weight={0: 2, 1: 3.0}))
    np.testing.assert_array_equal(batch[2], expected)
    assert batch[2].dtype == "float32"


def test_class_weight_follows_shuffled_rows():
    y = np.arange(12) % 3
    adapter = get_adapter(
        np.zeros(12), y, class_weight={0: 5, 1: 6, 2: 7}, shuffle=True, batch_size=5
    )
    for _, labels, weights in collect(adapter):
        np.testing.assert_array_equal(weights, labels + 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"x": {"a": np.ones(3), "b": np.ones(4)}, "y": np.ones(3)},
            r"same number of samples.*x\['a'\]: 3, x\['b'\]: 4, y: 3",
        ),
        ({"x": np.ones((0, 2))}, r"empty.*x: 0"),
        ({"x": np.array(3.0)}, r"x is a scalar"),
        ({"x": np.ones(3), "shuffle": "rows"}, r"'shuffle' must be.*'rows'"),
        ({"x": np.ones(3), "batch_size": 0}, r"'batch_size'.*batch_size=0"),
        ({"x": np.ones(3), "batch_size": 2.5}, r"'batch_size'.*2\.5"),
        ({"x": np.array([[1], [2, 3]], dtype=object)}, r"dtype object.*pad_sequences"),
        ({"x": [[1, 2], [3]]}, r"differ in length.*pad_sequences"),
        ({"x": np.array(["2020-01-01"], "datetime64[D]")}, r"dates or times"),
        ({"x": np.ones(2), "y": object()}, r"y is of a type that is no array.*Supported"),
        (
            {"x": np.ones(2), "y": np.ones(2), "sample_weight": np.ones(2), "class_weight": {0: 1}},
            r"cannot be given together",
        ),
        (
            {"x": np.ones(2), "y": [np.ones(2)], "class_weight": {0: 1}},
            r"single output",
        ),
        ({"x": np.ones(2), "class_weight": {0: 1}}, r"needs targets"),
        ({"x": np.ones(2), "y": np.ones(2), "class_weight": {"a": 1}}, r"class indices.*'a'"),
        ({"x": np.ones(2), "y": np.ones(2), "class_weight": [1]}, r"must be a dict"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        get_adapter(**arguments)


def test_is_array_data_tells_arrays_from_batches():
    assert is_array_data([np.ones(2), {"a": np.ones(2)}])
    assert is_array_data([[1, 2], [3, 4]])
    assert not is_array_data(iter([1]))
    assert not is_array_data([])
    assert not is_array_data("text")
    assert not is_array_data(np.ndarray)


def test_steps_per_epoch_goes_on_where_it_stopped():
    epochs = Epochs(ArrayAdapter(np.arange(6), batch_size=2), steps_per_epoch=2)
    assert [b[0].tolist() for _, b in epochs.epoch()] == [[0, 1], [2, 3]]
    with pytest.warns(UserWarning, match="ran out of batches.*1 of 2"):
        assert [b[0].tolist() for _, b in epochs.epoch()] == [[4, 5]]
    assert [b[0].tolist() for _, b in epochs.epoch()] == [[0, 1], [2, 3]]


def test_steps_beyond_the_data_warn_and_restart():
    epochs = Epochs(ArrayAdapter(np.arange(4), batch_size=2), steps_per_epoch=3)
    with pytest.warns(UserWarning, match="ran out of batches.*2 of 3"):
        assert [step for step, _ in epochs.epoch()] == [0, 1]
    with pytest.warns(UserWarning, match="ran out"):
        assert [b[0].tolist() for _, b in epochs.epoch()] == [[0, 1], [2, 3]]


def test_steps_that_divide_the_data_never_warn():
    epochs = Epochs(ArrayAdapter(np.arange(8), batch_size=2), steps_per_epoch=2)
    seen = [[b[0].tolist() for _, b in epochs.epoch()] for _ in range(4)]
    assert seen == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]] * 2


def test_initial_epoch_continues_the_order_of_a_long_run():
    def orders(epochs, count):
        return [np.concatenate([b[0] for _, b in epochs.epoch()]) for _ in range(count)]

    def adapter():
        return ArrayAdapter(np.arange(20), batch_size=7, shuffle=True, seed=5)

    whole = orders(Epochs(adapter()), 4)
    rest = orders(Epochs(adapter(), initial_epoch=2), 2)
    np.testing.assert_array_equal(whole[2:], rest)


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_per_epoch_must_be_positive(steps):
    with pytest.raises(ValueError, match=f"steps_per_epoch={steps}"):
        Epochs(ArrayAdapter(np.ones(2)), steps_per_epoch=steps)
