"""Cross entropies as composites, each with one joint gradient, itself a composite for predictions.

From logits the gradient is `softmax - target`, which neither overflows nor needs the logarithm.
From probabilities the values are scaled to sum to 1 and clipped as Keras does.
"""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.composite import composite
from kbackend.ops.nn.activation import softplus_c
from kbackend.ops.nn.normalized_exp import log_softmax_c, softmax_c

Ints = tuple[int, ...]


def _clip(x: Any, epsilon: float) -> Any:
    return lang.minimum(lang.maximum(x, epsilon), 1 - epsilon)


def _where_kept(g: Any, x: Any, epsilon: float) -> Any:
    """`g` where clipping left x alone, else 0."""
    kept = lang.bitwise_and(lang.le(epsilon, x), lang.le(x, 1 - epsilon))
    return lang.select(kept, g, 0.0)


# ----- dense targets -----


@composite("softmax_cross_entropy")
def softmax_cross_entropy(target: Any, logits: Any, *, axes: Ints) -> Any:
    """Cross entropy of `target` and softmax(logits) over `axes`, which stay with size 1."""
    products = lang.mul(target, log_softmax_c(logits, axes=axes))
    return lang.neg(lang.reduce_sum(products, axes, True))


@softmax_cross_entropy.def_vjp
def _softmax_cross_entropy_vjp(
    needs: Any, g: Any, result: Any, target: Any, logits: Any, *, axes: Ints
) -> Any:
    d_target = lang.neg(lang.mul(g, log_softmax_c(logits, axes=axes))) if needs[0] else None
    if not needs[1]:
        return d_target, None
    return d_target, softmax_cross_entropy_grad(g, target, logits, axes=axes)


@composite("softmax_cross_entropy_grad")
def softmax_cross_entropy_grad(g: Any, target: Any, logits: Any, *, axes: Ints) -> Any:
    """Gradient of `softmax_cross_entropy` in the logits."""
    # Targets need not sum to 1: they may be masked, or weighted by class.
    mass = lang.reduce_sum(target, axes, True)
    expected = lang.mul(softmax_c(logits, axes=axes), mass)
    return lang.mul(g, lang.sub(expected, target))


@composite("probability_cross_entropy")
def probability_cross_entropy(target: Any, output: Any, *, axes: Ints, epsilon: float) -> Any:
    """Cross entropy of `target` and probabilities over `axes`, which stay with size 1."""
    q = lang.div(output, lang.reduce_sum(output, axes, True))
    return lang.neg(lang.reduce_sum(lang.mul(target, lang.log(_clip(q, epsilon))), axes, True))


@probability_cross_entropy.def_vjp
def _probability_cross_entropy_vjp(
    needs: Any, g: Any, result: Any, target: Any, output: Any, *, axes: Ints, epsilon: float
) -> Any:
    d_target = None
    if needs[0]:
        q = lang.div(output, lang.reduce_sum(output, axes, True))
        d_target = lang.neg(lang.mul(g, lang.log(_clip(q, epsilon))))
    if not needs[1]:
        return d_target, None
    d_output = probability_cross_entropy_grad(g, target, output, axes=axes, epsilon=epsilon)
    return d_target, d_output


@composite("probability_cross_entropy_grad")
def probability_cross_entropy_grad(
    g: Any, target: Any, output: Any, *, axes: Ints, epsilon: float
) -> Any:
    """Gradient of `probability_cross_entropy` in the probabilities."""
    total = lang.reduce_sum(output, axes, True)
    q = lang.div(output, total)
    clipped = _clip(q, epsilon)
    d_q = _where_kept(lang.neg(lang.div(lang.mul(g, target), clipped)), q, epsilon)
    projected = lang.reduce_sum(lang.mul(d_q, q), axes, True)
    return lang.div(lang.sub(d_q, projected), total)


# ----- integer targets: labels (n,), classes last -----


def _places(labels: Any, classes: int) -> tuple[Any, tuple[Any, Any]]:
    """Which labels name a class, and the place of each label's entry (some entry for others)."""
    valid = lang.bitwise_and(lang.le(0, labels), lang.lt(labels, classes))
    rows = lang.iota(tuple(labels.shape), 0, "int32")
    return valid, (rows, lang.select(valid, labels, 0))


def _put(x: Any, updates: Any, places: tuple[Any, Any]) -> Any:
    """x with `updates` added, one to each row."""
    return lang.scatter(x, updates, places, (0, 1), "add")


@composite("sparse_softmax_cross_entropy")
def sparse_softmax_cross_entropy(labels: Any, logits: Any) -> Any:
    """-log softmax(logits)[label] for each row of logits `(n, classes)`."""
    valid, places = _places(labels, logits.shape[-1])
    chosen = lang.gather(log_softmax_c(logits, axes=(1,)), places, (0, 1))
    return lang.select(valid, lang.neg(chosen), 0.0)


@sparse_softmax_cross_entropy.def_vjp
def _sparse_softmax_cross_entropy_vjp(
    needs: Any, g: Any, result: Any, labels: Any, logits: Any
) -> Any:
    return None, sparse_softmax_cross_entropy_grad(g, labels, logits) if needs[1] else None


@composite("sparse_softmax_cross_entropy_grad")
def sparse_softmax_cross_entropy_grad(g: Any, labels: Any, logits: Any) -> Any:
    """Gradient of `sparse_softmax_cross_entropy` in the logits."""
    valid, places = _places(labels, logits.shape[-1])
    g = lang.select(valid, g, 0.0)
    rows = lang.reshape(g, (*g.shape, 1))
    expected = lang.mul(softmax_c(logits, axes=(1,)), rows)
    return _put(expected, lang.neg(g), places)


@composite("sparse_probability_cross_entropy")
def sparse_probability_cross_entropy(labels: Any, output: Any, *, epsilon: float) -> Any:
    """-log of the probability of each row's label."""
    valid, places = _places(labels, output.shape[-1])
    q = lang.div(lang.gather(output, places, (0, 1)), lang.reduce_sum(output, (1,), False))
    return lang.select(valid, lang.neg(lang.log(_clip(q, epsilon))), 0.0)


@sparse_probability_cross_entropy.def_vjp
def _sparse_probability_cross_entropy_vjp(
    needs: Any, g: Any, result: Any, labels: Any, output: Any, *, epsilon: float
) -> Any:
    if not needs[1]:
        return None, None
    return None, sparse_probability_cross_entropy_grad(g, labels, output, epsilon=epsilon)


@composite("sparse_probability_cross_entropy_grad")
def sparse_probability_cross_entropy_grad(
    g: Any, labels: Any, output: Any, *, epsilon: float
) -> Any:
    """Gradient of `sparse_probability_cross_entropy` in the probabilities."""
    total = lang.reduce_sum(output, (1,), False)
    valid, places = _places(labels, output.shape[-1])
    q = lang.div(lang.gather(output, places, (0, 1)), total)
    # With clipped q the quotient is finite where the gradient is 0 anyway.
    d_q = _where_kept(lang.neg(lang.div(g, _clip(q, epsilon))), q, epsilon)
    at_label = lang.div(lang.select(valid, d_q, 0.0), total)
    shared = lang.reshape(lang.neg(lang.mul(at_label, q)), (*q.shape, 1))
    return _put(lang.broadcast_to(shared, tuple(output.shape)), at_label, places)


# ----- two classes -----


@composite("sigmoid_cross_entropy")
def sigmoid_cross_entropy(target: Any, logits: Any) -> Any:
    """Cross entropy of `target` and sigmoid(logits), element by element."""
    return lang.sub(softplus_c(logits), lang.mul(target, logits))


@sigmoid_cross_entropy.def_vjp
def _sigmoid_cross_entropy_vjp(needs: Any, g: Any, result: Any, target: Any, logits: Any) -> Any:
    return (
        lang.neg(lang.mul(g, logits)) if needs[0] else None,
        sigmoid_cross_entropy_grad(g, target, logits) if needs[1] else None,
    )


@composite("sigmoid_cross_entropy_grad")
def sigmoid_cross_entropy_grad(g: Any, target: Any, logits: Any) -> Any:
    """Gradient of `sigmoid_cross_entropy` in the logits."""
    return lang.mul(g, lang.sub(lang.sigmoid(logits), target))


@composite("binary_probability_cross_entropy")
def binary_probability_cross_entropy(target: Any, output: Any, *, epsilon: float) -> Any:
    """Cross entropy of `target` and probabilities, element by element."""
    q = _clip(output, epsilon)
    ones = lang.mul(target, lang.log(q))
    zeros = lang.mul(lang.sub(1.0, target), lang.log(lang.sub(1.0, q)))
    return lang.neg(lang.add(ones, zeros))


@binary_probability_cross_entropy.def_vjp
def _binary_probability_cross_entropy_vjp(
    needs: Any, g: Any, result: Any, target: Any, output: Any, *, epsilon: float
) -> Any:
    d_target = None
    if needs[0]:
        q = _clip(output, epsilon)
        d_target = lang.mul(g, lang.sub(lang.log(lang.sub(1.0, q)), lang.log(q)))
    if not needs[1]:
        return d_target, None
    return d_target, binary_probability_cross_entropy_grad(g, target, output, epsilon=epsilon)


@composite("binary_probability_cross_entropy_grad")
def binary_probability_cross_entropy_grad(
    g: Any, target: Any, output: Any, *, epsilon: float
) -> Any:
    """Gradient of `binary_probability_cross_entropy` in the probabilities."""
    q = _clip(output, epsilon)
    other = lang.sub(1.0, q)
    slope = lang.div(lang.mul(g, lang.sub(q, target)), lang.mul(q, other))
    return _where_kept(slope, output, epsilon)
