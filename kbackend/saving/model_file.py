"""`save_model` and `load_model`: a whole model in one file."""

from __future__ import annotations

import io
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kbackend.base.serialization import (
    custom_object_scope,
    deserialize,
    object_sharing_scope,
    safe_mode_scope,
    serialize,
)
from kbackend.saving.archive import CONFIG, METADATA, Archive, write_archive
from kbackend.saving.paths import checked_path, replacing
from kbackend.saving.state import collect, has_assets, load_assets, restore, save_assets
from kbackend.saving.weights_store import write_entries


def save_model(
    model: Any, filepath: Any, overwrite: bool = True, zipped: bool | None = None
) -> None:
    """Writes a model to a `.keras` file: configuration, weights, and how it is trained.

    Args:
        model: model or layer.
        filepath: path that ends in ".keras".
        overwrite: whether an existing file is replaced.
        zipped: accepted for compatibility; a `.keras` file is always one zip archive.

    Raises:
        ValueError: the path ends otherwise, or `zipped` is false.
        FileExistsError: the file exists, and `overwrite` is false.

    Example:
        >>> import kbackend as keras, tempfile
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(model, f"{folder}/model.keras")
        ...     copy = load_model(f"{folder}/model.keras")
        >>> bool((copy.get_weights()[0] == model.get_weights()[0]).all())
        True
    """
    if zipped is False:
        raise ValueError(
            "[save_model] models are saved in one .keras file. Received: zipped=False. Leave "
            "'zipped' out."
        )
    path = checked_path(filepath, "save_model", (".keras",))
    with replacing(path, "save_model", overwrite) as temporary:
        dump_model(model, temporary)


def load_model(
    filepath: Any, custom_objects: Any = None, compile: bool = True, safe_mode: bool | None = True
) -> Any:
    """The model that a `.keras` file holds.

    Args:
        filepath: path of the file.
        custom_objects: name -> class or function of the user's that the model refers to.
        compile: whether to compile the model as it was when it was saved.
        safe_mode: whether code in the file (Python lambdas) and modules of other packages are
            refused.

    Returns:
        The model.

    Raises:
        ValueError: the file is damaged, holds code, or its weights do not fit.
        TypeError: a class or function in it is not known.
        FileNotFoundError: there is no such file.
    """
    path = checked_path(filepath, "load_model", (".keras",))
    if not path.is_file():
        raise FileNotFoundError(f"[load_model] there is no file {path}.")
    return read_model(path, custom_objects, compile, safe_mode)


def dump_model(model: Any, target: Any) -> None:
    """Writes a model into a path or file object, as `save_model` does."""
    with object_sharing_scope():
        config = serialize(model)
    weights = io.BytesIO()
    write_entries(weights, collect(model), "save_model")
    with ExitStack() as stack:
        assets = None
        if has_assets(model):
            assets = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            save_assets(model, assets)
        write_archive(target, config, weights.getbuffer(), assets)


def read_model(
    source: Any,
    custom_objects: Any = None,
    compile: bool = True,
    safe_mode: bool | None = True,
    label: str | None = None,
) -> Any:
    """The model in a path or file object, as `load_model` does."""
    owner = "load_model"
    with Archive(source, owner, label) as archive, archive.weights() as file:
        archive.json(METADATA)
        config = archive.json(CONFIG)
        if not compile:
            config.pop("compile_config", None)
        try:
            with (
                custom_object_scope(dict(custom_objects or {})),
                safe_mode_scope(safe_mode),
                object_sharing_scope(),
            ):
                model = deserialize(config)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"[{owner}] the model in {archive.label} can't be made: {error}") from error
        if not hasattr(model, "load_own_variables"):
            raise archive.damaged(f"{CONFIG} describes no model, but {type(model).__name__}")
        with tempfile.TemporaryDirectory() as folder:
            if archive.extract_assets(Path(folder)):
                load_assets(model, Path(folder))
        restore(model, file)
    return model
