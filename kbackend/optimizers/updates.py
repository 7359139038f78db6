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


# ----- what rules are made of -----
# Each has one result, so that an engine can run it in the middle of other elementwise operations.
# An engine may make averages 0 that are nothing beside `epsilon`, or beside a parameter.


@composite("moved_average")
def moved_average(average: Any, value: Any, *, beta: float, epsilon: float) -> Any:
    """A moving average a step further, see `move`, which is added to `epsilon` somewhere."""
    return move(average, value, beta)


@composite("weighted_average")
def weighted_average(average: Any, value: Any, *, rho: float, epsilon: float) -> Any:
    """The same as `moved_average`, rounded otherwise: `rho * average + (1 - rho) * value`."""
    return lang.add(lang.mul(average, rho), lang.mul(value, 1.0 - rho))


@composite("velocity")
def velocity(m: Any, step: Any, *, momentum: float) -> Any:
    """What is left of the steps so far, and a step: `momentum * m + step`."""
    return lang.add(lang.mul(m, momentum), step)


@composite("adam_rate")
def adam_rate(lr: Any, iterations: Any, *, beta_1: float, beta_2: float) -> Any:
    """Adam's learning rate with the corrections for both averages' start at 0."""
    step = step_number(iterations, lr.dtype)
    widened = lang.mul(lr, lang.sqrt(bias_correction(beta_2, step)))
    return lang.div(widened, bias_correction(beta_1, step))


@composite("adam_step")
def adam_step(p: Any, m: Any, v: Any, rate: Any, *, epsilon: float) -> Any:
    """A step of Adam along m with the averages as they are: new p."""
    return lang.sub(p, lang.div(lang.mul(m, rate), lang.add(lang.sqrt(v), epsilon)))


@composite("root_step")
def root_step(g: Any, square: Any, lr: Any, *, epsilon: float) -> Any:
    """A step along g by the root of an average square: `g * lr / sqrt(square + epsilon)`."""
    return lang.div(lang.mul(g, lr), lang.sqrt(lang.add(square, epsilon)))


# ----- rules -----


def blend(average: Any, value: Any, beta: float) -> Any:
    """`move`, with 1 - beta taken in the average's own precision.

    The weights then add up to exactly what `bias_correction` divides by.
    """
    return _mix(average, value, lang.lift(beta, average))


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
    step = lang.neg(lang.mul(g, lr))
    m = velocity(m, step, momentum=momentum)
    moved = lang.add(lang.mul(m, momentum), step) if nesterov else m
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
    rate = adam_rate(lr, iterations, beta_1=beta_1, beta_2=beta_2)
    m = moved_average(m, g, beta=beta_1, epsilon=epsilon)
    v = moved_average(v, lang.mul(g, g), beta=beta_2, epsilon=epsilon)
    return adam_step(p, m, v, rate, epsilon=epsilon), m, v


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
    rate = adam_rate(lr, iterations, beta_1=beta_1, beta_2=beta_2)
    m = moved_average(m, g, beta=beta_1, epsilon=epsilon)
    v = moved_average(v, lang.mul(g, g), beta=beta_2, epsilon=epsilon)
    v_max = lang.maximum(v_max, v)
    return adam_step(p, m, v_max, rate, epsilon=epsilon), m, v, v_max


def _averages(
    g: Any, m: Any, v: Any, lr: Any, iterations: Any, beta_1: float, beta_2: float
) -> tuple[Any, Any, Any]:
    """New m and v, and the number of the step as a float."""
    step = step_number(iterations, lr.dtype)
    return move(m, g, beta_1), move(v, lang.mul(g, g), beta_2), step


@composite("adamax_update")
def adamax_update(
    p: Any, g: Any, m: Any, u: Any, lr: Any, iterations: Any,
    *, beta_1: float, beta_2: float, epsilon: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """A step of Adamax: new p, m and u."""
    step = step_number(iterations, lr.dtype)
    m = move(m, g, beta_1)
    u = lang.maximum(lang.mul(u, beta_2), lang.abs_(g))
    rate = lang.div(lr, bias_correction(beta_1, step))
    return lang.sub(p, lang.div(lang.mul(m, rate), lang.add(u, epsilon))), m, u


@composite("lamb_update")
def lamb_update(
    p: Any, g: Any, m: Any, v: Any, lr: Any, iterations: Any,
    *, beta_1: float, beta_2: float, epsilon: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """A step of Lamb: new p, m and v."""
    m, v, step = _averages(g, m, v, lr, iterations, beta_1, beta_2)
    m_hat = lang.div(m, bias_correction(beta_1, step))
    v_hat = lang.div(v, bias_correction(beta_2, step))
    update = lang.div(m_hat, lang.add(lang.sqrt(v_hat), epsilon))
    size, length = _norm(p), _norm(update)
    both = lang.bitwise_and(lang.lt(0.0, size), lang.lt(0.0, length))
    one = lang.full((), 1.0, size.dtype)
    ratio = lang.select(both, lang.div(size, lang.select(both, length, one)), one)
    return lang.sub(p, lang.mul(update, lang.mul(ratio, lr))), m, v


def _norm(x: Any) -> Any:
    return lang.sqrt(lang.reduce_sum(lang.mul(x, x), tuple(range(len(x.shape)))))


@composite("nadam_update")
def nadam_update(
    p: Any, g: Any, m: Any, v: Any, lr: Any, step: Any, now: Any, ahead: Any, product: Any,
    *, beta_1: float, beta_2: float, epsilon: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """A step of Nadam: new p, m and v.

    `now` and `ahead` are the weights of the past at this step and the next, `product` is that of
    all weights up to this step.
    """
    m = blend(m, g, beta_1)
    v = blend(v, lang.mul(g, g), beta_2)
    m_part = lang.div(ahead, lang.sub(1.0, lang.mul(product, ahead)))
    g_part = lang.div(lang.sub(1.0, now), lang.sub(1.0, product))
    m_hat = lang.add(lang.mul(m, m_part), lang.mul(g, g_part))
    v_hat = lang.div(v, bias_correction(beta_2, step))
    return lang.sub(p, lang.div(lang.mul(m_hat, lr), lang.add(lang.sqrt(v_hat), epsilon))), m, v


@composite("lion_update")
def lion_update(
    p: Any, g: Any, m: Any, lr: Any, *, beta_1: float, beta_2: float
) -> tuple[Any, Any]:
    """A step of Lion: new p and m."""
    direction = lang.sign(lang.add(lang.mul(m, beta_1), lang.mul(g, 1.0 - beta_1)))
    m = lang.add(lang.mul(m, beta_2), lang.mul(g, 1.0 - beta_2))
    return lang.sub(p, lang.mul(direction, lr)), m


@composite("rmsprop_update")
def rmsprop_update(
    p: Any, g: Any, v: Any, *rest: Any, rho: float, momentum: float, epsilon: float
) -> tuple[Any, ...]:
    """A step of RMSprop: new p and v; `rest` is the learning rate, or m and the learning rate."""
    v = weighted_average(v, lang.mul(g, g), rho=rho, epsilon=epsilon)
    step = root_step(g, v, rest[-1], epsilon=epsilon)
    return _with_momentum(p, step, (v,), rest[:-1], momentum)


@composite("rmsprop_centered_update")
def rmsprop_centered_update(
    p: Any, g: Any, v: Any, a: Any, *rest: Any, rho: float, momentum: float, epsilon: float
) -> tuple[Any, ...]:
    """`rmsprop_update` by the standard deviation; `a` is the average of gradients."""
    v = weighted_average(v, lang.mul(g, g), rho=rho, epsilon=epsilon)
    a = weighted_average(a, g, rho=rho, epsilon=epsilon)
    step = root_step(g, lang.sub(v, lang.mul(a, a)), rest[-1], epsilon=epsilon)
    return _with_momentum(p, step, (v, a), rest[:-1], momentum)


def _with_momentum(
    p: Any, step: Any, state: tuple[Any, ...], m: tuple[Any, ...], momentum: float
) -> tuple[Any, ...]:
    if not m:
        return lang.sub(p, step), *state
    kept = velocity(m[0], step, momentum=momentum)
    return lang.sub(p, kept), *state, kept


@composite("adagrad_update")
def adagrad_update(p: Any, g: Any, a: Any, lr: Any, *, epsilon: float) -> tuple[Any, Any]:
    """A step of Adagrad: new p and sum of squares."""
    a = lang.add(a, lang.mul(g, g))
    return lang.sub(p, lang.div(lang.mul(g, lr), lang.sqrt(lang.add(a, epsilon)))), a


@composite("adadelta_update")
def adadelta_update(
    p: Any, g: Any, a: Any, d: Any, lr: Any, *, rho: float, epsilon: float
) -> tuple[Any, Any, Any]:
    """A step of Adadelta: new p and averages of the squares of gradients and of steps."""
    a = lang.add(lang.mul(a, rho), lang.mul(lang.mul(g, g), 1.0 - rho))
    units = lang.div(lang.sqrt(lang.add(d, epsilon)), lang.sqrt(lang.add(a, epsilon)))
    step = lang.mul(units, g)
    d = lang.add(lang.mul(d, rho), lang.mul(lang.mul(step, step), 1.0 - rho))
    return lang.sub(p, lang.mul(step, lr)), a, d


@composite("ftrl_update")
def ftrl_update(
    p: Any, g: Any, a: Any, z: Any, lr: Any,
    *, power: float, l1: float, l2: float, shrinkage: float, beta: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """A step of Ftrl: new p, sum of squares and linear term."""
    old_root, total = lang.pow_(a, -power), lang.add(a, lang.mul(g, g))
    root = lang.pow_(total, -power)
    if shrinkage > 0:
        g = lang.add(g, lang.mul(p, 2.0 * shrinkage))
    z = lang.add(z, lang.sub(g, lang.mul(lang.div(lang.sub(root, old_root), lr), p)))
    quadratic = lang.add(lang.div(lang.add(root, beta), lr), 2.0 * l2)
    clipped = lang.minimum(lang.maximum(z, -l1), l1)
    return lang.div(lang.sub(clipped, z), quadratic), total, z


@composite("schedule_free_update")
def schedule_free_update(
    y: Any, g: Any, z: Any, v: Any, lr: Any, iterations: Any,
    *, beta_1: float, beta_2: float, epsilon: float, warmup_steps: int,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """A step of ScheduleFreeAdamW: new y, z and v."""
    step = step_number(iterations, lr.dtype)
    if warmup_steps:
        lr = lang.mul(lr, lang.minimum(lang.div(step, float(warmup_steps)), 1.0))
    x = lang.div(lang.sub(y, lang.mul(z, 1.0 - beta_1)), beta_1)
    v = blend(v, lang.mul(g, g), beta_2)
    v_hat = lang.div(v, bias_correction(beta_2, step))
    z = lang.sub(z, lang.div(lang.mul(g, lr), lang.add(lang.sqrt(v_hat), epsilon)))
    x = lang.add(x, lang.div(lang.sub(z, x), step))
    return lang.add(lang.mul(z, 1.0 - beta_1), lang.mul(x, beta_1)), z, v


@composite("adafactor_vector_update")
def adafactor_vector_update(
    p: Any, g: Any, v: Any, rate: Any, step: Any, *, beta_2_decay: float, **settings: float
) -> tuple[Any, Any]:
    """A step of Adafactor for vectors and scalars: new p and v."""
    keep = lang.sub(1.0, lang.pow_(step, beta_2_decay))
    squares = lang.add(lang.mul(g, g), settings["epsilon_1"])
    v = _mix(v, squares, keep)
    return _adafactor_step(p, g, v, rate, **settings), v


@composite("adafactor_matrix_update")
def adafactor_matrix_update(
    p: Any, g: Any, r: Any, c: Any, rate: Any, step: Any, *, beta_2_decay: float, **settings: float
) -> tuple[Any, Any, Any, Any]:
    """A step of Adafactor for matrices: new p, v, and mean squares of rows and columns."""
    keep = lang.sub(1.0, lang.pow_(step, beta_2_decay))
    squares = lang.add(lang.mul(g, g), settings["epsilon_1"])
    last = len(g.shape) - 1
    r = _mix(r, mean(squares, (last,)), keep)
    c = _mix(c, mean(squares, (last - 1,)), keep)
    rows = lang.div(r, mean(r, (last - 1,), keepdims=True))
    v = lang.mul(
        lang.reshape(rows, (*rows.shape, 1)), lang.reshape(c, (*c.shape[:-1], 1, c.shape[-1]))
    )
    return _adafactor_step(p, g, v, rate, **settings), v, r, c


def mean(x: Any, axes: tuple[int, ...], keepdims: bool = False) -> Any:
    """Mean over `axes`."""
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return lang.div(lang.reduce_sum(x, axes, keepdims), float(count))


def _rms(x: Any) -> Any:
    return lang.sqrt(mean(lang.mul(x, x), tuple(range(len(x.shape)))))


def _mix(average: Any, value: Any, keep: Any) -> Any:
    """`keep * average + (1 - keep) * value` with a tensor `keep`."""
    return lang.add(lang.mul(average, keep), lang.mul(value, lang.sub(1.0, keep)))


def _adafactor_step(
    p: Any, g: Any, v: Any, rate: Any, *, epsilon_1: float, epsilon_2: float, clip_threshold: float
) -> Any:
    scale = lang.mul(lang.maximum(_rms(p), epsilon_2), rate)
    step = lang.mul(g, lang.rsqrt(v))
    size = lang.maximum(lang.div(_rms(step), clip_threshold), 1.0)
    return lang.sub(p, lang.mul(step, lang.div(scale, size)))
