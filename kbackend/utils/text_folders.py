"""Directories of text files as data sets."""

from __future__ import annotations

from typing import Any

from kbackend.utils.folders import folder_dataset


def text_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """A data set of the `.txt` files in a directory.

    With `labels="inferred"` each subdirectory is a class, numbered by name.

    Args:
        directory: the directory.
        labels: `"inferred"`, `None` for no labels, or a list with one label for each file.
        label_mode: `"int"`, `"categorical"` (one-hot), `"binary"` (0.0 and 1.0) or `None`.
        class_names: the subdirectories, in the order that numbers the classes.
        batch_size: texts of a batch; `None` yields single texts.
        max_length: longer texts are cut to so many characters.
        shuffle: whether each epoch has an order of its own; else files come sorted by path.
        seed: of the orders and of the split.
        validation_split: fraction of the files to hold back for validation.
        subset: `"training"`, `"validation"`, or `"both"` for a pair.
        follow_links: whether to follow links to directories.
        format: accepted for the sake of Keras's signature; the data set is always a `PyDataset`.
        verbose: whether to write how many files there are.

    Returns:
        A `PyDataset` with `class_names` and `file_paths`, which yields arrays of strings (of dtype
        object) and labels.

    Raises:
        ValueError: an argument is wrong, or no file was found.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("bad", "good"):
        ...     (folder / name).mkdir()
        ...     _ = (folder / name / "1.txt").write_text(f"a {name} film")
        >>> dataset = text_dataset_from_directory(folder, shuffle=False, verbose=False)
        >>> x, y = dataset[0]
        >>> x.tolist(), y.tolist()
        (['a bad film', 'a good film'], [0, 1])
    """

    def read(path: str) -> str:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(-1 if max_length is None else max_length)

    return folder_dataset(
        "text_dataset_from_directory",
        read,
        directory,
        labels,
        label_mode,
        class_names,
        (".txt",),
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
        follow_links,
        verbose,
    )
