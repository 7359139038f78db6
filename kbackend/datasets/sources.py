"""Where the data sets are fetched from, and how their files are read without trusting them."""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np

from kbackend.utils.cached_files import get_file

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
CIFAR_ORIGIN = "https://www.cs.toronto.edu/~kriz/"

# File name -> hash, as published with Keras. Files without one are not listed.
HASHES = {
    "boston_housing.npz": "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5",
    "california_housing.npz": "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f",
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    "imdb.npz": "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
    "imdb_word_index.json": "bfafd718b763782e994055a2d397834f",
    "mnist.npz": "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    "reuters.npz": "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916",
    "reuters_word_index.json": "4d44cc38712099c9e383dc6e5f11a921",
}

_SAFE_GLOBALS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled arrays, lists and numbers, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy.core."):  # as NumPy 1 called it
            module = module.replace("numpy.core.", "numpy._core.", 1)
        if (module, name) in _SAFE_GLOBALS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(
            f"[datasets] the file wants to load {module}.{name}, which no data set needs. It is "
            "damaged or hostile; delete it."
        )


def unpickle_arrays(file: Any, encoding: str = "ASCII") -> Any:
    """The object pickled in `file`, if it consists of arrays, containers, text and numbers.

    Raises:
        pickle.UnpicklingError: it holds anything else.
    """
    return _ArraysOnly(file, encoding=encoding).load()


def read_npz(path: str) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file; arrays of objects may hold lists of numbers only.

    Raises:
        pickle.UnpicklingError: an array holds other objects.
        ValueError: the file is damaged.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                with archive.open(member) as stream:
                    arrays[member.removesuffix(".npy")] = _read_npy(io.BytesIO(stream.read()))
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"[datasets] {path} is damaged: {error}. Delete it, and it is fetched again."
        ) from error
    return arrays


def _read_npy(file: io.BytesIO) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    _, _, dtype = read_header(file)
    if dtype.hasobject:
        return unpickle_arrays(file)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def fetch(name: str, fname: str | None = None, origin: str | None = None, **options: Any) -> str:
    """The path of the file `name`, fetched if need be, under the name `fname` in the cache."""
    address = (ORIGIN if origin is None else origin) + name
    return get_file(fname=fname or name, origin=address, file_hash=HASHES.get(name), **options)


def shuffled(seed: int | None, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays in the one order that Keras gives them for this seed."""
    return shuffled_by(np.random.RandomState(seed), *arrays)


def shuffled_by(rng: np.random.RandomState, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """The arrays in an order that `rng` draws."""
    order = np.arange(len(arrays[0]))
    rng.shuffle(order)
    return tuple(array[order] for array in arrays)


def check_fraction(dataset: str, name: str, value: float) -> None:
    """Raises `ValueError` unless `value` lies from 0 to 1, 1 left out."""
    if not 0 <= value < 1:
        raise ValueError(
            f"[{dataset}] '{name}' must lie from 0 to 1 (1 excluded). Received: {name}={value}."
        )
