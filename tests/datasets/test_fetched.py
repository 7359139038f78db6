"""Loaders of fetched data sets, on files of the same formats made here, against Keras."""

import gzip
import io
import json
import pathlib
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from kbackend import datasets
from kbackend.base import config, flags
from kbackend.datasets import cifar, sources
from kbackend.utils import cached_files


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A directory that stands for the servers, beside an empty cache."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_CACHE", raising=False)
    monkeypatch.setattr(sources, "ORIGIN", shelf.as_uri() + "/")
    monkeypatch.setattr(cifar, "CIFAR_ORIGIN", shelf.as_uri() + "/")
    monkeypatch.setattr(sources, "HASHES", {})
    flags.disable_interactive_logging()
    yield shelf
    flags.enable_interactive_logging()


@pytest.fixture
def keras_datasets(shelf, monkeypatch):
    """Keras's own loaders, reading the same files."""
    keras = pytest.importorskip("keras")
    for name in ("boston_housing", "california_housing", "imdb", "mnist", "reuters"):
        module = pytest.importorskip(f"keras.src.datasets.{name}")
        monkeypatch.setattr(
            module, "get_file", lambda *a, origin, **k: str(shelf / origin.rpartition("/")[2])
        )
    return keras.datasets


def objects(lists):
    array = np.empty(len(lists), dtype=object)
    array[:] = lists
    return array


def texts(count, seed, longest=9):
    rng = np.random.default_rng(seed)
    return objects([rng.integers(1, 50, rng.integers(1, longest)).tolist() for _ in range(count)])


def same(ours, theirs):
    for (x, y), (kx, ky) in zip(ours, theirs, strict=True):
        assert x.dtype == kx.dtype
        assert [list(np.ravel(row)) for row in x] == [list(np.ravel(row)) for row in kx]
        np.testing.assert_array_equal(y, ky)


@pytest.mark.parametrize("options", [{}, {"test_split": 0.5, "seed": 7}, {"test_split": 0}])
@pytest.mark.parametrize("name", ["boston_housing", "california_housing"])
def test_housing(shelf, keras_datasets, name, options):
    rng = np.random.default_rng(0)
    np.savez(shelf / f"{name}.npz", x=rng.normal(size=(700, 3)), y=rng.normal(size=700))
    ours = getattr(datasets, name).load_data(**options)
    same(ours, getattr(keras_datasets, name).load_data(**options))


def test_small_california(shelf, keras_datasets):
    np.savez(shelf / "california_housing.npz", x=np.arange(1400.0).reshape(700, 2), y=np.ones(700))
    ours = datasets.california_housing.load_data(version="small")
    same(ours, keras_datasets.california_housing.load_data(version="small"))
    with pytest.raises(ValueError, match="version='tiny'"):
        datasets.california_housing.load_data(version="tiny")


def test_mnist(shelf, keras_datasets):
    rng = np.random.default_rng(0)
    np.savez_compressed(
        shelf / "mnist.npz",
        x_train=rng.integers(0, 256, (6, 28, 28), "uint8"),
        y_train=rng.integers(0, 10, 6, "uint8"),
        x_test=rng.integers(0, 256, (3, 28, 28), "uint8"),
        y_test=rng.integers(0, 10, 3, "uint8"),
    )
    same(datasets.mnist.load_data(), keras_datasets.mnist.load_data())


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(head + array.tobytes()))


def test_fashion_mnist(shelf):
    rng = np.random.default_rng(0)
    stored = {}
    for part, count in (("train", 5), ("t10k", 2)):
        stored[part] = (
            rng.integers(0, 256, (count, 28, 28), "uint8"),
            rng.integers(0, 10, count, "uint8"),
        )
        write_idx(shelf / f"{part}-images-idx3-ubyte.gz", stored[part][0])
        write_idx(shelf / f"{part}-labels-idx1-ubyte.gz", stored[part][1])
    same(datasets.fashion_mnist.load_data(), [stored["train"], stored["t10k"]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"plain text", "is damaged"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x05abc"), r"cut off.*3 values for the shape \(5,\)"),
        (gzip.compress(b"\0\0\x0d\x01\0\0\0\x00"), "no IDX file"),
        (gzip.compress(b"\0"), "no IDX file"),
        (gzip.compress(bytes(1000))[:-9], "is damaged"),
    ],
    # gzip writes the time, which would make names of its own in each process that runs tests.
    ids=["no gzip", "fewer values", "unknown dtype", "no head", "no end"],
)
def test_broken_idx(tmp_path, content, message):
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        datasets.fashion_mnist.read_idx(str(path))


# A pickle in the way of Python 2 and NumPy 1, as the files of CIFAR have them.
def old_pickle(content):
    return pickle.dumps(content, protocol=2).replace(b"numpy._core", b"numpy.core")


def write_cifar(shelf, archive, folder, files):
    with tarfile.open(shelf / archive, "w:gz") as tar:
        for name, content in files.items():
            raw = old_pickle(content)
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))


def images(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), "uint8")


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_cifar10(shelf, data_format):
    batches = {f"data_batch_{i}": {b"data": images(2, i), b"labels": [i, 0]} for i in range(1, 6)}
    batches["test_batch"] = {b"data": images(3, 9), b"labels": [1, 2, 3]}
    write_cifar(shelf, "cifar-10-python.tar.gz", "cifar-10-batches-py", batches)
    config.set_image_data_format(data_format)
    try:
        (x_train, y_train), (x_test, y_test) = datasets.cifar10.load_data()
    finally:
        config.set_image_data_format("channels_last")
    shape = (32, 32, 3) if data_format == "channels_last" else (3, 32, 32)
    assert x_train.shape == (10, *shape)
    assert x_test.shape == (3, *shape)
    assert y_train[:, 0].tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    assert y_test.shape == (3, 1)
    assert x_train.dtype == y_train.dtype == "uint8"
    first = x_train[0] if data_format == "channels_first" else x_train[0].transpose(2, 0, 1)
    np.testing.assert_array_equal(first.ravel(), images(2, 1)[0])


@pytest.mark.parametrize(("mode", "expected"), [("fine", [7, 8]), ("coarse", [1, 2])])
def test_cifar100(shelf, mode, expected):
    files = {
        "train": {b"data": images(2, 0), b"fine_labels": [7, 8], b"coarse_labels": [1, 2]},
        "test": {b"data": images(1, 1), b"fine_labels": [9], b"coarse_labels": [3]},
    }
    write_cifar(shelf, "cifar-100-python.tar.gz", "cifar-100-python", files)
    (x_train, y_train), (x_test, y_test) = datasets.cifar100.load_data(mode)
    assert (x_train.shape, x_test.shape) == ((2, 32, 32, 3), (1, 32, 32, 3))
    assert y_train[:, 0].tolist() == expected
    with pytest.raises(ValueError, match="label_mode='rough'"):
        datasets.cifar100.load_data("rough")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_words": 20},
        {"num_words": 20, "skip_top": 8, "oov_char": None},
        {"maxlen": 6, "seed": 3},
        {"start_char": None, "index_from": None},
        {"start_char": None, "index_from": 5},
    ],
)
def test_imdb_and_reuters(shelf, keras_datasets, options):
    np.savez(
        shelf / "imdb.npz",
        x_train=texts(30, 0),
        y_train=np.arange(30) % 2,
        x_test=texts(20, 1),
        y_test=np.arange(20) % 2,
    )
    np.savez(shelf / "reuters.npz", x=texts(40, 2), y=np.arange(40))
    same(datasets.imdb.load_data(**options), keras_datasets.imdb.load_data(**options))
    same(datasets.reuters.load_data(**options), keras_datasets.reuters.load_data(**options))


def test_texts_of_one_length_stay_lists(shelf):
    np.savez(shelf / "reuters.npz", x=objects([[1, 2], [3, 4], [5, 6], [7, 8]]), y=np.arange(4))
    (x_train, _), _ = datasets.reuters.load_data(test_split=0.25)
    assert x_train.shape == (3,)
    assert isinstance(x_train[0], list)


def test_text_errors(shelf):
    np.savez(
        shelf / "imdb.npz", x_train=texts(3, 0), y_train=[0] * 3, x_test=texts(3, 0), y_test=[0] * 3
    )
    np.savez(shelf / "reuters.npz", x=texts(3, 0), y=np.arange(3))
    with pytest.raises(ValueError, match="maxlen=1"):
        datasets.imdb.load_data(maxlen=1)
    with pytest.raises(ValueError, match="maxlen=1"):
        datasets.reuters.load_data(maxlen=1)
    with pytest.raises(ValueError, match="test_split=2"):
        datasets.reuters.load_data(test_split=2)
    with pytest.raises(TypeError, match="words"):
        datasets.imdb.load_data(words=3)
    with pytest.warns(DeprecationWarning, match="num_words"):
        (x_train, _), _ = datasets.imdb.load_data(nb_words=10)
    assert max(max(text) for text in x_train) < 10


@pytest.mark.parametrize("name", ["imdb", "reuters"])
def test_word_index(shelf, name):
    (shelf / f"{name}_word_index.json").write_text(json.dumps({"the": 1, "naïve": 2}))
    assert getattr(datasets, name).get_word_index() == {"the": 1, "naïve": 2}


def test_label_names_match_keras():
    keras = pytest.importorskip("keras")
    assert datasets.reuters.get_label_names() == keras.datasets.reuters.get_label_names()


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_hostile_pickles_do_not_run(shelf, capsys):
    np.savez(shelf / "reuters.npz", x=objects([Evil(), [1]]), y=np.arange(2))
    with pytest.raises(pickle.UnpicklingError, match=r"builtins.print.*hostile"):
        datasets.reuters.load_data()
    with pytest.raises(pickle.UnpicklingError, match="hostile"):
        sources.unpickle_arrays(io.BytesIO(pickle.dumps({b"data": Evil()})))
    assert capsys.readouterr().out == ""


def test_damaged_npz(shelf):
    (shelf / "mnist.npz").write_bytes(b"PK no zip")
    with pytest.raises(ValueError, match="is damaged.*fetched again"):
        datasets.mnist.load_data()


def test_every_npy_version_is_read(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for version in ((1, 0), (2, 0), (3, 0)):
            for name, array in (("n", np.arange(3)), ("o", objects([[1], [2, 3]]))):
                raw = io.BytesIO()
                np.lib.format.write_array(raw, array, version=version, allow_pickle=True)
                archive.writestr(f"{name}{version[0]}.npy", raw.getvalue())
    arrays = sources.read_npz(str(path))
    assert [arrays[f"n{v}"].tolist() for v in (1, 2, 3)] == [[0, 1, 2]] * 3
    assert [arrays[f"o{v}"].tolist() for v in (1, 2, 3)] == [[[1], [2, 3]]] * 3


def test_published_hashes_and_addresses_are_used(monkeypatch):
    asked = {}

    def get_file(fname, origin, file_hash=None, **options):
        asked[fname] = (origin, file_hash)
        raise LookupError(fname)

    monkeypatch.setattr(sources, "get_file", get_file)
    for name in ("boston_housing", "california_housing", "imdb", "mnist", "reuters", "cifar10"):
        with pytest.raises(LookupError):
            getattr(datasets, name).load_data()
    assert asked["mnist.npz"] == (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    )
    origin, digest = asked["cifar-10-batches-py-target"]
    assert origin == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    assert len(digest) == 64
    assert all(digest for _, digest in asked.values())


def test_wrong_file_is_not_kept(shelf, monkeypatch):
    monkeypatch.setattr(sources, "HASHES", {"mnist.npz": "0" * 64})
    np.savez(shelf / "mnist.npz", x_train=np.ones(1))
    with pytest.raises(ValueError, match="hash differs"):
        datasets.mnist.load_data()
    home = cached_files.cache_home()
    assert not [p for p in pathlib.Path(home).rglob("*") if p.is_file()]


def test_lazy_namespace():
    assert "mnist" in dir(datasets)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = datasets.nonsense
