"""`dropout`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kbackend.base.dtypes import FLOAT_SET, itemsize
from kbackend.base.shapes import Shape
from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.random.arguments import check_broadcast
from kbackend.random.forms import state_of

# Bytes of a float -> the unsigned integer of its width.
_BITS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}


@composite("masked_scale")
def masked_scale(x: Any, keep: Any, scale: float) -> Any:
    """`x * scale` where `keep` holds, zero elsewhere, also for infinities and NaN."""
    # A mask of bits: several times faster than a choice between two arrays where nothing is fused.
    bits = _BITS[itemsize(x.dtype)]
    ones = lang.sub(0, lang.cast(keep, bits))
    return lang.bitcast(lang.bitwise_and(lang.bitcast(lang.mul(x, scale), bits), ones), x.dtype)


@masked_scale.def_vjp
def _masked_scale_vjp(
    needs: Sequence[bool], g: Any, result: Any, x: Any, keep: Any, scale: float
) -> tuple[Any, None]:
    return (masked_scale(g, keep, scale=scale) if needs[0] else None), None


def keep_mask(rate: float, shape: Shape, seed: Any) -> Any:
    """bool: false with the probability `rate`, to 32 bits."""
    bits = lang.random_bits(state_of(seed), shape)
    return lang.le(round(rate * 2**32), bits)


@op(static=("rate",))
def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """Sets each element to zero with the probability `rate`, and scales the others up by the rest.

    Args:
        inputs: tensor of floats.
        rate: number in [0, 1].
        noise_shape: shape of the mask, which broadcasts to the inputs; `None` in it stands for the
            inputs' dimension.
        seed: integer, SeedGenerator, or `None` (the global generator).

    Returns:
        A tensor of the same shape. Gradients pass where the elements did.

    Raises:
        ValueError: the inputs are not floats, or the rate or the noise shape does not fit.

    Example:
        >>> from kbackend import random
        >>> sorted(set(random.dropout(np.ones(100), 0.5, seed=1).tolist()))
        [0.0, 2.0]

    Reference:
        N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
        JMLR 2014.
    """
    x = to_tensor(inputs)
    if x.dtype not in FLOAT_SET:
        raise ValueError(f"[random.dropout] 'inputs' must hold floats. Received: dtype={x.dtype}.")
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"[random.dropout] 'rate' must be in [0, 1]. Received: rate={rate}.")
    shape = tuple(x.shape)
    mask_shape = shape
    if noise_shape is not None:
        given = tuple(noise_shape)
        if len(given) != len(shape):
            raise ValueError(
                "[random.dropout] 'noise_shape' must have as many dimensions as the inputs. "
                f"Received: noise_shape={given}, inputs.shape={shape}."
            )
        mask_shape = tuple(s if n is None else n for n, s in zip(given, shape, strict=True))
        check_broadcast(mask_shape, shape)
    if rate == 0.0:
        return x
    if rate == 1.0:
        return lang.zeros(shape, x.dtype)
    return masked_scale(x, keep_mask(rate, mask_shape, seed), scale=1.0 / (1.0 - rate))
