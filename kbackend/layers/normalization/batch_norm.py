"""`BatchNormalization`."""

from __future__ import annotations

from typing import Any

from kbackend import initializers
from kbackend.base import shapes
from kbackend.core import lang
from kbackend.core.bind import not_recording
from kbackend.layers.arguments import known_dim
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.normalization.parameters import AffineNormalization, int_axis
from kbackend.ops.nn.arguments import LOW_PRECISION
from kbackend.ops.nn.normalizing import batch_normalization_c, moments_c, standardize_c

_CLIPPING = ("rmax", "rmin", "dmax")


class BatchNormalization(AffineNormalization):
    """Brings each channel to mean 0 and variance 1 over the batch; then scales and shifts it.

    In training it normalises by the batch's statistics, and keeps moving averages of them. In
    inference, and when `trainable` is false, it normalises by the moving averages.

    Args:
        axis: int: the dimension of the channels.
        momentum: how much of the moving averages is kept at each step.
        epsilon: what is added to the variance.
        center: whether to add an offset, `beta`.
        scale: whether to multiply by a scale, `gamma`.
        beta_initializer: initializer of the offset.
        gamma_initializer: initializer of the scale.
        moving_mean_initializer: initializer of the moving mean.
        moving_variance_initializer: initializer of the moving variance.
        beta_regularizer: regularizer of the offset.
        gamma_regularizer: regularizer of the scale.
        beta_constraint: constraint of the offset.
        gamma_constraint: constraint of the scale.
        renorm: whether training corrects towards the moving averages (batch renormalisation).
        renorm_clipping: dict with any of `"rmax"`, `"rmin"`, `"dmax"`: bounds of the correction's
            factor and offset.
        renorm_momentum: how much of the correction's own averages is kept at each step.
        synchronized: whether replicas share their statistics; one process has but one.

    Inputs may carry a mask, of one dimension less: masked places don't count in the statistics.

    Raises:
        TypeError: `axis` is not an integer.
        ValueError: `renorm_clipping` has other keys, or its bounds exclude each other.

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0], [3.0]])
        >>> BatchNormalization(epsilon=0.0)(x, training=True).tolist()
        [[-1.0], [1.0]]

    Reference:
        S. Ioffe, C. Szegedy, "Batch normalization", 2015; S. Ioffe, "Batch renormalization", 2017.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            epsilon=epsilon, center=center, scale=scale, beta_initializer=beta_initializer,
            gamma_initializer=gamma_initializer, beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer, beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint, **kwargs,
        )  # fmt: skip
        self.axis = int_axis("BatchNormalization", axis)
        self.momentum = float(momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.renorm = renorm
        # An empty dict sets no bounds.
        self.renorm_clipping = {} if renorm and renorm_clipping is None else renorm_clipping
        self.renorm_momentum = renorm_momentum
        self.synchronized = synchronized
        self._check_clipping()

    def _check_clipping(self) -> None:
        bounds = self.renorm_clipping or {}
        if any(key not in _CLIPPING for key in bounds):
            raise ValueError(
                f"[BatchNormalization] 'renorm_clipping' may have the keys {', '.join(_CLIPPING)}. "
                f"Received: renorm_clipping={bounds}."
            )
        if bounds.get("rmin", 0.0) > bounds.get("rmax", float("inf")):
            raise ValueError(
                "[BatchNormalization] 'rmin' must not be above 'rmax'. "
                f"Received: renorm_clipping={bounds}."
            )

    def build(self, input_shape: Any) -> None:
        """Makes the scale, the offset and the moving averages."""
        ndim = len(input_shape)
        channels = known_dim("BatchNormalization", input_shape, self.axis)
        at = shapes.canonical_axis(self.axis, ndim)
        self._over = tuple(i for i in range(ndim) if i != at)
        self._row = (*(1,) * at, channels, *(1,) * (ndim - at - 1))
        self.input_spec = InputSpec(ndim=ndim, axes={self.axis: channels})
        if self.scale:
            self._add_gamma((channels,))
        if self.center:
            self._add_beta((channels,))

        def average(name: str, initializer: Any) -> Any:
            return self.add_weight(
                name=name, shape=(channels,), initializer=initializer, trainable=False,
                autocast=False,
            )  # fmt: skip

        self.moving_mean = average("moving_mean", self.moving_mean_initializer)
        self.moving_variance = average("moving_variance", self.moving_variance_initializer)
        if self.renorm:
            deviation = lang.sqrt(self.moving_variance.value)

            def first_deviation(shape: Any, dtype: Any = None) -> Any:
                return lang.cast(deviation, dtype)

            self.moving_stddev = average("moving_stddev", first_deviation)
            self.renorm_mean = average("renorm_mean", self.moving_mean_initializer)
            self.renorm_stddev = average("renorm_stddev", first_deviation)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """The normalised inputs."""
        x = lang.cast(inputs, "float32") if inputs.dtype in LOW_PRECISION else inputs
        affine = self._affine(x.dtype, self._row)
        if training and self._trainable:
            y = self._normalize_batch(x, affine, mask)
        else:
            y = batch_normalization_c(
                x,
                self._as_row(self.moving_mean, x.dtype),
                self._as_row(self.moving_variance, x.dtype),
                *affine,
                epsilon=float(self.epsilon),
                scaled=self.scale,
                centred=self.center,
            )
        return lang.cast(y, self.compute_dtype)

    def _as_row(self, variable: Any, dtype: str) -> Any:
        return lang.reshape(lang.cast(variable.read(), dtype), self._row)

    def _normalize_batch(self, x: Any, affine: list[Any], mask: Any) -> Any:
        """x normalised by its own statistics; the moving averages follow them."""
        scaled, centred = self.scale, self.center
        weights = None if mask is None else self._weights(x, mask)
        if self.renorm:
            affine = self._corrected(x, affine, weights)
            scaled = centred = True
        settings = {"epsilon": float(self.epsilon), "scaled": scaled, "centred": centred}
        if weights is None:
            y, mean, variance = standardize_c(x, *affine, axes=self._over, **settings)
        else:
            mean, variance = _weighted_moments(x, weights, self._over)
            y = batch_normalization_c(x, mean, variance, *affine, **settings)
        with not_recording():
            self._follow(mean, variance)
        return y

    def _weights(self, x: Any, mask: Any) -> Any:
        """1 where the mask is true, else 0, in the shape of x."""
        shape = tuple(mask.shape)
        if len(shape) != len(x.shape) - 1:
            raise ValueError(
                "[BatchNormalization] 'mask' must have one dimension less than the inputs. "
                f"Received: mask.shape={shape}, inputs.shape={tuple(x.shape)}."
            )
        return lang.reshape(lang.cast(mask, x.dtype), (*shape, 1))

    def _follow(self, mean: Any, variance: Any) -> None:
        """Moves the averages towards a batch's statistics."""
        mean, variance = (lang.reshape(value, (-1,)) for value in (mean, variance))
        _blend(self.moving_mean, mean, self.momentum)
        if not self.renorm:
            _blend(self.moving_variance, variance, self.momentum)
            return
        deviation = lang.sqrt(lang.add(variance, float(self.epsilon)))
        moved = _blend(self.moving_stddev, deviation, self.momentum)
        squared = lang.sub(lang.mul(moved, moved), float(self.epsilon))
        self.moving_variance.assign(lang.maximum(squared, 0.0))
        _blend(self.renorm_mean, mean, self.renorm_momentum)
        _blend(self.renorm_stddev, deviation, self.renorm_momentum)

    def _corrected(self, x: Any, affine: list[Any], weights: Any) -> list[Any]:
        """A scale and an offset that lead from the batch's statistics towards the averages."""
        with not_recording():
            if weights is None:
                mean, variance = moments_c(x, axes=self._over)
            else:
                mean, variance = _weighted_moments(x, weights, self._over)
            deviation = lang.sqrt(lang.add(variance, float(self.epsilon)))
            average = self._as_row(self.renorm_stddev, x.dtype)
            bounds = self.renorm_clipping or {}
            r = lang.div(deviation, average)
            if "rmax" in bounds:
                r = lang.minimum(r, float(bounds["rmax"]))
            if "rmin" in bounds:
                r = lang.maximum(r, float(bounds["rmin"]))
            d = lang.div(lang.sub(mean, self._as_row(self.renorm_mean, x.dtype)), average)
            if "dmax" in bounds:
                most = float(bounds["dmax"])
                d = lang.maximum(lang.minimum(d, most), -most)
        if self.scale:
            r, d = lang.mul(affine[0], r), lang.mul(affine[0], d)
        return [r, lang.add(d, affine[-1]) if self.center else d]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
            "synchronized": self.synchronized,
            "renorm": self.renorm,
            "renorm_clipping": None if self.renorm_clipping is None else dict(self.renorm_clipping),
            "renorm_momentum": self.renorm_momentum,
        }


def _blend(variable: Any, value: Any, momentum: float) -> Any:
    """Assigns the average of the old value and a new one; returns it."""
    old = variable.read()
    value = lang.cast(value, old.dtype)
    return variable.assign(lang.add(lang.mul(old, momentum), lang.mul(value, 1.0 - momentum)))


def _weighted_moments(x: Any, weights: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """Mean and variance over `axes` of the elements with weight 1."""
    ones = lang.full(tuple(x.shape), 1, x.dtype)
    count = lang.reduce_sum(lang.mul(weights, ones), axes, True)
    mean = lang.div(lang.reduce_sum(lang.mul(x, weights), axes, True), count)
    centred = lang.sub(x, mean)
    squares = lang.mul(lang.mul(centred, centred), weights)
    return mean, lang.div(lang.reduce_sum(squares, axes, True), count)
