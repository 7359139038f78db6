"""Initializers that draw random numbers."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from kbackend.base.serialization import deserialize, serialize
from kbackend.base.shapes import Shape, standardize_shape
from kbackend.core import lang
from kbackend.initializers.initializer import Initializer
from kbackend.random import normal, truncated_normal, uniform
from kbackend.state.seed import SeedGenerator, make_default_seed

# Standard deviation of a standard normal distribution cut at two deviations.
_CUT_DEVIATION = 0.87962566103423978


class RandomInitializer(Initializer):
    """Base of initializers that draw random numbers.

    Args:
        seed: integer, or `None` for one drawn now; either gives the same values in every call with
            the same shape. A SeedGenerator gives other values each time.

    Raises:
        ValueError: the seed is none of these.
    """

    def __init__(self, seed: Any = None) -> None:
        self._init_seed = seed
        if seed is None:
            seed = make_default_seed()
        elif isinstance(seed, dict):
            seed = deserialize(seed)
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer, SeedGenerator)):
            raise ValueError(
                f"[{type(self).__name__}] 'seed' must be an integer, a SeedGenerator or None. "
                f"Received: seed={seed!r}."
            )
        self.seed = seed

    def get_config(self) -> dict[str, Any]:
        """The seed as it was given."""
        return {"seed": serialize(self._init_seed)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An initializer from `get_config`'s answer."""
        return cls(**config)


class RandomNormal(RandomInitializer):
    """Normal distribution.

    Args:
        mean: mean.
        stddev: standard deviation.
        seed: integer, SeedGenerator, or `None` for a seed drawn now.

    Example:
        >>> RandomNormal(stddev=0.1, seed=1)((2, 3)).shape
        (2, 3)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Random values."""
        return normal(shape, self.mean, self.stddev, dtype=dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomInitializer):
    """Normal distribution, cut at two standard deviations from the mean.

    Args:
        mean: mean.
        stddev: standard deviation before the cut.
        seed: integer, SeedGenerator, or `None` for a seed drawn now.

    Example:
        >>> float(abs(TruncatedNormal(seed=1)((100,)).numpy()).max()) <= 0.1
        True
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Random values."""
        return truncated_normal(shape, self.mean, self.stddev, dtype=dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class RandomUniform(RandomInitializer):
    """Uniform distribution.

    Args:
        minval: lower bound, included.
        maxval: upper bound, excluded.
        seed: integer, SeedGenerator, or `None` for a seed drawn now.

    Example:
        >>> float(abs(RandomUniform(seed=1)((100,)).numpy()).max()) <= 0.05
        True
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None) -> None:
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Random values."""
        return uniform(shape, self.minval, self.maxval, dtype=dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


class Orthogonal(RandomInitializer):
    """Orthonormal rows or columns, whichever are fewer, of the shape as a matrix.

    All dimensions but the last make up the rows.

    Args:
        gain: number that the matrix is multiplied by.
        seed: integer, SeedGenerator, or `None` for a seed drawn now.

    Example:
        >>> q = Orthogonal(seed=1)((2, 5)).numpy()
        >>> (abs(q @ q.T) + 1e-4).round(2).tolist()
        [[1.0, 0.0], [0.0, 1.0]]

    Reference:
        A. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks", ICLR 2014.
    """

    def __init__(self, gain: float = 1.0, seed: Any = None) -> None:
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """The tensor.

        Raises:
            ValueError: the shape has less than two dimensions.
        """
        dims = standardize_shape(shape, allow_unknown=False)
        if len(dims) < 2:
            raise ValueError(
                f"[Orthogonal] the shape must have two dimensions or more. Received: shape={dims}."
            )
        rows, columns = math.prod(dims[:-1]), dims[-1]  # type: ignore[arg-type]
        drawn = normal((max(rows, columns), min(rows, columns)), dtype=dtype, seed=self.seed)  # type: ignore[type-var]
        wanted = drawn.dtype
        if wanted in ("float16", "bfloat16"):
            drawn = lang.cast(drawn, "float32")
        q, r = lang.qr(drawn)
        # With r's diagonal positive the distribution is uniform over orthogonal matrices.
        diagonal = lang.iota((q.shape[1],), 0, "int32")
        signs = lang.sign(lang.gather(r, (diagonal, diagonal), (0, 1)))
        q = lang.mul(lang.mul(q, signs), float(self.gain))
        if rows < columns:  # type: ignore[operator]
            q = lang.transpose(q, (1, 0))
        return lang.cast(lang.reshape(q, dims), wanted)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "gain": self.gain}


def compute_fans(shape: Shape, input_axes: Any = None, output_axes: Any = None) -> tuple[int, int]:
    """Numbers of inputs and outputs that a weight of this shape connects.

    Args:
        shape: shape of the weight; by default the last two dimensions are the inputs and outputs,
            and those before them a window.
        input_axes: axes whose sizes multiply to the number of inputs, with `output_axes`.
        output_axes: axes whose sizes multiply to the number of outputs.
    """
    dims: tuple[Any, ...] = shape
    if input_axes is not None and output_axes is not None:
        try:
            fans = tuple(math.prod(dims[a] for a in axes) for axes in (input_axes, output_axes))
        except IndexError:
            raise ValueError(
                f"An axis is out of bounds for the shape {dims}. Received: "
                f"input_axes={input_axes}, output_axes={output_axes}."
            ) from None
        return fans[0], fans[1]
    if len(dims) < 2:
        size = dims[0] if dims else 1
        return size, size
    window = math.prod(dims[:-2])
    return window * dims[-2], window * dims[-1]


_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")


def _as_axes(axes: Any) -> tuple[int, ...] | None:
    return None if axes is None else ((axes,) if isinstance(axes, int) else tuple(axes))


class VarianceScaling(RandomInitializer):
    """Random values with the variance `scale / n`, n being a number of connections.

    Args:
        scale: positive number.
        mode: what n is: "fan_in" (inputs of the weight), "fan_out" (outputs) or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        seed: integer, SeedGenerator, or `None` for a seed drawn now.
        input_axes: axes of the shape that are inputs; with `output_axes`, for weights that do not
            end in the dimensions of inputs and outputs.
        output_axes: axes of the shape that are outputs.

    Raises:
        ValueError: an argument has a wrong value.

    Example:
        >>> VarianceScaling(distribution="uniform", seed=1)((3, 4)).shape
        (3, 4)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ) -> None:
        if scale <= 0:
            raise ValueError(
                f"[{type(self).__name__}] 'scale' must be positive. Received: scale={scale}."
            )
        if mode not in _MODES:
            raise ValueError(
                f"[{type(self).__name__}] 'mode' must be one of {_MODES}. Received: mode={mode!r}."
            )
        distribution = str(distribution).lower()
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if distribution not in _DISTRIBUTIONS:
            raise ValueError(
                f"[{type(self).__name__}] 'distribution' must be one of {_DISTRIBUTIONS}. "
                f"Received: distribution={distribution!r}."
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = _as_axes(input_axes)
        self.output_axes = _as_axes(output_axes)
        super().__init__(seed)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Random values."""
        dims = standardize_shape(shape, allow_unknown=False)
        inputs, outputs = compute_fans(dims, self.input_axes, self.output_axes)
        fan = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return uniform(dims, -limit, limit, dtype=dtype, seed=self.seed)
        if self.distribution == "truncated_normal":
            deviation = math.sqrt(variance) / _CUT_DEVIATION
            return truncated_normal(dims, 0.0, deviation, dtype=dtype, seed=self.seed)
        return normal(dims, 0.0, math.sqrt(variance), dtype=dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }
