"""`STFT`: kernels of a convolution that computes a short-time Fourier transform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from kbackend.base.dtypes import standardize_dtype
from kbackend.base.serialization import deserialize, serialize
from kbackend.base.shapes import standardize_shape
from kbackend.core.convert import to_tensor
from kbackend.initializers.initializer import Initializer

Array = np.ndarray[Any, Any]


def _cosines(*weights: float) -> Callable[[Array], Array]:
    """The window `sum((-1)**k * weights[k] * cos(2 pi k x))` for x in [0, 1]."""

    def window(x: Array) -> Array:
        terms = (w * (-1) ** k * np.cos(2 * np.pi * k * x) for k, w in enumerate(weights))
        return np.sum(list(terms), axis=0)

    return window


def _tukey(x: Array) -> Array:
    """Flat in the middle half, with cosine flanks."""
    near = np.minimum(x, 1 - x)
    return np.where(near < 0.25, 0.5 * (1 - np.cos(4 * np.pi * near)), 1.0)


_WINDOWS: dict[str, Callable[[Array], Array]] = {
    "bartlett": lambda x: 1 - np.abs(2 * x - 1),
    "blackman": _cosines(0.42, 0.5, 0.08),
    "blackmanharris": _cosines(0.35875, 0.48829, 0.14128, 0.01168),
    "boxcar": np.ones_like,
    "cosine": lambda x: np.sin(np.pi * x),
    "flattop": _cosines(0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
    "hamming": _cosines(0.54, 0.46),
    "hann": _cosines(0.5, 0.5),
    "nuttall": _cosines(0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "tukey": _tukey,
}


def window_values(window: Any, length: int, periodic: bool) -> Array:
    """The values of a window function.

    Args:
        window: name of a window, or its values.
        length: number of values.
        periodic: whether the window is one period of a periodic function, rather than symmetric.

    Raises:
        ValueError: there is no such window, or the values have another length.
    """
    if isinstance(window, str):
        if window not in _WINDOWS:
            raise ValueError(
                f"[STFT] there is no window {window!r}. Known windows: {', '.join(_WINDOWS)}."
            )
        last = length if periodic else length - 1
        if window == "cosine":
            return _WINDOWS[window]((np.arange(length) + 0.5) / (last + 1))
        return _WINDOWS[window](np.arange(length) / max(last, 1)) if length > 1 else np.ones(length)
    values = np.asarray(window, dtype="float64")
    if values.shape != (length,):
        raise ValueError(
            f"[STFT] the window must have the length {length}. Received: shape={values.shape}."
        )
    return values


class STFT(Initializer):
    """The real or imaginary part of Fourier kernels under a window.

    Called for the shape `(frame length, 1, frequencies)`; the transform has the length
    `2 * (frequencies - 1)`.

    Args:
        side: "real" or "imag".
        window: name of a window ("hann", "hamming", "blackman", ...), its values, or `None`.
        scaling: "density" (squares sum to a spectral density), "spectrum" or `None`.
        periodic: whether the window is periodic rather than symmetric.

    Raises:
        ValueError: the side or the scaling is none of these.

    Example:
        >>> STFT(window=None)((4, 1, 3)).numpy().round()[:, 0, 1].tolist()
        [1.0, -0.0, -1.0, 0.0]
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        if side not in ("real", "imag"):
            raise ValueError(f"[STFT] 'side' must be 'real' or 'imag'. Received: side={side!r}.")
        if scaling not in (None, "density", "spectrum"):
            raise ValueError(
                f"[STFT] 'scaling' must be 'density', 'spectrum' or None. Received: {scaling!r}."
            )
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """The kernels.

        Raises:
            ValueError: the shape does not have three dimensions, or the window does not fit it.
        """
        dims: tuple[Any, ...] = standardize_shape(shape, allow_unknown=False)
        if len(dims) != 3:
            raise ValueError(
                "[STFT] the shape must be (frame length, channels, frequencies). Received: "
                f"shape={dims}."
            )
        frame, _, frequencies = dims
        angles = (2 * np.pi / (2 * max(frequencies - 1, 1))) * np.outer(
            np.arange(frame), np.arange(frequencies)
        )
        kernel = np.cos(angles) if self.side == "real" else -np.sin(angles)
        if self.window is not None:
            values = window_values(self.window, frame, self.periodic)
            if self.scaling == "density":
                values = values / np.sqrt(np.sum(values**2))
            elif self.scaling == "spectrum":
                values = values / np.sum(np.abs(values))
            kernel = kernel * values[:, None]
        return to_tensor(
            np.broadcast_to(kernel[:, None, :], dims),
            standardize_dtype(dtype),
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "side": self.side,
            "window": serialize(self.window),
            "periodic": self.periodic,
            "scaling": self.scaling,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An initializer from `get_config`'s answer."""
        window = config.get("window", "hann")
        return cls(
            **{**config, "window": window if isinstance(window, str) else deserialize(window)}
        )
