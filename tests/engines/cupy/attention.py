"""Attention whose kernels' texts are run on the CPU, and references for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kbackend.base.dtypes import numpy_dtype
from kbackend.ops.nn import attention

FORWARD, BACK = "dot_product_attention", "dot_product_attention_grad"
assert hasattr(attention, f"{FORWARD}_c")


class Sizes(NamedTuple):
    """Of the arrays."""

    images: int
    queries: int
    keys: int
    heads: int
    depth: int
    width: int


class Case:
    """Queries, keys and values, and the cotangent of what is made of them.

    Args:
        sizes: of the arrays.
        dtype: of all of them.
        mask: shape of a mask, if there is one; of each of its rows with several elements the first
            one sees nothing.
        bias: shape of a bias, if there is one.
        causal: whether a query sees no later keys.
        cap: the bound of the products, if there is one.
        seed: of the numbers.
    """

    def __init__(
        self, sizes, dtype="float32", *, mask=None, bias=None, causal=False, cap=None, seed=0
    ):
        rng, self.sizes = np.random.default_rng(seed), Sizes(*sizes)
        images, queries, keys, heads, depth, width = sizes

        def array(*shape):
            return rng.standard_normal(shape).astype(numpy_dtype(dtype))

        self.g = array(images, queries, heads, width)
        self.inputs = [
            array(images, queries, heads, depth), array(images, keys, heads, depth),
            array(images, keys, heads, width),
        ]  # fmt: skip
        self.bias = None if bias is None else array(*bias)
        self.mask = None
        if mask is not None:
            self.mask = rng.random(mask) < 0.6
            if self.mask.shape[-2] > 1:
                self.mask[..., 0, :] = False
        self.extra = [one for one in (self.bias, self.mask) if one is not None]
        self.params: dict[str, Any] = {
            "scale": 1 / depth**0.5 + 0.1, "is_causal": causal, "soft_cap": cap,
            "biased": bias is not None, "masked": mask is not None,
        }  # fmt: skip

    def by(self, how, back=True, **options):
        """The result, and the gradients in queries, keys and values, and in the bias if any.

        Args:
            how: `run` or `body`.
            back: whether the gradients are wanted.
            **options: further arguments of `how`.
        """
        inputs = [*self.inputs, *self.extra]
        made = how(FORWARD, inputs, **self.params, **options)
        if not back:
            return made
        return [*made, *how(BACK, [self.g, *inputs], **self.params, **options)]

    def reference(self, back=True):
        """What `by` should give, in float64."""
        wide = [x.astype("float64").swapaxes(1, 2) for x in (*self.inputs, self.g)]
        q, k, v, g = wide
        scale, cap = self.params["scale"], self.params["soft_cap"]
        logits, slope = scale * (q @ k.swapaxes(2, 3)), scale
        if cap is not None:
            bent = np.tanh(logits / cap)
            logits, slope = bent * cap, scale * (1 - bent * bent)
        if self.bias is not None:
            logits = logits + self.bias.astype("float64")
        seen = np.ones(logits.shape, bool)
        if self.mask is not None:
            seen &= self.mask
        if self.params["is_causal"]:
            seen &= np.tril(np.ones(logits.shape[2:], bool))
        logits = np.where(seen, logits, -2.38e38)
        weights = np.exp(logits - logits.max(3, keepdims=True))
        weights /= weights.sum(3, keepdims=True)
        come = g @ v.swapaxes(2, 3)
        through = weights * (come - (come * weights).sum(3, keepdims=True))
        pulled = np.where(seen, through, 0)
        through = pulled * slope
        found = [weights @ v]
        if back:
            found += [through @ k, through.swapaxes(2, 3) @ q, weights.swapaxes(2, 3) @ g]
        found = [np.swapaxes(x, 1, 2) for x in found]
        if back and self.bias is not None:
            found.append(_summed_to(pulled, self.bias.shape))
        return [x.astype(self.g.dtype) for x in found]


def _summed_to(x, shape):
    """The sum over what was repeated to make the shape of `x` of another one."""
    whole = (1,) * (x.ndim - len(shape)) + shape
    axes = tuple(i for i, size in enumerate(whole) if size != x.shape[i])
    return x.sum(axes, keepdims=True).reshape(shape)
