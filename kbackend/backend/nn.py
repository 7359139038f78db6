"""Activations, losses, convolution, pooling and normalization of the classic backend."""

from __future__ import annotations

from typing import Any

from kbackend import activations, losses, ops, random
from kbackend.backend.shapes import channels_last
from kbackend.base import config


def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """x above the threshold (at most `max_value`), and `alpha * (x - threshold)` below it."""
    return activations.relu(x, negative_slope=alpha, max_value=max_value, threshold=threshold)


def hard_sigmoid(x: Any) -> Any:
    """`0.2 * x + 0.5`, kept between 0 and 1: the slope of earlier years (`ops` has 1 / 6).

    >>> float(hard_sigmoid(ops.convert_to_tensor(1.0)))
    0.7
    """
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1, ignore_class: Any = None
) -> Any:
    """Cross-entropy with integer targets; those that are `ignore_class` count as 0."""
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(target, output, from_logits, axis)
    target = ops.cast(target, "int32")
    kept = ops.not_equal(target, ignore_class)
    safe = ops.where(kept, target, ops.zeros_like(target))
    loss = ops.sparse_categorical_crossentropy(safe, output, from_logits, axis)
    return ops.where(ops.reshape(kept, ops.shape(loss)), loss, ops.zeros_like(loss))


def binary_focal_crossentropy(
    target: Any,
    output: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
) -> Any:
    """Binary cross-entropy of each element, with less weight for what is easy."""
    # The loss takes the mean of the last axis: one of its own for each element.
    return losses.binary_focal_crossentropy(
        ops.expand_dims(target, -1),
        ops.expand_dims(output, -1),
        apply_class_balancing,
        alpha,
        gamma,
        from_logits,
    )


def categorical_focal_crossentropy(
    target: Any,
    output: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    axis: int = -1,
) -> Any:
    """Cross-entropy with one-hot targets, with less weight for what is easy."""
    return losses.categorical_focal_crossentropy(
        target, output, alpha, gamma, from_logits=from_logits, axis=axis
    )


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    """x plus a bias per channel, or per place and channel."""
    if channels_last(data_format) or len(x.shape) < 3:
        return x + bias
    if len(bias.shape) > 1:
        return x + ops.moveaxis(bias, -1, 0)
    return x + ops.reshape(bias, (-1, *(1,) * (len(x.shape) - 2)))


def batch_normalization(
    x: Any, mean: Any, var: Any, beta: Any, gamma: Any, axis: int = -1, epsilon: float = 1e-3
) -> Any:
    """`(x - mean) / sqrt(var + epsilon) * gamma + beta`, by channel."""
    mean, var = ops.reshape(mean, (-1,)), ops.reshape(var, (-1,))
    beta = None if beta is None else ops.reshape(beta, (-1,))
    gamma = None if gamma is None else ops.reshape(gamma, (-1,))
    return ops.batch_normalization(x, mean, var, axis, beta, gamma, epsilon)


def dropout(x: Any, level: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """x with a share `level` of its elements set to 0 and the others scaled up."""
    return random.dropout(x, level, noise_shape, seed)


def in_top_k(predictions: Any, targets: Any, k: int) -> Any:
    """Whether each target is among the k greatest predictions."""
    return ops.in_top_k(targets, predictions, k)


def conv1d(
    x: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:
    """Convolution over time; `padding="causal"` looks back only."""
    if padding == "causal":
        step = dilation_rate if isinstance(dilation_rate, int) else dilation_rate[0]
        left = (step * (kernel.shape[0] - 1), 0)
        last = channels_last(data_format)
        x = ops.pad(x, [(0, 0), left, (0, 0)] if last else [(0, 0), (0, 0), left])
        padding = "valid"
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d(
    x: Any,
    kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """Convolution over images."""
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv3d(
    x: Any,
    kernel: Any,
    strides: Any = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1, 1),
) -> Any:
    """Convolution over volumes."""
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d_transpose(
    x: Any,
    kernel: Any,
    output_shape: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """The transpose of `conv2d`: from its output's shape to `output_shape`, its input's.

    >>> conv2d_transpose(
    ...     ops.ones((1, 2, 2, 1)), ops.ones((3, 3, 4, 1)), (1, 5, 5, 4), (2, 2), "valid",
    ...     "channels_last",
    ... ).shape
    (1, 5, 5, 4)
    """
    last = channels_last(data_format)
    space = slice(1, 3) if last else slice(2, 4)
    strides = (strides, strides) if isinstance(strides, int) else tuple(strides)
    rates = (dilation_rate,) * 2 if isinstance(dilation_rate, int) else tuple(dilation_rate)
    extra: list[int] = []
    for size, wanted, window, stride, rate in zip(
        x.shape[space], tuple(output_shape)[space], kernel.shape[:2], strides, rates, strict=True
    ):
        reach = (window - 1) * rate + 1
        inside = 0 if padding == "valid" else reach // 2
        extra.append(0 if wanted is None else wanted - ((size - 1) * stride + reach - 2 * inside))
    if any(not 0 <= more < stride for more, stride in zip(extra, strides, strict=True)):
        raise ValueError(
            f"[conv2d_transpose] no input of the shape {tuple(output_shape)} has an output of the "
            f"shape {tuple(x.shape)}. Received: kernel.shape={tuple(kernel.shape)}, "
            f"strides={strides}, padding={padding!r}."
        )
    return ops.conv_transpose(x, kernel, strides, padding, tuple(extra), data_format, dilation_rate)


def ctc_batch_cost(y_true: Any, y_pred: Any, input_length: Any, label_length: Any) -> Any:
    """The CTC loss of each sequence, `(batch, 1)`; the last class is the blank.

    Args:
        y_true: labels, `(batch, labels)`.
        y_pred: probabilities, `(batch, time, classes)`.
        input_length: number of valid time steps, `(batch, 1)`.
        label_length: number of valid labels, `(batch, 1)`.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    loss = ops.ctc_loss(
        ops.cast(y_true, "int32"),
        ops.log(y_pred + config.epsilon()),
        ops.cast(ops.reshape(label_length, (-1,)), "int32"),
        ops.cast(ops.reshape(input_length, (-1,)), "int32"),
        mask_index=y_pred.shape[-1] - 1,
    )
    return ops.expand_dims(loss, -1)


def ctc_decode(
    y_pred: Any, input_length: Any, greedy: bool = True, beam_width: int = 100, top_paths: int = 1
) -> tuple[list[Any], Any]:
    """The likeliest label sequences, by taking the best class of each step or by beam search.

    Args:
        y_pred: probabilities, `(batch, time, classes)`; the last class is the blank.
        input_length: number of valid time steps, `(batch,)`.
        greedy: whether to take the best class of each step.
        beam_width: number of sequences that the beam search keeps.
        top_paths: number of sequences to return.

    Returns:
        A list of `top_paths` tensors `(batch, labels)`, filled up with -1, and their scores.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    paths, scores = ops.ctc_decode(
        ops.log(y_pred + config.epsilon()),
        ops.cast(ops.reshape(input_length, (-1,)), "int32"),
        strategy="greedy" if greedy else "beam_search",
        beam_width=beam_width,
        top_paths=top_paths,
        mask_index=y_pred.shape[-1] - 1,
    )
    return list(ops.unstack(paths)), scores


def depthwise_conv2d(
    x: Any,
    depthwise_kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """Convolution of each channel for itself."""
    return ops.depthwise_conv(x, depthwise_kernel, strides, padding, data_format, dilation_rate)


def separable_conv2d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """Convolution of each channel for itself, then a mixture of channels."""
    return ops.separable_conv(
        x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate
    )


_MODES = {"max": ops.max_pool, "avg": ops.average_pool}


def pool2d(
    x: Any,
    pool_size: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    """Maximum ("max") or mean ("avg") of windows of images."""
    if pool_mode not in _MODES:
        raise ValueError(f"'pool_mode' must be 'max' or 'avg'. Received: pool_mode={pool_mode!r}.")
    return _MODES[pool_mode](x, pool_size, strides, padding, data_format)


def pool3d(
    x: Any,
    pool_size: Any,
    strides: Any = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    """Maximum ("max") or mean ("avg") of windows of volumes."""
    return pool2d(x, pool_size, strides, padding, data_format, pool_mode)
