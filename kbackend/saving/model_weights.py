"""`save_weights` and `load_weights`: the state of a model without its configuration."""

from __future__ import annotations

from typing import Any

from kbackend.saving.archive import Archive, is_archive
from kbackend.saving.paths import checked_path, replacing
from kbackend.saving.state import collect, restore
from kbackend.saving.weights_store import WeightsFile, write_entries

_WEIGHTS = ".weights.h5"


def save_weights(model: Any, filepath: Any, overwrite: bool = True) -> None:
    """Writes the state of a model (its optimizer's included) to a file.

    Args:
        model: model or layer; it must be built.
        filepath: path that ends in ".weights.h5".
        overwrite: whether an existing file is replaced.

    Raises:
        ValueError: the model is not built, or the path ends otherwise.
        FileExistsError: the file exists, and `overwrite` is false.

    Example:
        >>> import kbackend as keras, tempfile
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(model, f"{folder}/model.weights.h5")
        ...     load_weights(model, f"{folder}/model.weights.h5")
    """
    path = checked_path(filepath, "save_weights", (_WEIGHTS,))
    if not model.built:
        raise ValueError(
            f"[save_weights] '{model.name}' has no weights yet. Call it on data, or "
            "build(input_shape), first."
        )
    entries = collect(model)
    with replacing(path, "save_weights", overwrite) as temporary:
        write_entries(temporary, entries, "save_weights")


def load_weights(
    model: Any, filepath: Any, skip_mismatch: bool = False, by_name: bool = False
) -> None:
    """Sets the state of a model from a file; a file that does not fit changes nothing.

    Args:
        model: model or layer; it must be built.
        filepath: path of a ".weights.h5" or ".keras" file.
        skip_mismatch: whether layers that the file does not fit keep their state, with a warning.
        by_name: whether layers are found in the file by their names; those not in it keep theirs.

    Raises:
        ValueError: the file is damaged or does not fit the model.
        FileNotFoundError: there is no such file.
    """
    owner = "load_weights"
    path = checked_path(filepath, owner, (_WEIGHTS, ".keras"))
    if not path.is_file():
        raise FileNotFoundError(f"[{owner}] there is no file {path}.")
    if is_archive(path):
        with Archive(path, owner) as archive, archive.weights() as file:
            restore(model, file, skip_mismatch, by_name)
        return
    with WeightsFile(path, str(path), owner) as file:
        restore(model, file, skip_mismatch, by_name)
