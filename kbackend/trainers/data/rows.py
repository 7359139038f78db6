"""What `fit` may be given, as rows: things with a length that yield host arrays by slice or index.

A leaf of the user's data becomes one of three kinds: a NumPy array, a sparse matrix (made dense
batch by batch), or a dataset in a file (read batch by batch).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.base import config, dtypes, tree
from kbackend.engine.loader import current_engine

_SCALARS = (bool, int, float, complex, str, bytes, np.generic)
_SUPPORTED = (
    "NumPy arrays, tensors, pandas frames and series, SciPy sparse matrices, h5py or zarr "
    "datasets, lists of numbers, or tuples, lists and dicts of these"
)


def is_cast(dtype: np.dtype) -> bool:
    """Whether values of a dtype are cast: floats that aren't of the configured float type."""
    return dtype.kind == "f" and dtype != dtypes.numpy_dtype(config.floatx())


def to_floatx(array: np.ndarray) -> np.ndarray:
    """`array`, with floating values cast to the configured float type; integers are kept."""
    if not is_cast(array.dtype):
        return array
    return array.astype(dtypes.numpy_dtype(config.floatx()))


class DenseRows:
    """Rows of a NumPy array."""

    def __init__(self, array: np.ndarray):
        self.array = array
        flags = array.flags
        # `take` first copies the whole of an array that is not laid out plainly.
        self._plain = flags.c_contiguous and flags.aligned and array.dtype.isnative

    def __len__(self) -> int:
        return len(self.array)

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop`: a view where no cast is needed."""
        return to_floatx(self.array[start:stop])

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The rows at `indices`, in their order."""
        array = self.array
        if not self._plain:
            return to_floatx(array[indices])
        if is_cast(array.dtype):
            return to_floatx(array.take(indices, axis=0))
        return current_engine().take_rows(array, indices)

    def part(self, start: int, stop: int) -> DenseRows:
        """Rows `start` to `stop`, to be read later."""
        return DenseRows(self.array[start:stop])


class SparseRows:
    """Rows of a SciPy sparse matrix, made dense a batch at a time."""

    def __init__(self, matrix: Any):
        self.matrix = matrix.tocsr()

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop`, dense."""
        return to_floatx(self.matrix[start:stop].toarray())

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The rows at `indices`, dense, in their order."""
        return to_floatx(self.matrix[indices].toarray())

    def part(self, start: int, stop: int) -> SparseRows:
        """Rows `start` to `stop`, to be read later."""
        return SparseRows(self.matrix[start:stop])


class FileRows:
    """Rows `start` to `stop` of an array stored in a file (h5py, zarr), read a batch at a time."""

    def __init__(self, dataset: Any, start: int = 0, stop: int | None = None):
        self.dataset = dataset
        self.start = start
        self.stop = int(dataset.shape[0]) if stop is None else stop

    def __len__(self) -> int:
        return self.stop - self.start

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop`, read now."""
        stop = min(self.start + stop, self.stop)
        return to_floatx(np.asarray(self.dataset[self.start + start : stop]))

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The rows at `indices`, in their order."""
        # Files are indexed by increasing, unique positions; `back` restores order and repeats.
        wanted, back = np.unique(np.asarray(indices), return_inverse=True)
        return to_floatx(np.asarray(self.dataset[wanted + self.start])[back])

    def part(self, start: int, stop: int) -> FileRows:
        """Rows `start` to `stop`, to be read later."""
        return FileRows(self.dataset, self.start + start, min(self.start + stop, self.stop))


Rows = DenseRows | SparseRows | FileRows


def _library(obj: Any) -> str:
    return type(obj).__module__.partition(".")[0]


def _is_pandas(obj: Any) -> bool:
    return _library(obj) == "pandas" and hasattr(obj, "to_numpy")


def _is_sparse(obj: Any) -> bool:
    return type(obj).__module__.startswith("scipy.sparse") and hasattr(obj, "tocsr")


def _is_file(obj: Any) -> bool:
    return _library(obj) in ("h5py", "zarr") and hasattr(obj, "shape") and hasattr(obj, "dtype")


def is_leaf_array(obj: Any) -> bool:
    """Whether `obj` is one array-like value that can be cut into rows."""
    if isinstance(obj, (np.ndarray, DenseRows, SparseRows, FileRows)):
        return True
    if isinstance(obj, (*_SCALARS, type)):
        return False
    if _is_pandas(obj) or _is_sparse(obj) or _is_file(obj):
        return True
    return hasattr(obj, "shape") and (
        hasattr(obj, "__array__") or hasattr(obj, "__cuda_array_interface__")
    )


def is_plain_list(obj: Any) -> bool:
    """Whether `obj` is a Python list (of lists…) of numbers or strings: one array spelt out."""
    while isinstance(obj, (list, tuple)) and len(obj):
        obj = obj[0]
        if isinstance(obj, _SCALARS):
            return True
    return False


def is_array_data(data: Any) -> bool:
    """Whether every leaf of `data` (`None` apart) is an array or a plain list of numbers."""
    if data is None or is_leaf_array(data) or is_plain_list(data):
        return True
    if tree.is_nested(data):
        items = data.values() if hasattr(data, "values") else data
        return len(data) > 0 and all(is_array_data(item) for item in items)
    return False


def _pandas_values(frame: Any) -> np.ndarray:
    values = frame.to_numpy()
    if values.dtype.kind == "O":
        try:  # columns of several kinds, or nullable ones, have no common NumPy type
            values = frame.to_numpy(dtype="float64", na_value=np.nan)
        except (TypeError, ValueError):
            values = frame.to_numpy()  # text: judged by `_checked`
    return values[:, None] if values.ndim == 1 else values


def _checked(array: np.ndarray, name: str) -> np.ndarray:
    kind = array.dtype.kind
    if kind == "O" and array.size and not isinstance(array.flat[0], (str, bytes)):
        raise ValueError(
            f"[data] {name} is an array of Python objects (dtype object), as NumPy makes of rows "
            "of different lengths or kinds. Pad the rows (`kbackend.utils.pad_sequences`) "
            f"or cast them first. Received: shape={array.shape}, first entry of type "
            f"{type(array.flat[0]).__name__}."
        )
    if kind in "mM":
        raise ValueError(
            f"[data] {name} holds dates or times, which no layer can use. Convert them to numbers "
            f"first. Received: dtype={array.dtype}."
        )
    return array


def to_host(leaf: Any, name: str = "x") -> np.ndarray:
    """One array-like leaf as a NumPy array on the host, floats in the configured float type."""
    return to_floatx(_dense(leaf, name))


def _dense(leaf: Any, name: str) -> np.ndarray:
    if isinstance(leaf, np.ndarray):
        return _checked(np.asarray(leaf), name)
    if _is_pandas(leaf):
        return _checked(_pandas_values(leaf), name)
    if _is_sparse(leaf):
        return leaf.toarray()
    if hasattr(leaf, "detach") and hasattr(leaf, "cpu"):
        leaf = leaf.detach().cpu()
    elif hasattr(leaf, "__cuda_array_interface__") and hasattr(leaf, "get"):
        leaf = leaf.get()
    try:
        return _checked(np.asarray(leaf), name)
    except ValueError as error:
        if isinstance(leaf, (list, tuple)):
            raise ValueError(
                f"[data] {name} is a list whose rows differ in length, so it is no array. Pad the "
                f"rows first (`kbackend.utils.pad_sequences`). Received: {len(leaf)} rows."
            ) from error
        raise


def as_rows(leaf: Any, name: str) -> Rows | None:
    """One leaf of the user's data as rows; `None` stays `None`."""
    if leaf is None or isinstance(leaf, (DenseRows, SparseRows, FileRows)):
        return leaf
    if _is_sparse(leaf):
        return SparseRows(leaf)
    if _is_file(leaf):
        if not leaf.shape:
            raise ValueError(f"[data] {name} is a scalar; an array with rows is needed.")
        return FileRows(leaf)
    array = _dense(leaf, name)
    if array.ndim == 0:
        raise ValueError(
            f"[data] {name} is a scalar; an array whose first axis counts the samples is needed. "
            f"Received: {leaf!r}."
        )
    return DenseRows(array)


def map_leaves(fn: Any, data: Any, name: str) -> Any:
    """Applies `fn(leaf, path)` to the array leaves of `data`; a path reads like `x['a'][0]`.

    A plain list of numbers counts as one leaf.
    """
    if data is None or is_leaf_array(data) or is_plain_list(data):
        return fn(data, name)
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(map_leaves(fn, getattr(data, f), f"{name}.{f}") for f in data._fields))
    if isinstance(data, (list, tuple)):
        items = [map_leaves(fn, item, f"{name}[{i}]") for i, item in enumerate(data)]
        return items if isinstance(data, list) else tuple(items)
    if tree.is_nested(data):
        return {key: map_leaves(fn, data[key], f"{name}[{key!r}]") for key in data}
    raise ValueError(
        f"[data] {name} is of a type that is no array. Received: {data!r} of type "
        f"{type(data).__module__}.{type(data).__qualname__}. Supported: {_SUPPORTED}."
    )
