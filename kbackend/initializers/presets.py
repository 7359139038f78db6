"""`VarianceScaling` under the names of those who found its settings."""

from __future__ import annotations

from typing import Any

from kbackend.initializers.drawn import RandomInitializer, VarianceScaling


class _Preset(VarianceScaling):
    """A VarianceScaling whose settings are fixed by its class."""

    _settings: tuple[float, str, str]

    def __init__(self, seed: Any = None, input_axes: Any = None, output_axes: Any = None) -> None:
        super().__init__(*self._settings, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        axes = {"input_axes": self.input_axes, "output_axes": self.output_axes}
        return {**RandomInitializer.get_config(self), **axes}


class GlorotUniform(_Preset):
    """Uniform in `[-l, l)` with `l = sqrt(6 / (inputs + outputs))`.

    Args:
        seed: integer, SeedGenerator, or `None` for a seed drawn now.
        input_axes: axes of the shape that are inputs, with `output_axes`.
        output_axes: axes of the shape that are outputs.

    Example:
        >>> GlorotUniform(seed=1)((3, 4)).shape
        (3, 4)

    Reference:
        X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010.
    """

    _settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Preset):
    """Truncated normal with the variance `2 / (inputs + outputs)`.

    Args:
        seed: integer, SeedGenerator, or `None` for a seed drawn now.
        input_axes: axes of the shape that are inputs, with `output_axes`.
        output_axes: axes of the shape that are outputs.

    Example:
        >>> GlorotNormal(seed=1)((3, 4)).shape
        (3, 4)

    Reference:
        X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010.
    """

    _settings = (1.0, "fan_avg", "truncated_normal")


class LecunUniform(_Preset):
    """Uniform in `[-l, l)` with `l = sqrt(3 / inputs)`.

    Args:
        seed: integer, SeedGenerator, or `None` for a seed drawn now.
        input_axes: axes of the shape that are inputs, with `output_axes`.
        output_axes: axes of the shape that are outputs.

    Example:
        >>> LecunUniform(seed=1)((3, 4)).shape
        (3, 4)

    Reference:
        G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.
    """

    _settings = (1.0, "fan_in", "uniform")


class LecunNormal(_Preset):
    """Truncated normal with the variance `1 / inputs`.

    Args:
        seed: integer, SeedGenerator, or `None` for a seed drawn now.
        input_axes: axes of the shape that are inputs, with `output_axes`.
        output_axes: axes of the shape that are outputs.

    Example:
        >>> LecunNormal(seed=1)((3, 4)).shape
        (3, 4)

    Reference:
        G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.
    """

    _settings = (1.0, "fan_in", "truncated_normal")


class HeUniform(_Preset):
    """Uniform in `[-l, l)` with `l = sqrt(6 / inputs)`.

    Args:
        seed: integer, SeedGenerator, or `None` for a seed drawn now.
        input_axes: axes of the shape that are inputs, with `output_axes`.
        output_axes: axes of the shape that are outputs.

    Example:
        >>> HeUniform(seed=1)((3, 4)).shape
        (3, 4)

    Reference:
        K. He et al., "Delving deep into rectifiers", ICCV 2015.
    """

    _settings = (2.0, "fan_in", "uniform")


class HeNormal(_Preset):
    """Truncated normal with the variance `2 / inputs`.

    Args:
        seed: integer, SeedGenerator, or `None` for a seed drawn now.
        input_axes: axes of the shape that are inputs, with `output_axes`.
        output_axes: axes of the shape that are outputs.

    Example:
        >>> HeNormal(seed=1)((3, 4)).shape
        (3, 4)

    Reference:
        K. He et al., "Delving deep into rectifiers", ICCV 2015.
    """

    _settings = (2.0, "fan_in", "truncated_normal")
