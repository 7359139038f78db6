"""Images sampled at other places: affine, perspective and elastic transforms."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from kbackend.base.dtypes import INT_SET
from kbackend.core import lang
from kbackend.core.convert import to_tensor
from kbackend.ops.define import op
from kbackend.ops.image.arguments import one_of, with_batch
from kbackend.ops.image.filters import blurred
from kbackend.ops.linalg import solve
from kbackend.ops.nn.arguments import floating

FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")

# ----- sampling -----


def _bring_inside(places: Any, size: int, mode: str) -> Any:
    """int32 places as places within `[0, size)`."""
    if mode in ("nearest", "constant"):
        return lang.minimum(lang.maximum(places, 0), size - 1)
    if mode == "wrap":
        return lang.mod(places, size)
    if mode == "mirror":
        # ... 2 1 0 1 2 ...
        period = max(2 * (size - 1), 1)
        places = lang.mod(places, period)
        return lang.minimum(places, lang.sub(period, places)) if size > 1 else lang.mul(places, 0)
    # reflect: ... 1 0 0 1 2 2 1 ...
    places = lang.mod(places, 2 * size)
    return lang.minimum(places, lang.sub(2 * size - 1, places))


def _neighbours(at: Any, order: int, size: int, mode: str) -> list[tuple[Any, Any, Any]]:
    """For one axis: place, weight and (for constant fill) whether the place is real, of each
    sample that counts."""
    found = []
    if order == 0:
        points = [(lang.round_(at), None)]
    else:
        low = lang.floor(at)
        part = lang.sub(at, low)
        points = [(low, lang.sub(1.0, part)), (lang.add(low, 1.0), part)]
    for point, weight in points:
        # Far places would overflow int32, and are outside anyway.
        place = lang.cast(lang.maximum(lang.minimum(point, 1e9), -1e9), "int32")
        real = None
        if mode == "constant":
            real = lang.bitwise_and(lang.le(0, place), lang.lt(place, size))
        found.append((_bring_inside(place, size, mode), weight, real))
    return found


def _sample(x: Any, axes: tuple[int, ...], at: list[Any], lead: tuple[Any, ...], order: int,
            mode: str, fill: float) -> Any:  # fmt: skip
    """x at the floating places `at`, one tensor per axis; `lead` are index tensors of the axes
    before. What follows `axes` in x is sampled together."""
    ones = (1,) * (len(x.shape) - len(axes) - len(lead))
    total: Any = None
    per_axis = [
        _neighbours(a, order, x.shape[axis], mode) for a, axis in zip(at, axes, strict=True)
    ]
    all_axes = (*range(len(lead)), *axes)
    for corner in product(*per_axis):
        value = lang.gather(x, (*lead, *(place for place, _, _ in corner)), all_axes)
        real = None
        for _, _, each in corner:
            if each is not None:
                real = each if real is None else lang.bitwise_and(real, each)
        if real is not None:
            value = lang.select(lang.reshape(real, (*real.shape, *ones)), value, fill)
        for _, weight, _ in corner:
            if weight is not None:
                value = lang.mul(value, lang.reshape(weight, (*weight.shape, *ones)))
        total = value if total is None else lang.add(total, value)
    return total


@op(static=("order",), tensors=("coordinates",))
def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0
) -> Any:
    """Values of `inputs` at places between its elements.

    Args:
        inputs: numeric tensor with n dimensions.
        coordinates: tensor `(n, ...)` of places, one row per dimension.
        order: 0 for the nearest element, 1 for linear interpolation.
        fill_mode: what lies outside: `"constant"`, `"nearest"`, `"wrap"`, `"mirror"` or
            `"reflect"`.
        fill_value: value outside for `"constant"`.

    Returns:
        A tensor of the dtype of `inputs` and the shape `coordinates.shape[1:]`.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> map_coordinates([1.0, 3.0], [[0.5]], order=1).tolist()
        [2.0]
    """
    name = "map_coordinates"
    x, places = to_tensor(inputs), floating(coordinates)
    ndim = len(x.shape)
    if len(places.shape) < 2 or places.shape[0] != ndim:
        raise ValueError(
            f"[{name}] 'coordinates' must have one row for each of {ndim} dimensions, and at least "
            f"two dimensions. Received: coordinates.shape={tuple(places.shape)}."
        )
    if order not in (0, 1):
        raise ValueError(f"[{name}] 'order' must be 0 or 1. Received: order={order!r}.")
    one_of(fill_mode, FILL_MODES, "fill_mode", name)
    dtype, shape = x.dtype, tuple(places.shape[1:])
    lead = (0,) * len(shape)
    at = [
        lang.reshape(lang.slice_(places, (i, *lead), (i + 1, *shape)), shape) for i in range(ndim)
    ]
    out = _sample(floating(x), tuple(range(ndim)), at, (), order, fill_mode, float(fill_value))
    return lang.cast(lang.round_(out) if dtype in INT_SET else out, dtype)


_ORDERS = {"nearest": 0, "bilinear": 1}


def _grid(height: int, width: int) -> tuple[Any, Any]:
    """Rows and columns of all pixels, as float32 `(1, height, width)` and broadcasting."""
    rows = lang.iota((1, height, 1), 1, "float32")
    return rows, lang.iota((1, 1, width), 2, "float32")


def _at_pixels(
    x: Any, rows: Any, columns: Any, interpolation: str, fill_mode: str, fill_value: float
) -> Any:
    """`(batch, height, width, channels)` at places `(batch, height, width)`."""
    batch = x.shape[0]
    lead = (lang.iota((batch, 1, 1), 0, "int32"),)
    dtype = x.dtype
    out = _sample(
        floating(x), (1, 2), [rows, columns], lead, _ORDERS[interpolation], fill_mode,
        float(fill_value),
    )  # fmt: skip
    return lang.cast(out, dtype)


def _parameters(value: Any, count: int, name: str) -> list[Any]:
    """The columns of `(batch, count)` as `(batch, 1, 1)`."""
    value = lang.cast(floating(value), "float32")
    if len(value.shape) == 1:
        value = lang.reshape(value, (1, *value.shape))
    if len(value.shape) != 2 or value.shape[1] != count:
        raise ValueError(
            f"[{name}] the transform must have {count} parameters per image. "
            f"Received: shape={tuple(value.shape)}."
        )
    batch = value.shape[0]
    return [
        lang.reshape(lang.slice_(value, (0, i), (batch, i + 1)), (batch, 1, 1))
        for i in range(count)
    ]


@op(tensors=("transform",))
def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images turned, scaled, sheared and moved.

    Args:
        images: tensor `(height, width, channels)` or a batch of them.
        transform: tensor `(8,)` or `(batch, 8)`: the pixel (x, y) of the result is the pixel
            `(a0 x + a1 y + a2, b0 x + b1 y + b2)` of the image. The last two are not used.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: what lies outside: `"constant"`, `"nearest"`, `"wrap"`, `"mirror"` or
            `"reflect"`.
        fill_value: value outside for `"constant"`.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the shape and dtype of `images`.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> x = np.array([[[1.0], [2.0]]])
        >>> affine_transform(x, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]).tolist()
        [[[2.0], [0.0]]]
    """
    name = "affine_transform"
    one_of(interpolation, tuple(_ORDERS), "interpolation", name)
    one_of(fill_mode, FILL_MODES, "fill_mode", name)
    a0, a1, a2, b0, b1, b2, _, _ = _parameters(transform, 8, name)

    def run(x: Any) -> Any:
        rows, columns = _grid(x.shape[1], x.shape[2])
        at_x = lang.add(lang.add(lang.mul(a0, columns), lang.mul(a1, rows)), a2)
        at_y = lang.add(lang.add(lang.mul(b0, columns), lang.mul(b1, rows)), b2)
        return _at_pixels(x, at_y, at_x, interpolation, fill_mode, fill_value)

    return with_batch(to_tensor(images), data_format, name, run)


def _homography(start: Any, end: Any) -> Any:
    """The 8 parameters `(batch, 8)` of the map that takes `end` to `start`, `(batch, 4, 2)`."""
    batch = end.shape[0]

    def column(points: Any, i: int) -> Any:
        return lang.slice_(points, (0, 0, i), (batch, 4, i + 1))

    x, y, u, v = column(end, 0), column(end, 1), column(start, 0), column(start, 1)
    zero, one = lang.mul(x, 0.0), lang.add(lang.mul(x, 0.0), 1.0)
    first = lang.concatenate(
        [x, y, one, zero, zero, zero, lang.neg(lang.mul(x, u)), lang.neg(lang.mul(y, u))], 2
    )
    second = lang.concatenate(
        [zero, zero, zero, x, y, one, lang.neg(lang.mul(x, v)), lang.neg(lang.mul(y, v))], 2
    )
    matrix = lang.concatenate([first, second], 1)
    return lang.reshape(solve(matrix, lang.concatenate([u, v], 1)), (batch, 8))


@op(tensors=("start_points", "end_points"))
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images as seen from elsewhere: four points go where four others are.

    Args:
        images: tensor `(height, width, channels)` or a batch of them.
        start_points: tensor `(4, 2)` or `(batch, 4, 2)` of points (x, y) in the images.
        end_points: tensor of that shape: where the points are in the result.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_value: value outside the images.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the shape and dtype of `images`.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> corners = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
        >>> perspective_transform(np.eye(2)[..., None], corners, corners).shape
        (2, 2, 1)
    """
    name = "perspective_transform"
    one_of(interpolation, tuple(_ORDERS), "interpolation", name)
    points = []
    for value in (start_points, end_points):
        value = lang.cast(floating(value), "float32")
        if tuple(value.shape[-2:]) != (4, 2) or len(value.shape) not in (2, 3):
            raise ValueError(
                f"[{name}] 'start_points' and 'end_points' must have the shape (4, 2) or "
                f"(batch, 4, 2). Received: {tuple(value.shape)}."
            )
        points.append(lang.reshape(value, (1, 4, 2)) if len(value.shape) == 2 else value)
    a0, a1, a2, b0, b1, b2, c0, c1 = _parameters(_homography(*points), 8, name)

    def run(x: Any) -> Any:
        rows, columns = _grid(x.shape[1], x.shape[2])
        depth = lang.add(lang.add(lang.mul(c0, columns), lang.mul(c1, rows)), 1.0)
        at_x = lang.add(lang.add(lang.mul(a0, columns), lang.mul(a1, rows)), a2)
        at_y = lang.add(lang.add(lang.mul(b0, columns), lang.mul(b1, rows)), b2)
        at_x, at_y = lang.div(at_x, depth), lang.div(at_y, depth)
        return _at_pixels(x, at_y, at_x, interpolation, "constant", fill_value)

    return with_batch(to_tensor(images), data_format, name, run)


@op()
def elastic_transform(
    images: Any,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Any:
    """Images bent at random: each pixel is taken from a place a smooth random distance away.

    Args:
        images: tensor `(height, width, channels)` or a batch of them.
        alpha: strength of the distances.
        sigma: width of the blur that makes them smooth.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: what lies outside: `"constant"`, `"nearest"`, `"wrap"`, `"mirror"` or
            `"reflect"`.
        fill_value: value outside for `"constant"`.
        seed: `None` or integer that decides the result.
        data_format: `"channels_last"` or `"channels_first"`; the configured one by default.

    Returns:
        A tensor of the shape and dtype of `images`.

    Raises:
        ValueError: an argument does not fit.

    Example:
        >>> elastic_transform(np.ones((8, 8, 1)), seed=1).shape
        (8, 8, 1)

    Reference:
        P. Simard et al., "Best practices for convolutional neural networks", 2003.
    """
    name = "elastic_transform"
    one_of(interpolation, tuple(_ORDERS), "interpolation", name)
    one_of(fill_mode, FILL_MODES, "fill_mode", name)

    def run(x: Any) -> Any:
        batch, height, width, _ = x.shape
        # The host draws: what counts is that a seed gives the same on every engine.
        noise = np.random.default_rng(seed).normal(size=(batch, height, width, 2))
        taps = 2 * int(np.ceil(2 * sigma)) + 1
        moves = blurred(to_tensor(noise, "float32"), (taps, taps), (sigma, sigma))
        moves = lang.mul(moves, float(alpha))
        rows, columns = _grid(height, width)

        def part(i: int) -> Any:
            found = lang.slice_(moves, (0, 0, 0, i), (batch, height, width, i + 1))
            return lang.reshape(found, (batch, height, width))

        at_y, at_x = lang.add(rows, part(0)), lang.add(columns, part(1))
        return _at_pixels(x, at_y, at_x, interpolation, fill_mode, fill_value)

    return with_batch(to_tensor(images), data_format, name, run)
