"""The `.keras` file: a zip archive of metadata, configuration, weights and assets."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from kbackend._version import __version__
from kbackend.saving.weights_store import WeightsFile

METADATA, CONFIG, WEIGHTS, ASSETS = "metadata.json", "config.json", "model.weights.h5", "assets"

# The format of the files is that of this version of Keras.
KERAS_VERSION = "3.15.1"

# A model's configuration takes kilobytes; what claims more is not one.
_MOST_JSON = 2**28
# Compressed members may unpack to so many times their size.
_MOST_COMPRESSION = 200


def is_archive(path: Path) -> bool:
    """Whether the file is a zip archive."""
    return zipfile.is_zipfile(path)


def write_archive(
    target: Any, config: dict[str, Any], weights: bytes | memoryview, assets: Path | None
) -> None:
    """Writes a `.keras` file.

    Args:
        target: path or file object.
        config: the model's configuration.
        weights: bytes of the HDF5 file.
        assets: folder of assets, or `None`.
    """
    metadata = {
        "keras_version": KERAS_VERSION,
        "date_saved": datetime.now(UTC).strftime("%Y-%m-%d@%H:%M:%S"),
        "kbackend_version": __version__,
    }
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(METADATA, json.dumps(metadata))
        archive.writestr(CONFIG, json.dumps(config))
        with archive.open(WEIGHTS, "w", force_zip64=True) as member:
            member.write(weights)
        for file in sorted(assets.rglob("*")) if assets is not None else ():
            if file.is_file():
                archive.write(file, f"{ASSETS}/{file.relative_to(assets).as_posix()}")  # type: ignore[arg-type]


class Archive:
    """A `.keras` file that is open for reading, checked before anything is taken from it.

    Args:
        source: path or file object.
        owner: whom errors name.
        label: what errors call the file; its path by default.

    Raises:
        ValueError: it is not such a file, it is damaged, or its members have names or sizes that
            no model has.
    """

    def __init__(self, source: Any, owner: str, label: str | None = None) -> None:
        self.label = label or str(source)
        self.owner = owner
        try:
            self._zip = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, EOFError, ValueError) as error:
            raise self.damaged(f"it is not a complete .keras file ({error})") from error
        try:
            self._members = self._checked_members()
        except ValueError:
            self._zip.close()
            raise

    def damaged(self, problem: str) -> ValueError:
        """The error for something wrong in the file."""
        return ValueError(
            f"[{self.owner}] {self.label} can't be read: {problem}. Save the model again with "
            "model.save('name.keras'), or take another copy of the file."
        )

    def _checked_members(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            parts = PurePosixPath(info.filename).parts
            if (
                info.filename.startswith("/")
                or "\\" in info.filename
                or ":" in info.filename
                or ".." in parts
                or "\0" in info.filename
            ):
                raise self.damaged(f"the member {info.filename!r} leads out of the archive")
            if info.filename in members:
                raise self.damaged(f"the member {info.filename!r} appears twice")
            if info.flag_bits & 1:
                raise self.damaged(f"the member {info.filename!r} is encrypted")
            if info.file_size > max(info.compress_size, 1024) * _MOST_COMPRESSION:
                raise self.damaged(
                    f"the member {info.filename!r} claims to unpack from {info.compress_size} to "
                    f"{info.file_size} bytes"
                )
            members[info.filename] = info
        for name in (METADATA, CONFIG, WEIGHTS):
            if name not in members:
                raise self.damaged(f"it has no {name}")
        return members

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._zip.close()

    def _read(self, name: str, limit: int | None = None) -> bytes:
        info = self._members[name]
        if limit is not None and info.file_size > limit:
            raise self.damaged(f"{name} has {info.file_size} bytes")
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, ValueError) as error:
            raise self.damaged(f"{name} is damaged ({error})") from error

    def json(self, name: str) -> dict[str, Any]:
        """A member that holds JSON, as a dict."""
        try:
            data = json.loads(self._read(name, _MOST_JSON))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.damaged(f"{name} is not JSON ({error})") from error
        if not isinstance(data, dict):
            raise self.damaged(f"{name} holds no object, but {type(data).__name__}")
        return data

    def weights(self) -> WeightsFile:
        """The weights, opened for reading."""
        return WeightsFile(io.BytesIO(self._read(WEIGHTS)), self.label, self.owner)

    def extract_assets(self, folder: Path) -> bool:
        """Writes the assets into a folder; whether there are any."""
        found = False
        for name in self._members:
            if name.startswith(f"{ASSETS}/") and not name.endswith("/"):
                target = folder / PurePosixPath(name).relative_to(ASSETS)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._read(name))
                found = True
        return found
