"""Windows over a time series."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.utils.sample_dataset import SampleDataset


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "tf",
) -> SampleDataset:
    """A data set of sliding windows over an array of time steps.

    Args:
        data: array whose first axis is time.
        targets: array with the target of the window that begins at each time step, or `None`.
        sequence_length: time steps of a window.
        sequence_stride: time steps between the beginnings of two windows.
        sampling_rate: time steps between two entries of a window.
        batch_size: windows of a batch; `None` yields single windows.
        shuffle: whether each epoch has an order of its own.
        seed: of the orders.
        start_index: time steps before it are not used.
        end_index: it and the time steps after it are not used.
        format: accepted for the sake of Keras's signature; the data set is always a `PyDataset`.

    Returns:
        A `PyDataset` that yields `(windows, targets)`, or `windows` without targets.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> dataset = timeseries_dataset_from_array(np.arange(6), np.arange(6) * 10, 3)
        >>> x, y = dataset[0]
        >>> x.tolist(), y.tolist()
        ([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]], [0, 10, 20, 30])
    """
    series = np.asarray(data)
    length = len(series)
    _check_range("start_index", start_index, 0, length - 1)
    _check_range("end_index", end_index, 1, length)
    if start_index is not None and end_index is not None and end_index <= start_index:
        raise ValueError(
            "[timeseries_dataset_from_array] 'end_index' must be higher than 'start_index'. "
            f"Received: start_index={start_index}, end_index={end_index}."
        )
    for name, value in (
        ("sequence_length", sequence_length),
        ("sequence_stride", sequence_stride),
        ("sampling_rate", sampling_rate),
    ):
        _check_range(name, value, 1, length)
    start = start_index or 0
    stop = length if end_index is None else end_index
    series = series[start:stop]
    count = len(series) - (sequence_length - 1) * sampling_rate
    wanted = None if targets is None else np.asarray(targets)[start:]
    if wanted is not None:
        count = min(count, len(wanted))
    if count <= 0:
        raise ValueError(
            f"[timeseries_dataset_from_array] {len(series)} time steps are too few for windows of "
            f"sequence_length={sequence_length} with sampling_rate={sampling_rate}."
        )
    offsets = np.arange(sequence_length) * sampling_rate

    def read(begin: int) -> Any:
        window = series[begin + offsets]
        return window if wanted is None else (window, wanted[begin])

    return SampleDataset(
        read,
        np.arange(0, count, sequence_stride),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
    )


def _check_range(name: str, value: Any, least: int, most: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or int(value) != value or not least <= value <= most:
        raise ValueError(
            f"[timeseries_dataset_from_array] '{name}' must be an integer from {least} to {most}, "
            f"for there are that many time steps. Received: {name}={value!r}."
        )
