"""Fourier transforms, short-time transforms, and frames of signals. Complex values are pairs of a
real and an imaginary part."""

from __future__ import annotations

from typing import Any

import numpy as np

from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.nn.arguments import floating


def _pair(x: Any, name: str) -> tuple[Any, Any]:
    """Real and imaginary part, floating and of one shape."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(
            f"[{name}] 'x' must be a pair of the real and the imaginary part. "
            f"Received: {type(x).__name__}."
        )
    real, imag = to_tensor(x[0]), to_tensor(x[1])
    for part in (real, imag):
        if not part.dtype.startswith(("float", "bfloat")):
            raise ValueError(
                f"[{name}] both parts must be floating tensors. Received dtype: {part.dtype}."
            )
    if len(real.shape) != len(imag.shape) or not real.shape:
        raise ValueError(
            f"[{name}] both parts must have one shape, of at least one dimension. "
            f"Received: {tuple(real.shape)} and {tuple(imag.shape)}."
        )
    if real.dtype in ("float16", "bfloat16"):
        real = lang.cast(real, "float32")
    return real, lang.cast(imag, real.dtype)


def _swapped(x: Any) -> Any:
    n = len(x.shape)
    return lang.transpose(x, (*range(n - 2), n - 1, n - 2))


def _along_rows(real: Any, imag: Any, inverse: bool) -> tuple[Any, Any]:
    real, imag = lang.fft(_swapped(real), _swapped(imag), inverse=inverse)
    return _swapped(real), _swapped(imag)


def _resized(x: Any, size: int) -> Any:
    """The last axis cut or padded with zeros to `size`."""
    n = x.shape[-1]
    if n == size:
        return x
    if n is None or n > size:
        return lang.slice_(x, (0,) * len(x.shape), (*x.shape[:-1], size))
    return lang.pad(x, 0.0, ((0, 0, 0),) * (len(x.shape) - 1) + ((0, size - n, 0),))


@op()
def fft(x: Any) -> tuple[Any, Any]:
    """Discrete Fourier transform along the last axis.

    Args:
        x: pair of floating tensors, the real and the imaginary part.

    Returns:
        The pair of the real and the imaginary part of the transform.

    Raises:
        ValueError: `x` is not such a pair.

    Example:
        >>> real, imag = fft((np.array([1.0, 2.0]), np.array([0.0, 0.0])))
        >>> real.tolist()
        [3.0, -1.0]
    """
    return lang.fft(*_pair(x, "fft"))


@op()
def fft2(x: Any) -> tuple[Any, Any]:
    """Discrete Fourier transform along the last two axes.

    Args:
        x: pair of floating tensors, the real and the imaginary part.

    Returns:
        The pair of the real and the imaginary part of the transform.

    Raises:
        ValueError: `x` is not such a pair.

    Example:
        >>> real, imag = fft2((np.eye(2), np.zeros((2, 2))))
        >>> real.tolist()
        [[2.0, 0.0], [0.0, 2.0]]
    """
    real, imag = lang.fft(*_pair(x, "fft2"))
    return _along_rows(real, imag, False)


@op()
def ifft2(x: Any) -> tuple[Any, Any]:
    """Inverse of `fft2`.

    Args:
        x: pair of floating tensors, the real and the imaginary part.

    Returns:
        The pair of the real and the imaginary part.

    Raises:
        ValueError: `x` is not such a pair.

    Example:
        >>> real, imag = ifft2(fft2((np.eye(2), np.zeros((2, 2)))))
        >>> real.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    real, imag = lang.fft(*_pair(x, "ifft2"), inverse=True)
    return _along_rows(real, imag, True)


@op()
def rfft(x: Any, fft_length: int | None = None) -> tuple[Any, Any]:
    """Fourier transform of real values along the last axis: the first half of the bins.

    Args:
        x: floating tensor.
        fft_length: length to cut or pad the axis to; its own by default.

    Returns:
        The pair of the real and the imaginary part, with `fft_length // 2 + 1` bins.

    Example:
        >>> real, imag = rfft([1.0, 0.0, 0.0, 0.0])
        >>> real.tolist()
        [1.0, 1.0, 1.0]
    """
    x = floating(x)
    if x.dtype in ("float16", "bfloat16"):
        x = lang.cast(x, "float32")
    size = x.shape[-1] if fft_length is None else int(fft_length)
    if size is not None:
        x = _resized(x, size)
    real, imag = lang.fft(x, lang.zeros(tuple(x.shape), x.dtype))
    bins = None if size is None else size // 2 + 1
    stop = (*x.shape[:-1], bins)
    start = (0,) * len(x.shape)
    return lang.slice_(real, start, stop), lang.slice_(imag, start, stop)


@op()
def irfft(x: Any, fft_length: int | None = None) -> Any:
    """Inverse of `rfft`.

    Args:
        x: pair of floating tensors, the real and the imaginary part of the first half of the bins.
        fft_length: length of the result, `2 * (bins - 1)` by default.

    Returns:
        A floating tensor.

    Raises:
        ValueError: `x` is not such a pair.

    Example:
        >>> irfft(rfft([1.0, 2.0, 3.0, 4.0])).tolist()
        [1.0, 2.0, 3.0, 4.0]
    """
    real, imag = _pair(x, "irfft")
    size = 2 * (real.shape[-1] - 1) if fft_length is None else int(fft_length)
    bins = size // 2 + 1
    real, imag = _resized(real, bins), _resized(imag, bins)
    last = len(real.shape) - 1
    # The other half mirrors the first: bin n - k is the conjugate of bin k.
    start, stop = (*(0,) * last, 1), (*real.shape[:-1], (size + 1) // 2)
    inner = [lang.rev(lang.slice_(part, start, stop), (last,)) for part in (real, imag)]
    # The imaginary parts of the first bin, and of the middle one of an even length, do not count.
    whole = lang.concatenate([real, inner[0]], last)
    at = lang.iota((1,) * last + (bins,), last, "int32")
    alone = lang.eq(at, 0) if size % 2 else lang.eq(lang.mod(at, bins - 1 or 1), 0)
    imag = lang.select(alone, 0.0, imag)
    return lang.fft(whole, lang.concatenate([imag, lang.neg(inner[1])], last), inverse=True)[0]


# ----- frames of signals -----


def _frames(x: Any, length: int, stride: int) -> Any:
    size = x.shape[-1]
    count = max(0, 1 + (size - length) // stride)
    places = np.arange(count)[:, None] * stride + np.arange(length)
    n = len(x.shape)
    out = lang.gather(x, (to_tensor(places.astype("int32")),), (n - 1,))
    return lang.transpose(out, (*range(2, n + 1), 0, 1))


def _check_frames(length: int, stride: int, name: str) -> None:
    if int(length) < 1 or int(stride) < 1:
        raise ValueError(
            f"[{name}] 'sequence_length' and 'sequence_stride' must be positive integers. "
            f"Received: {length} and {stride}."
        )


@op(static=("sequence_length", "sequence_stride"))
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """Frames of the last axis, which may overlap.

    Args:
        x: floating tensor `(..., time)`.
        sequence_length: length of a frame.
        sequence_stride: distance between the beginnings of frames.

    Returns:
        A floating tensor `(..., frames, sequence_length)`.

    Raises:
        ValueError: a length is not positive.

    Example:
        >>> extract_sequences([1.0, 2.0, 3.0, 4.0], 2, 2).tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    _check_frames(sequence_length, sequence_stride, "extract_sequences")
    return _frames(floating(x), int(sequence_length), int(sequence_stride))


def _window(window: Any, length: int, fft_length: int, dtype: str, name: str) -> Any:
    """The window of `length`, centred in `fft_length`."""
    if window is None:
        # No window at all: the whole frame counts.
        length = fft_length
        values: Any = np.ones(length)
    elif isinstance(window, str):
        low = {"hann": 0.5, "hamming": 0.54}.get(window)
        if low is None:
            raise ValueError(
                f"[{name}] 'window' must be 'hann', 'hamming', a vector or None. "
                f"Received: window={window!r}."
            )
        values = low - (1 - low) * np.cos(2 * np.pi * np.arange(length) / length)
    else:
        values = to_tensor(window)
        if tuple(values.shape) != (length,):
            raise ValueError(
                f"[{name}] 'window' must have the length {length}. "
                f"Received: window.shape={tuple(values.shape)}."
            )
    if fft_length < length:
        raise ValueError(
            f"[{name}] 'fft_length' must not be less than 'sequence_length'. "
            f"Received: fft_length={fft_length}, sequence_length={length}."
        )
    low = (fft_length - length) // 2
    out = to_tensor(values, dtype)
    return lang.pad(out, 0.0, ((low, fft_length - length - low, 0),))


def _reflected(x: Any, width: int) -> Any:
    """`width` mirrored elements added at both ends of the last axis."""
    n, last = x.shape[-1], len(x.shape) - 1
    lead, sizes = (0,) * last, tuple(x.shape[:-1])
    before = lang.rev(lang.slice_(x, (*lead, 1), (*sizes, width + 1)), (last,))
    after = lang.rev(lang.slice_(x, (*lead, n - width - 1), (*sizes, n - 1)), (last,))
    return lang.concatenate([before, x, after], last)


@op(static=("sequence_length", "sequence_stride", "fft_length"))
def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> tuple[Any, Any]:
    """Short-time Fourier transform: `rfft` of windowed frames.

    Args:
        x: floating tensor `(..., time)`.
        sequence_length: length of the window.
        sequence_stride: distance between the beginnings of frames.
        fft_length: length of a frame.
        window: `"hann"`, `"hamming"`, a vector, or `None` for whole frames as they are.
        center: whether frames are centred at multiples of the stride, the ends being mirrored.

    Returns:
        The pair of the real and the imaginary part, `(..., frames, fft_length // 2 + 1)`.

    Raises:
        ValueError: a length is not positive, or the window does not fit.

    Example:
        >>> real, imag = stft(np.ones(16), 4, 2, 4)
        >>> real.shape
        (9, 3)
    """
    _check_frames(sequence_length, sequence_stride, "stft")
    x = floating(x)
    if x.dtype in ("float16", "bfloat16"):
        x = lang.cast(x, "float32")
    weights = _window(window, int(sequence_length), int(fft_length), x.dtype, "stft")
    if center:
        x = _reflected(x, fft_length // 2)
    frames = lang.mul(_frames(x, int(fft_length), int(sequence_stride)), weights)
    return rfft(frames)


def _overlap_added(frames: Any, stride: int) -> Any:
    """Frames `(..., count, length)` added at distances of `stride`."""
    *outer, count, length = frames.shape
    n = len(outer)
    places = (np.arange(count)[:, None] * stride + np.arange(length)).astype("int32")
    size = stride * (count - 1) + length
    zeros = lang.zeros((*outer, size), frames.dtype)
    # The indexed dimensions come first in updates.
    updates = lang.transpose(frames, (n, n + 1, *range(n)))
    return lang.scatter(zeros, updates, (to_tensor(places),), (n,), "add")


@op(static=("sequence_length", "sequence_stride", "fft_length"))
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """Inverse of `stft`, by overlapping and adding.

    Args:
        x: pair of floating tensors `(..., frames, bins)`.
        sequence_length: length of the window.
        sequence_stride: distance between the beginnings of frames.
        fft_length: length of a frame.
        length: length of the result; as long as the frames reach by default.
        window: the window that `stft` was called with.
        center: whether `stft` was called with it.

    Returns:
        A floating tensor `(..., time)`.

    Raises:
        ValueError: a length is not positive, or the window does not fit.

    Example:
        >>> istft(stft(np.ones(16), 4, 2, 4), 4, 2, 4).shape
        (16,)
    """
    _check_frames(sequence_length, sequence_stride, "istft")
    frames = irfft(x, fft_length)
    weights = _window(window, int(sequence_length), int(fft_length), frames.dtype, "istft")
    stride = int(sequence_stride)
    signal = _overlap_added(lang.mul(frames, weights), stride)
    squares = lang.broadcast_to(lang.mul(weights, weights), tuple(frames.shape[-2:]))
    mass = _overlap_added(squares, stride)
    # Where no window reaches there is nothing to divide.
    empty = lang.lt(mass, 1e-11)
    signal = lang.div(signal, lang.select(empty, 1.0, mass))
    start = fft_length // 2 if center else 0
    total = signal.shape[-1]
    stop = total - start if length is None else start + int(length)
    if stop > total:
        signal = _resized(signal, stop)
    lead = (0,) * (len(signal.shape) - 1)
    return lang.slice_(signal, (*lead, start), (*signal.shape[:-1], stop))


# ----- complex tensors and pairs -----


@op()
def view_as_complex(x: Any) -> Any:
    """A complex tensor from real and imaginary parts along the last axis.

    Args:
        x: floating tensor `(..., 2)`.

    Returns:
        A complex tensor `(...)`.

    Raises:
        ValueError: the last dimension is not 2.

    Example:
        >>> view_as_complex([[1.0, 2.0]]).tolist()
        [(1+2j)]
    """
    x = floating(x)
    if not x.shape or x.shape[-1] != 2:
        raise ValueError(
            f"[view_as_complex] the last dimension must be 2. Received: shape={tuple(x.shape)}."
        )
    if x.dtype not in ("float32", "float64"):
        x = lang.cast(x, "float32")
    outer = tuple(x.shape[:-1])
    lead = (0,) * len(outer)
    real = lang.reshape(lang.slice_(x, (*lead, 0), (*outer, 1)), outer)
    imag = lang.reshape(lang.slice_(x, (*lead, 1), (*outer, 2)), outer)
    return lang.complex_(real, imag)


@op()
def view_as_real(x: Any) -> Any:
    """The real and imaginary parts of a complex tensor along a new last axis.

    Args:
        x: complex tensor `(...)`.

    Returns:
        A floating tensor `(..., 2)`.

    Raises:
        ValueError: `x` is not complex.

    Example:
        >>> view_as_real(np.array([1 + 2j])).tolist()
        [[1.0, 2.0]]
    """
    x = to_tensor(x)
    if not x.dtype.startswith("complex"):
        raise ValueError(f"[view_as_real] takes a complex tensor. Received dtype: {x.dtype}.")
    shape = (*x.shape, 1)
    parts = [lang.reshape(lang.real(x), shape), lang.reshape(lang.imag(x), shape)]
    return lang.concatenate(parts, len(shape) - 1)
