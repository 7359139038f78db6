"""Directories of WAV files as data sets."""

from __future__ import annotations

import wave
from typing import Any

import numpy as np

from kbackend.utils.folders import folder_dataset


def read_wav(path: str) -> tuple[np.ndarray, int]:
    """The samples of a WAV file with 8, 16, 24 or 32 bit integers.

    Args:
        path: the file.

    Returns:
        `(samples, rate)`: float32 samples from -1 to 1 of shape `(length, channels)`, and how many
        there are in a second.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with wave.open(path, "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            raw = np.frombuffer(file.readframes(file.getnframes()), dtype="uint8")
    except (wave.Error, EOFError) as error:
        raise ValueError(
            f"[audio_dataset_from_directory] {path} is no WAV file with integer samples: {error}."
        ) from error
    if width == 1:  # the only unsigned kind
        samples = raw.astype("float32") / 128 - 1
    else:
        # Filled up to 32 bits from the left, so that all widths have one scale.
        wide = np.zeros((len(raw) // width, 4), dtype="uint8")
        wide[:, 4 - width :] = raw.reshape(-1, width)
        samples = (wide.view("<i4")[:, 0] / 2.0**31).astype("float32")
    return samples.reshape(-1, channels), rate


def _stretched(samples: np.ndarray, old: int, new: int) -> np.ndarray:
    """Samples at another rate, by linear interpolation."""
    if old == new or not len(samples):
        return samples
    count = round(len(samples) * new / old)
    at = np.arange(count) * (old / new)
    tracks = [np.interp(at, np.arange(len(samples)), track) for track in samples.T]
    return np.stack(tracks, axis=1).astype("float32")


def audio_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """A data set of the `.wav` files in a directory.

    With `labels="inferred"` each subdirectory is a class, numbered by name.

    Args:
        directory: the directory.
        labels: `"inferred"`, `None` for no labels, or a list with one label for each file.
        label_mode: `"int"`, `"categorical"` (one-hot), `"binary"` (0.0 and 1.0) or `None`.
        class_names: the subdirectories, in the order that numbers the classes.
        batch_size: files of a batch; `None` yields single files.
        sampling_rate: samples in a second to convert to (linearly); by default as in the files.
        output_sequence_length: samples that longer files are cut to, and shorter ones padded to
            with zeros; needed in batches, unless all files have one length.
        ragged: not supported: there are no ragged arrays here.
        shuffle: whether each epoch has an order of its own; else files come sorted by path.
        seed: of the orders and of the split.
        validation_split: fraction of the files to hold back for validation.
        subset: `"training"`, `"validation"`, or `"both"` for a pair.
        follow_links: whether to follow links to directories.
        verbose: whether to write how many files there are.

    Returns:
        A `PyDataset` with `class_names` and `file_paths`, which yields float32 arrays of shape
        `(files, length, channels)` and labels.

    Raises:
        ValueError: an argument is wrong, or no file was found.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with wave.open(str(folder / "a.wav"), "wb") as file:
        ...     file.setparams((1, 2, 8000, 0, "NONE", ""))
        ...     file.writeframes(bytes(200))
        >>> dataset = audio_dataset_from_directory(folder, labels=None, verbose=False)
        >>> dataset[0].shape
        (1, 100, 1)
    """
    feature = "audio_dataset_from_directory"
    if ragged:
        raise ValueError(
            f"[{feature}] 'ragged' is not supported. Give 'output_sequence_length' to bring all "
            "files to one length. Received: ragged=True."
        )
    for name, value in (
        ("sampling_rate", sampling_rate),
        ("output_sequence_length", output_sequence_length),
    ):
        if value is not None and value < 1:
            raise ValueError(f"[{feature}] '{name}' must be positive. Received: {name}={value}.")

    def read(path: str) -> np.ndarray:
        samples, rate = read_wav(path)
        samples = _stretched(samples, rate, sampling_rate or rate)
        if output_sequence_length is None:
            return samples
        missing = max(output_sequence_length - len(samples), 0)
        return np.pad(samples[:output_sequence_length], ((0, missing), (0, 0)))

    return folder_dataset(
        feature,
        read,
        directory,
        labels,
        label_mode,
        class_names,
        (".wav",),
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
    )
