"""Cross entropies of two classes, on vectors; see `kbackend.ops.nn.crossentropy`."""

from __future__ import annotations

from collections.abc import Callable

from kbackend_numba.codegen import math
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.value import Value


def _sigmoid_entropy(code: Code, target: Value, logits: Value) -> Value:
    e = math.exp_of_negative(code, -code.call("fabs", logits))
    return code.maximum(logits, 0.0) + math.log1p(code, e) - target * logits


def _sigmoid_entropy_grad(code: Code, g: Value, target: Value, logits: Value) -> Value:
    return (math.sigmoid(code, logits) - target) * g


def _clipped(code: Code, output: Value, epsilon: float) -> Value:
    return code.minimum(code.maximum(output, epsilon), 1 - epsilon)


def _entropy(code: Code, target: Value, output: Value, *, epsilon: float) -> Value:
    q = _clipped(code, output, epsilon)
    rest = (1.0 - target) * math.log(code, 1.0 - q)
    return -code.fma(math.log(code, q), target, rest)


def _entropy_grad(code: Code, g: Value, target: Value, output: Value, *, epsilon: float) -> Value:
    q = _clipped(code, output, epsilon)
    slope = (q - target) * g / ((1.0 - q) * q)
    # What was clipped has no gradient.
    return code.select(q.equals(output), slope, 0.0)


# Composite -> what writes it, and nanoseconds for a float32 element.
RULES: dict[str, tuple[Callable[..., Value], float]] = {
    "sigmoid_cross_entropy": (_sigmoid_entropy, 0.6),
    "sigmoid_cross_entropy_grad": (_sigmoid_entropy_grad, 0.2),
    "binary_probability_cross_entropy": (_entropy, 0.6),
    "binary_probability_cross_entropy_grad": (_entropy_grad, 0.2),
}
