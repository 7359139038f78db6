"""The elementwise rules of the optimizers, as composites that an engine may run in one kernel.

Each takes a parameter, its gradient, its state and 0-d tensors (learning rate, iterations so far),
and returns the new parameter and the new state.
"""

from __future__ import annotations

from typing import Any

from kbackend.core import lang
from kbackend.core.composite import composite


def step_number(iterations: Any, dtype: str) -> Any:
    """The number of the step that is being made, from 1, as a float."""
    return lang.cast(lang.add(iterations, 1), dtype)


def bias_correction(beta: float, step: Any) -> Any:
    """1 - beta ** step: the weight that `step` terms of a moving average from 0 add up to."""
    return lang.sub(1.0, lang.pow_(beta, step))


def move(average: Any, value: Any, beta: float) -> Any:
    """A moving average a step further: `beta * average + (1 - beta) * value`."""
    return lang.add(average, lang.mul(lang.sub(value, average), 1.0 - beta))


@composite("weight_decay")
def weight_decay(p: Any, lr: Any, *, rate: float) -> Any:
    """p shrunk by the fraction `rate * lr`."""
    return lang.sub(p, lang.mul(lang.mul(p, rate), lr))


@composite("sgd_update")
def sgd_update(p: Any, g: Any, lr: Any) -> Any:
    """A step along the negative gradient."""
    return lang.sub(p, lang.mul(g, lr))


@composite("momentum_update")
def momentum_update(
    p: Any, g: Any, m: Any, lr: Any, *, momentum: float, nesterov: bool
) -> tuple[Any, Any]:
    """A step of gradient descent with (Nesterov) momentum: new p and m."""
    step = lang.mul(g, lr)
    m = lang.sub(lang.mul(m, momentum), step)
    moved = lang.sub(lang.mul(m, momentum), step) if nesterov else m
    return lang.add(p, moved), m


@composite("adam_update")
def adam_update(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    lr: Any,
    iterations: Any,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> tuple[Any, Any, Any]:
    """A step of Adam: new p, m and v."""
    alpha = adam_rate(lr, iterations, beta_1, beta_2)
    m = move(m, g, beta_1)
    v = move(v, lang.mul(g, g), beta_2)
    step = lang.div(lang.mul(m, alpha), lang.add(lang.sqrt(v), epsilon))
    return lang.sub(p, step), m, v


@composite("amsgrad_update")
def amsgrad_update(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    v_max: Any,
    lr: Any,
    iterations: Any,
    *,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> tuple[Any, Any, Any, Any]:
    """A step of Adam that divides by the greatest v so far: new p, m, v and v_max."""
    alpha = adam_rate(lr, iterations, beta_1, beta_2)
    m = move(m, g, beta_1)
    v = move(v, lang.mul(g, g), beta_2)
    v_max = lang.maximum(v_max, v)
    step = lang.div(lang.mul(m, alpha), lang.add(lang.sqrt(v_max), epsilon))
    return lang.sub(p, step), m, v, v_max


def adam_rate(lr: Any, iterations: Any, beta_1: float, beta_2: float) -> Any:
    """Adam's learning rate with the corrections for both averages' start at 0."""
    step = step_number(iterations, lr.dtype)
    widened = lang.mul(lr, lang.sqrt(bias_correction(beta_2, step)))
    return lang.div(widened, bias_correction(beta_1, step))
