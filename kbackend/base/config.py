"""Settings: `keras.json`, environment variables, and what was set at run time.

The file is read once, lazily, and never written. It lies in `$KERAS_HOME`, else in `~/.keras`
(`%USERPROFILE%\\.keras` on Windows), and is shared with Keras, so keys that belong to Keras are
left alone. Which engines exist is not known on this floor: `engine_candidates` lists who asked for
which one, in order of precedence, and `kbackend.engine.loader` takes the first that applies.
"""

import json
import math
import os
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from kbackend.base.errors import ConfigError

FLOATX_VALUES = ("bfloat16", "float16", "float32", "float64")
DATA_FORMATS = ("channels_last", "channels_first")
PRECISIONS = ("highest", "high")

RUNTIME = "set at run time"
DEFAULT = "default"


class Setting(NamedTuple):
    """One setting with the place that it came from."""

    name: str
    value: Any
    source: str


class Candidate(NamedTuple):
    """An engine that a source asks for.

    `binding` is False where the same setting may name an engine of Keras instead, which is then
    none of our business.
    """

    engine: str
    source: str
    binding: bool


class _State(NamedTuple):
    """What one reading of the file gave."""

    settings: dict[str, Setting]
    engines: tuple[Candidate, ...]


def _check_floatx(value: Any) -> str | None:
    return value if isinstance(value, str) and value in FLOATX_VALUES else None


def _check_epsilon(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value) if not isinstance(value, str) else math.nan
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _check_data_format(value: Any) -> str | None:
    text = str(value).lower()
    return text if isinstance(value, str) and text in DATA_FORMATS else None


def _check_precision(value: Any) -> str | None:
    return value if isinstance(value, str) and value in PRECISIONS else None


_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
          "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}  # fmt: skip
_AMOUNT = re.compile(rf"(\d+(?:\.\d+)?)\s*(%|{'|'.join(_UNITS)})?")
# Less is a slip: a part of the device written without its point, say.
_LEAST_MEMORY = 1 << 20


def _check_memory(value: Any) -> int | float | None:
    if isinstance(value, str):
        found = _AMOUNT.fullmatch(value.strip().lower())
        if found is None:
            return None
        number, unit = found[1], found[2]
        if unit == "%":
            value = float(number) / 100
        elif unit is not None:
            value = int(float(number) * _UNITS[unit])
        else:
            value = float(number) if "." in number else int(number)
    if isinstance(value, float):
        return value if 0 < value <= 1 else None
    return value if type(value) is int and value >= _LEAST_MEMORY else None


class _Key(NamedTuple):
    default: Any
    check: Callable[[Any], Any]
    allowed: str
    # An environment variable that goes before the file.
    variable: str = ""


def _one_of(values: tuple[str, ...]) -> str:
    return "one of " + ", ".join(repr(value) for value in values)


_KEYS: dict[str, _Key] = {
    "floatx": _Key("float32", _check_floatx, _one_of(FLOATX_VALUES)),
    "epsilon": _Key(1e-7, _check_epsilon, "a positive finite number"),
    "image_data_format": _Key("channels_last", _check_data_format, _one_of(DATA_FORMATS)),
    "memory_limit": _Key(
        1.0,
        _check_memory,
        "a number of bytes, at least 1 MiB, a part of the device's memory such as 0.5 or '50%', or "
        "a text such as '8 GiB'",
        "KBACKEND_MEMORY_LIMIT",
    ),
    "float32_matmul_precision": _Key(
        "highest", _check_precision, _one_of(PRECISIONS), "KBACKEND_FLOAT32_MATMUL_PRECISION"
    ),
}
_ENGINE_KEYS = ("kbackend", "backend")

_lock = threading.RLock()
# What the accessors read: filled by the first reading, overwritten by the setters.
_values: dict[str, Any] = {}
_runtime: dict[str, Any] = {}
_state: _State | None = None


def config_path() -> str:
    """The path of `keras.json`, which need not exist.

    Returns:
        `$KERAS_HOME/keras.json`, or `keras.json` in the directory `.keras` of the home directory.

    >>> config_path().endswith("keras.json")
    True
    """
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return os.path.join(os.path.expanduser(home), "keras.json")


def _read_text(path: str) -> str | None:
    # utf-8-sig: editors on Windows like to put a byte order mark in front.
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"[config] {path} is not UTF-8 text (byte {error.start}: {error.reason}). "
            f"Save it as UTF-8, or delete it to use the defaults."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"[config] {path} can't be read: {error.strerror or error}. Mend its permissions, or "
            f"set KERAS_HOME to a directory with a readable keras.json, or with none."
        ) from error


def _parse(text: str, path: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        found = lines[error.lineno - 1].strip() if error.lineno <= len(lines) else "end of file"
        raise ConfigError(
            f"[config] {path}, line {error.lineno}, column {error.colno}: not valid JSON "
            f"({error.msg}). Found: {found!r}. Mend that line (JSON wants double quotes, a comma "
            f"between entries and none after the last), or delete the file to use the defaults."
        ) from None
    except RecursionError:
        raise ConfigError(
            f"[config] {path}: nested too deeply to be a settings file. Mend it, or delete it to "
            f"use the defaults."
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"[config] {path}, line 1: must hold one JSON object such as "
            f'{{"floatx": "float32"}}. Received: {type(content).__name__}.'
        )
    return content


def _place(text: str, path: str, key: str) -> str:
    match = re.search(rf'"{re.escape(key)}"\s*:', text)
    line = text.count("\n", 0, match.start()) + 1 if match else 1
    return f"{path}, line {line}"


def _read_file() -> _State:
    path = config_path()
    text = _read_text(path)
    content = _parse(text, path) if text is not None else {}
    settings = {}
    for name, key in _KEYS.items():
        variable = os.environ.get(key.variable, "").strip().lower() if key.variable else ""
        if variable:
            place, given = f"environment variable {key.variable}", variable
        elif name in content:
            place, given = _place(text or "", path, name), content[name]
        else:
            settings[name] = Setting(name, key.default, DEFAULT)
            continue
        value = key.check(given)
        if value is None:
            raise ConfigError(
                f"[config] {place}: '{name}' must be {key.allowed}. Received: {given!r}."
            )
        settings[name] = Setting(name, value, place)
    engines = []
    for name in _ENGINE_KEYS:
        if name not in content:
            continue
        place = _place(text or "", path, name)
        if not isinstance(content[name], str) or not content[name].strip():
            raise ConfigError(
                f"[config] {place}: '{name}' must be the name of an engine (`python -m kbackend "
                f"info` lists them). Received: {content[name]!r}."
            )
        source = f"{place} (key '{name}')"
        engines.append(Candidate(content[name].strip().lower(), source, name == "kbackend"))
    return _State(settings, tuple(engines))


def _load() -> _State:
    global _state
    with _lock:
        # A failed reading is not kept: once the file is mended, the next call succeeds.
        if _state is None:
            state = _read_file()
            for name, setting in state.settings.items():
                _values.setdefault(name, setting.value)
            _state = state
        return _state


def _get(name: str) -> Any:
    with _lock:
        if name not in _values:
            _load()
        return _values[name]


def _set(name: str, value: Any, argument: str) -> None:
    key = _KEYS[name]
    checked = key.check(value)
    if checked is None:
        raise ConfigError(
            f"[set_{name}] '{argument}' must be {key.allowed}. Received: {argument}={value!r}."
        )
    with _lock:
        _runtime[name] = checked
        _values[name] = checked


def floatx() -> str:
    """The default float dtype of layers, variables and new tensors.

    Returns:
        `"bfloat16"`, `"float16"`, `"float32"` or `"float64"`.

    >>> floatx()
    'float32'
    """
    try:
        return _values["floatx"]  # type: ignore[no-any-return]
    except KeyError:
        return _get("floatx")  # type: ignore[no-any-return]


def set_floatx(value: str) -> None:
    """Set the default float dtype of this process.

    Args:
        value: `"bfloat16"`, `"float16"`, `"float32"` or `"float64"`.

    Raises:
        ConfigError: (a `ValueError`) for any other value.

    >>> set_floatx("float64")
    >>> floatx()
    'float64'
    >>> set_floatx("float32")
    """
    _set("floatx", value, "value")


def epsilon() -> float:
    """The small number that keeps divisions and logarithms away from zero.

    Returns:
        A positive float.

    >>> epsilon()
    1e-07
    """
    try:
        return _values["epsilon"]  # type: ignore[no-any-return]
    except KeyError:
        return _get("epsilon")  # type: ignore[no-any-return]


def set_epsilon(value: float) -> None:
    """Set the small number that `epsilon` returns.

    Args:
        value: a positive finite number.

    Raises:
        ConfigError: (a `ValueError`) for any other value.

    >>> set_epsilon(1e-5)
    >>> epsilon()
    1e-05
    >>> set_epsilon(1e-7)
    """
    _set("epsilon", value, "value")


def image_data_format() -> str:
    """The default order of image axes.

    Returns:
        `"channels_last"` or `"channels_first"`.

    >>> image_data_format()
    'channels_last'
    """
    try:
        return _values["image_data_format"]  # type: ignore[no-any-return]
    except KeyError:
        return _get("image_data_format")  # type: ignore[no-any-return]


def set_image_data_format(data_format: str) -> None:
    """Set the default order of image axes.

    Args:
        data_format: `"channels_last"` or `"channels_first"`.

    Raises:
        ConfigError: (a `ValueError`) for any other value.

    >>> set_image_data_format("channels_first")
    >>> image_data_format()
    'channels_first'
    >>> set_image_data_format("channels_last")
    """
    _set("image_data_format", data_format, "data_format")


def standardize_data_format(data_format: str | None) -> str:
    """The given order of image axes, or the default one for None.

    Args:
        data_format: `"channels_last"`, `"channels_first"` (in any case of letters) or None.

    Returns:
        `"channels_last"` or `"channels_first"`.

    Raises:
        ConfigError: (a `ValueError`) for any other value.

    >>> standardize_data_format(None)
    'channels_last'
    """
    if data_format is None:
        return image_data_format()
    checked = _check_data_format(data_format)
    if checked is None:
        raise ConfigError(
            f"'data_format' must be {_one_of(DATA_FORMATS)}, or None for the configured one. "
            f"Received: data_format={data_format!r}."
        )
    return checked


def memory_limit() -> int | float:
    """How much memory of each device may be taken.

    Returns:
        A number of bytes, or a part of the device's memory as a float; `1.0` is all of it.

    >>> memory_limit()
    1.0
    """
    return _get("memory_limit")  # type: ignore[no-any-return]


def set_memory_limit(limit: int | float | str | None) -> None:
    """Set what `memory_limit` returns. Engines that are loaded must be told.

    Args:
        limit: as in `kbackend.config.set_memory_limit`.

    Raises:
        ConfigError: (a `ValueError`) for a wrong value.

    >>> set_memory_limit("50%")
    >>> memory_limit()
    0.5
    >>> set_memory_limit(None)
    """
    _set("memory_limit", 1.0 if limit is None else limit, "limit")


def float32_matmul_precision() -> str:
    """How precise products of float32 are in contractions and convolutions.

    Returns:
        `"highest"` or `"high"`; see `set_float32_matmul_precision`.

    >>> float32_matmul_precision()
    'highest'
    """
    try:
        return _values["float32_matmul_precision"]  # type: ignore[no-any-return]
    except KeyError:
        return _get("float32_matmul_precision")  # type: ignore[no-any-return]


def set_float32_matmul_precision(value: str) -> None:
    """Set how precise products of float32 are in contractions and convolutions.

    With `"highest"` both factors have all their 24 bits. `"high"` lets an engine round them to the
    11 bits of TF32 where its device is faster with those; sums are float32 all the same. An engine
    that has no such products goes on as with `"highest"`.

    Args:
        value: `"highest"` or `"high"`.

    Raises:
        ConfigError: (a `ValueError`) for any other value.

    >>> set_float32_matmul_precision("high")
    >>> float32_matmul_precision()
    'high'
    >>> set_float32_matmul_precision("highest")
    """
    _set("float32_matmul_precision", value, "value")


def settings() -> list[Setting]:
    """Each setting with its value and the place it came from.

    Returns:
        `Setting(name, value, source)` for each.

    >>> [setting.name for setting in settings()]
    ['floatx', 'epsilon', 'image_data_format', 'memory_limit', 'float32_matmul_precision']
    """
    with _lock:
        from_file = _load().settings
        return [
            Setting(name, _runtime[name], RUNTIME) if name in _runtime else from_file[name]
            for name in _KEYS
        ]


def engine_candidates() -> list[Candidate]:
    """Who asks for which engine, by precedence: environment first, then the file.

    Returns:
        `Candidate(engine, source, binding)` in order; the first whose engine exists applies. A
        binding one must exist.

    >>> all(isinstance(candidate.engine, str) for candidate in engine_candidates())
    True
    """
    found = []
    for variable in ("KBACKEND", "KERAS_BACKEND"):
        name = os.environ.get(variable, "").strip().lower()
        if name:
            source = f"environment variable {variable}"
            found.append(Candidate(name, source, variable == "KBACKEND"))
    # KBACKEND settles the question, so a broken file is not an obstacle to choosing the engine.
    if found and found[0].binding:
        return found
    return [*found, *_load().engines]


def reset() -> None:
    """Forget what was set at run time and read the file anew at the next use.

    >>> set_floatx("float16")
    >>> reset()
    >>> floatx()
    'float32'
    """
    global _state
    with _lock:
        _state = None
        _runtime.clear()
        _values.clear()
