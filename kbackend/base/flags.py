"""Process-wide switches that `kbackend.config` shows: logging, tracebacks, limits, safe loading."""

import os

from kbackend.base.config import DEFAULT, RUNTIME, Setting
from kbackend.base.errors import ConfigError

_switches = {
    "traceback_filtering": True,
    "interactive_logging": True,
    "unsafe_deserialization": False,
    "flash_attention": True,
}
# Limits set at run time; the environment speaks for those that were not.
_limits: dict[str, int | None] = {}
_LIMIT_VARIABLES = {
    "max_epochs": "KERAS_MAX_EPOCHS",
    "max_steps_per_epoch": "KERAS_MAX_STEPS_PER_EPOCH",
}


def enable_traceback_filtering() -> None:
    """Leave kbackend's own frames out of the tracebacks of errors.

    >>> enable_traceback_filtering()
    >>> is_traceback_filtering_enabled()
    True
    """
    _switches["traceback_filtering"] = True


def disable_traceback_filtering() -> None:
    """Show every frame in the tracebacks of errors.

    >>> disable_traceback_filtering()
    >>> is_traceback_filtering_enabled()
    False
    >>> enable_traceback_filtering()
    """
    _switches["traceback_filtering"] = False


def is_traceback_filtering_enabled() -> bool:
    """Whether kbackend's own frames are left out of tracebacks.

    Returns:
        True unless `disable_traceback_filtering` was called.

    >>> is_traceback_filtering_enabled()
    True
    """
    return _switches["traceback_filtering"]


def enable_interactive_logging() -> None:
    """Show progress bars and messages on standard output.

    >>> enable_interactive_logging()
    >>> is_interactive_logging_enabled()
    True
    """
    _switches["interactive_logging"] = True


def disable_interactive_logging() -> None:
    """Send progress messages to the `logging` module instead of standard output.

    >>> disable_interactive_logging()
    >>> is_interactive_logging_enabled()
    False
    >>> enable_interactive_logging()
    """
    _switches["interactive_logging"] = False


def is_interactive_logging_enabled() -> bool:
    """Whether progress bars and messages go to standard output.

    Returns:
        True unless `disable_interactive_logging` was called.

    >>> is_interactive_logging_enabled()
    True
    """
    return _switches["interactive_logging"]


def enable_unsafe_deserialization() -> None:
    """Let files that hold Python code (such as `Lambda` layers) be loaded, in all of this process.

    Such a file can do anything that its author likes; call this only for files that you trust.

    >>> is_unsafe_deserialization_enabled()
    False
    """
    _switches["unsafe_deserialization"] = True


def disable_unsafe_deserialization() -> None:
    """Refuse files that hold Python code again, which is the default.

    >>> disable_unsafe_deserialization()
    """
    _switches["unsafe_deserialization"] = False


def is_unsafe_deserialization_enabled() -> bool:
    """Whether files that hold Python code are loaded without being asked for at each call.

    Returns:
        False unless `enable_unsafe_deserialization` was called.

    >>> is_unsafe_deserialization_enabled()
    False
    """
    return _switches["unsafe_deserialization"]


def enable_flash_attention() -> None:
    """Let attention layers use an engine's fused attention kernel where it has one.

    >>> enable_flash_attention()
    """
    _switches["flash_attention"] = True


def disable_flash_attention() -> None:
    """Make attention layers compute scores, softmax and sum one after the other.

    >>> disable_flash_attention()
    >>> is_flash_attention_enabled()
    False
    >>> enable_flash_attention()
    """
    _switches["flash_attention"] = False


def is_flash_attention_enabled() -> bool:
    """Whether attention layers may use an engine's fused attention kernel.

    Returns:
        True unless `disable_flash_attention` was called.

    >>> is_flash_attention_enabled()
    True
    """
    return _switches["flash_attention"]


def is_nnx_enabled() -> bool:
    """Whether layers are Flax NNX modules, which they never are here.

    Returns:
        False.

    >>> is_nnx_enabled()
    False
    """
    return False


def _set_limit(name: str, value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ConfigError(
            f"[set_{name}] '{name}' must be a non-negative integer, or None for no limit. "
            f"Received: {name}={value!r}."
        )
    _limits[name] = value


def _limit(name: str) -> Setting:
    if name in _limits:
        return Setting(name, _limits[name], RUNTIME)
    variable = _LIMIT_VARIABLES[name]
    text = os.environ.get(variable, "").strip()
    if not text:
        return Setting(name, None, DEFAULT)
    if not text.isdecimal():
        raise ConfigError(
            f"[environment variable {variable}] must be a non-negative integer. Received: "
            f"{text!r}. Mend it, or unset it for no limit."
        )
    return Setting(name, int(text), f"environment variable {variable}")


def limits() -> list[Setting]:
    """The caps on epochs and steps with the places they came from.

    Returns:
        `Setting(name, value, source)` for `max_epochs` and `max_steps_per_epoch`.

    >>> [limit.name for limit in limits()]
    ['max_epochs', 'max_steps_per_epoch']
    """
    return [_limit(name) for name in _LIMIT_VARIABLES]


def set_max_epochs(max_epochs: int | None) -> None:
    """Cap the number of epochs of every `fit`, for instance to try a script out quickly.

    Args:
        max_epochs: the cap, or None for none.

    Raises:
        ConfigError: (a `ValueError`) if it is no non-negative integer.

    >>> set_max_epochs(2)
    >>> max_epochs()
    2
    >>> set_max_epochs(None)
    """
    _set_limit("max_epochs", max_epochs)


def max_epochs() -> int | None:
    """The cap on the number of epochs of every `fit`.

    Returns:
        What `set_max_epochs` set, else the variable `KERAS_MAX_EPOCHS`, else None.

    >>> set_max_epochs(3)
    >>> max_epochs()
    3
    >>> set_max_epochs(None)
    """
    return _limit("max_epochs").value  # type: ignore[no-any-return]


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Cap the number of steps of every epoch, evaluation and prediction.

    Args:
        max_steps_per_epoch: the cap, or None for none.

    Raises:
        ConfigError: (a `ValueError`) if it is no non-negative integer.

    >>> set_max_steps_per_epoch(10)
    >>> max_steps_per_epoch()
    10
    >>> set_max_steps_per_epoch(None)
    """
    _set_limit("max_steps_per_epoch", max_steps_per_epoch)


def max_steps_per_epoch() -> int | None:
    """The cap on the number of steps of every epoch, evaluation and prediction.

    Returns:
        What `set_max_steps_per_epoch` set, else the variable `KERAS_MAX_STEPS_PER_EPOCH`, else
        None.

    >>> set_max_steps_per_epoch(10)
    >>> max_steps_per_epoch()
    10
    >>> set_max_steps_per_epoch(None)
    """
    return _limit("max_steps_per_epoch").value  # type: ignore[no-any-return]


def reset() -> None:
    """Put every switch and limit back to its default.

    >>> reset()
    """
    _switches.update(
        traceback_filtering=True,
        interactive_logging=True,
        unsafe_deserialization=False,
        flash_attention=True,
    )
    _limits.clear()
