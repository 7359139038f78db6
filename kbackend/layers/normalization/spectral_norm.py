"""`SpectralNormalization`."""

from __future__ import annotations

from typing import Any

from kbackend import initializers
from kbackend.core import lang
from kbackend.core.bind import not_recording
from kbackend.layers.arguments import positive_int
from kbackend.layers.input_spec import InputSpec
from kbackend.layers.wrappers.wrapper import Wrapper
from kbackend.ops.nn.norm import normalize


class SpectralNormalization(Wrapper):
    """Keeps the greatest singular value of a layer's kernel at one, by dividing the kernel by it.

    At each call in training the value is estimated by power iteration, which starts from where the
    last one ended, and the kernel is replaced.

    Args:
        layer: a layer with a weight called `kernel`, or `embeddings`.
        power_iterations: number of iterations at each call.

    Raises:
        ValueError: `power_iterations` is not positive, or the layer has no such weight.

    Example:
        >>> import numpy as np
        >>> from kbackend import layers
        >>> layer = SpectralNormalization(layers.Dense(2, kernel_initializer="ones"), 3)
        >>> y = layer(np.ones((1, 2)), training=True)
        >>> y.numpy().round(3).tolist()
        [[1.0, 1.0]]

    Reference:
        T. Miyato et al., "Spectral normalization for generative adversarial networks", 2018.
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        own = "SpectralNormalization"
        self.power_iterations = positive_int(own, "power_iterations", power_iterations)

    def build(self, input_shape: Any = None) -> None:
        """Builds the layer inside, and makes the vector that the iteration starts from."""
        super().build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        for name in ("kernel", "embeddings"):
            if hasattr(self.layer, name):
                self.kernel = getattr(self.layer, name)
                break
        else:
            raise ValueError(
                "[SpectralNormalization] the layer must have a weight called 'kernel' or "
                f"'embeddings'. Received: {self.layer}."
            )
        self.vector_u = self.add_weight(
            name="vector_u", shape=(1, self.kernel.shape[-1]), trainable=False,
            initializer=initializers.TruncatedNormal(stddev=0.02), dtype=self.kernel.dtype,
        )  # fmt: skip

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The output of the layer inside."""
        if training:
            self.normalize_weights()
        return self.layer(inputs)

    def normalize_weights(self) -> None:
        """Divides the kernel by its estimated greatest singular value."""
        # What training differentiates is the loss as a function of the kernel that is used.
        with not_recording():
            kernel, u = self.kernel.read(), self.vector_u.read()
        shape = tuple(kernel.shape)
        matrix = lang.reshape(kernel, (-1, shape[-1]))
        with not_recording():
            for _ in range(self.power_iterations):
                v = normalize(lang.dot(u, matrix, ((1,), (1,))), axis=None, epsilon=1e-12)
                u = normalize(lang.dot(v, matrix, ((1,), (0,))), axis=None, epsilon=1e-12)
        along = lang.dot(v, matrix, ((1,), (0,)))
        sigma = lang.reshape(lang.dot(along, u, ((1,), (1,))), ())
        # A kernel of zeros stays as it is.
        known = lang.ne(sigma, 0.0)
        kernel = lang.div(kernel, lang.select(known, sigma, lang.full((), 1, sigma.dtype)))
        start = self.vector_u.read()
        self.vector_u.assign(lang.select(lang.broadcast_to(known, start.shape), u, start))
        self.kernel.assign(kernel)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "power_iterations": self.power_iterations}
