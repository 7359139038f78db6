"""Convolution, channels last, over the NumPy API: blocks of columns and matrix products.

Forward and filter gradient gather the windows of a block as the rows of a matrix (im2col). The
input gradient is a convolution with the filters turned round where the stride is 1, else one
product per tap, added into place. Depthwise convolution multiplies and adds tap by tap.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

from kbackend.engine.array_module.contract import accumulating
from kbackend.engine.array_module.taps import positions, taps
from kbackend.engine.interface import Kernel

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]

# Runs of fewer elements copy slowly, so that columns with a channel's pixels side by side win.
_SHORT_RUN = 16
_FEW_CHANNELS = 8
# A depthwise convolution with more filters per channel than this is a grouped one.
_MANY_FILTERS = 8


class _How(NamedTuple):
    """The parameters that all three kernels share."""

    window: Ints
    strides: Ints
    padding: Pads
    dilation: Ints
    groups: int

    def positions(self, space: Ints) -> Ints:
        return positions(space, self.window, self.strides, self.padding, self.dilation)

    def pointwise(self) -> bool:
        """Whether every pixel is multiplied for itself."""
        return (
            self.groups == 1
            and set(self.window) == {1}
            and set(self.strides) == {1}
            and all(pair == (0, 0) for pair in self.padding)
        )

    def channels_first(self, channels: int) -> bool:
        """Whether the columns hold each channel's taps together."""
        run = channels * self.window[-1] if self.dilation[-1] == 1 else channels
        return self.groups == 1 and run < _SHORT_RUN

    def depthwise(self, inner: int, filters: int) -> bool:
        """Whether each group has one channel and few filters."""
        return 1 < self.groups and inner == 1 and filters <= _MANY_FILTERS * self.groups


def _split(w: Any, groups: int) -> Any:
    """Filters `(*window, channels, groups * filters)` as `(groups, taps * channels, filters)`."""
    return w.reshape(-1, groups, w.shape[-1] // groups).swapaxes(0, 1)


def _turned(w: Any, groups: int) -> Any:
    """The filters that carry a cotangent of the output back to the input (at stride 1)."""
    *window, inner, filters = w.shape
    w = w[(slice(None, None, -1),) * len(window)]
    w = w.reshape(*window, inner, groups, filters // groups).swapaxes(-1, -3)
    return w.reshape(*window, filters // groups, groups * inner)


def kernels(xp: Any, block_bytes: int = 8 << 20) -> dict[str, Kernel]:
    """The kernels of this family on the array module `xp`.

    Args:
        xp: `numpy` or a module like it.
        block_bytes: size of the scratch arrays. On a host it should fit in a cache.
    """
    as_strided = xp.lib.stride_tricks.as_strided
    matmul = xp.matmul

    def block_of(items: int, item_bytes: int) -> int:
        return max(1, min(items, block_bytes // max(item_bytes, 1)))

    def columns(x: Any, how: _How) -> Iterator[tuple[slice, slice, Any]]:
        """The windows of x in blocks, as `(batch, rows, matrix)`.

        `rows` is a range of positions along the first spatial dimension. The matrix has a row per
        position and a column per element of a window; with groups it is a stack of them.
        """
        n, *space, c = x.shape
        window, strides, padding, dilation, groups = how
        rank = len(window)
        out = how.positions(tuple(space))
        first = how.channels_first(c)
        row_bytes = prod(out[1:]) * prod(window) * c * x.itemsize
        step = block_of(n, row_bytes * out[0])
        height = out[0] if step > 1 else block_of(out[0], row_bytes)
        padded = tuple(s + low + high for s, (low, high) in zip(space, padding, strict=True))
        inside = (
            slice(None),
            *(slice(p[0], p[0] + s) for p, s in zip(padding, space, strict=True)),
        )
        is_padded = padded != tuple(space)
        if first:
            scratch = (xp.zeros if is_padded else xp.empty)((c, step, *padded), x.dtype)
            cols = xp.empty((c, *window, step, height, *out[1:]), x.dtype)
        else:
            scratch = xp.zeros((step, *padded, c), x.dtype) if is_padded else None
            shape = (step, height, *out[1:], *window)
            cols = xp.empty((groups, *shape, c // groups) if groups > 1 else (*shape, c), x.dtype)
        for i in range(0, n, step):
            batch = slice(i, min(i + step, n))
            block = x[batch]
            m = block.shape[0]
            if first:
                scratch[(slice(None), slice(0, m), *inside[1:])] = xp.moveaxis(block, -1, 0)
                of_channel, of_image, *pixel = scratch.strides
            else:
                if is_padded:
                    scratch[:m][inside] = block
                    block = scratch[:m]
                of_image, *pixel, of_channel = block.strides
            hop = tuple(p * s for p, s in zip(pixel, strides, strict=True))
            tap = tuple(p * d for p, d in zip(pixel, dilation, strict=True))
            for r in range(0, out[0], height):
                rows = slice(r, min(r + height, out[0]))
                size = (m, rows.stop - r, *out[1:])
                if first:
                    view = as_strided(
                        scratch[(slice(None), slice(None), slice(r * strides[0], None))],
                        (c, *window, *size),
                        (of_channel, *tap, of_image, *hop),
                    )
                    part = cols[(slice(None),) * (1 + rank) + (slice(0, m), slice(0, size[1]))]
                    part[...] = view
                    yield batch, rows, part.reshape(c * prod(window), -1).T
                    continue
                source = block[:, r * strides[0] :]
                if groups == 1:
                    part = cols[:m, : size[1]]
                    part[...] = as_strided(
                        source, (*size, *window, c), (of_image, *hop, *tap, of_channel)
                    )
                    yield batch, rows, part.reshape(prod(size), -1)
                else:
                    part = cols[:, :m, : size[1]]
                    part[...] = as_strided(
                        source,
                        (groups, *size, *window, c // groups),
                        (of_channel * (c // groups), of_image, *hop, *tap, of_channel),
                    )
                    yield batch, rows, part.reshape(groups, prod(size), -1)

    def forward(x: Any, w: Any, how: _How) -> Any:
        n, *space, c = x.shape
        f = w.shape[-1]
        out = xp.empty((n, *how.positions(tuple(space)), f), x.dtype)
        if not x.size or not w.size or not out.size:
            out.fill(0)
            return out
        if how.pointwise():
            return matmul(x.reshape(-1, c), w.reshape(c, f)).reshape(out.shape)
        if how.depthwise(w.shape[-2], f):
            return depthwise(x, w, out, how)
        if how.groups > 1:
            filters = _split(w, how.groups)
            for batch, rows, matrix in columns(x, how):
                part = out[batch, rows]
                product = xp.moveaxis(matmul(matrix, filters), 0, 1)
                part[...] = product.reshape(part.shape)
            return out
        if how.channels_first(c):
            w = xp.moveaxis(w, -2, 0)
        filters = w.reshape(-1, f)
        for batch, rows, matrix in columns(x, how):
            matmul(matrix, filters, out=out[batch, rows].reshape(-1, f))
        return out

    # ----- depthwise: one channel per group -----

    def spread_filters(w: Any, width: int) -> Any:
        """Depthwise filters `(*window, width, channels, filters)`: with the same filter at every
        pixel of a row, whole rows multiply in one run."""
        *window, _, filters = w.shape
        return xp.ascontiguousarray(
            xp.broadcast_to(w.reshape(*window, 1, filters), (*window, width, filters))
        )

    def depthwise(x: Any, w: Any, out: Any, how: _How) -> Any:
        n, *space, c = x.shape
        f = w.shape[-1]
        touched = taps(tuple(space), how.window, how.strides, how.padding, how.dilation)
        per_row = spread_filters(w, out.shape[-2])
        step = block_of(n, 8 * prod(out.shape[1:]) * x.itemsize)
        scratch = xp.empty((step, *out.shape[1:]), x.dtype)
        out.fill(0)
        for i in range(0, n, step):
            block, into = x[i : i + step], out[i : i + step]
            if f != c:
                block = xp.repeat(block, f // c, axis=-1)
            for place, source, target in touched:
                size = target[-1].stop - target[-1].start
                product = scratch[: len(block)][target]
                xp.multiply(block[source], per_row[place][:size], out=product)
                into[target] += product
        return out

    def depthwise_input_grad(g: Any, w: Any, out: Any, how: _How) -> Any:
        n, *space, c = out.shape
        f = w.shape[-1]
        touched = taps(tuple(space), how.window, how.strides, how.padding, how.dilation)
        per_row = spread_filters(w, g.shape[-2])
        step = block_of(n, 8 * prod(g.shape[1:]) * g.itemsize)
        scratch = xp.empty((step, *g.shape[1:]), g.dtype)
        out.fill(0)
        for i in range(0, n, step):
            block, into = g[i : i + step], out[i : i + step]
            for place, source, target in touched:
                size = target[-1].stop - target[-1].start
                product = scratch[: len(block)][target]
                xp.multiply(block[target], per_row[place][:size], out=product)
                if f != c:
                    product = product.reshape(*product.shape[:-1], c, f // c).sum(-1)
                into[source] += product
        return out

    def depthwise_filter_grad(x: Any, g: Any, how: _How) -> Any:
        n, *space, c = x.shape
        f = g.shape[-1]
        touched = taps(tuple(space), how.window, how.strides, how.padding, how.dilation)
        out = xp.zeros((*how.window, f), x.dtype)
        step = block_of(n, 8 * prod(g.shape[1:]) * x.itemsize)
        scratch = xp.zeros((step, *g.shape[1:]), x.dtype)
        ones = xp.ones(step * prod(g.shape[1:-1]), x.dtype)
        for i in range(0, n, step):
            block, cotangent = x[i : i + step], g[i : i + step]
            if f != c:
                block = xp.repeat(block, f // c, axis=-1)
            for place, source, target in touched:
                product = scratch.reshape(-1)[: prod(cotangent[target].shape)]
                product = product.reshape(cotangent[target].shape)
                xp.multiply(block[source], cotangent[target], out=product)
                rows = product.reshape(-1, f)
                out[place] += matmul(ones[: len(rows)], rows)
        return out[..., None, :]

    # ----- the three kernels -----

    def conv(x: Any, w: Any, strides: Ints, padding: Pads, dilation: Ints, groups: int = 1) -> Any:
        return forward(x, w, _How(w.shape[:-2], strides, padding, dilation, groups))

    def conv_input_grad(
        g: Any, w: Any, space: Ints, strides: Ints, padding: Pads, dilation: Ints, groups: int = 1
    ) -> Any:
        n, *positions_, f = g.shape
        *window, inner, _ = w.shape
        c = inner * groups
        how = _How(tuple(window), strides, padding, dilation, groups)
        shape = (n, *space, c)
        if not g.size or not w.size or 0 in shape:
            return xp.zeros(shape, g.dtype)
        if how.pointwise():
            return matmul(g.reshape(-1, f), w.reshape(c, f).T).reshape(shape)
        if how.depthwise(inner, f):
            return depthwise_input_grad(g, w, xp.empty(shape, g.dtype), how)
        # At stride 1 it is a convolution again. That costs more where it gathers many more
        # channels, or many more positions, than the taps would be added to.
        reach = tuple((k - 1) * d for k, d in zip(window, dilation, strict=True))
        if (
            set(strides) == {1}
            and f <= 2 * c
            and prod(space) <= 1.2 * prod(positions_)
            and all(max(pair) <= r for pair, r in zip(padding, reach, strict=True))
        ):
            turned = tuple((r - p[0], r - p[1]) for r, p in zip(reach, padding, strict=True))
            return forward(g, _turned(w, groups), how._replace(padding=turned))
        if groups == 1 and c < _FEW_CHANNELS:
            return few_channels_input_grad(g, w, shape, how)
        out = xp.zeros(shape, g.dtype)
        by_group = out.reshape(n, *space, groups, inner)
        filters = w.reshape(*window, inner, groups, f // groups)
        filters = xp.ascontiguousarray(xp.moveaxis(filters, -3, -1))  # (*window, groups, f, inner)
        step = block_of(n, prod(positions_) * c * g.itemsize)
        for i in range(0, n, step):
            cotangent = g[i : i + step].reshape(-1, groups, f // groups).swapaxes(0, 1)
            into = by_group[i : i + step]
            for place, source, target in taps(space, *how[:4]):
                product = matmul(cotangent, filters[place]).swapaxes(0, 1)
                into[source] += product.reshape(-1, *positions_, groups, inner)[target]
        return out

    def few_channels_input_grad(g: Any, w: Any, shape: Ints, how: _How) -> Any:
        """With one product for all taps, and planes of pixels per channel and tap."""
        n, *space, c = shape
        _, *positions_, f = g.shape
        out = xp.empty(shape, g.dtype)
        filters = w.reshape(-1, f)
        step = block_of(n, prod(positions_) * len(filters) * g.itemsize)
        planes = xp.empty((c, step, *space), g.dtype)
        for i in range(0, n, step):
            cotangent = g[i : i + step].reshape(-1, f)
            product = matmul(filters, cotangent.T).reshape(*how.window, c, -1, *positions_)
            into = planes[:, : product.shape[-1 - len(space)]]
            into.fill(0)
            for place, source, target in taps(tuple(space), *how[:4]):
                into[(slice(None), *source)] += product[place][(slice(None), *target)]
            out[i : i + step] = xp.moveaxis(into, 0, -1)
        return out

    def conv_filter_grad(
        x: Any, g: Any, window: Ints, strides: Ints, padding: Pads, dilation: Ints, groups: int = 1
    ) -> Any:
        c, f = x.shape[-1], g.shape[-1]
        how = _How(window, strides, padding, dilation, groups)
        shape = (*window, c // groups, f)
        if not x.size or not g.size:
            return xp.zeros(shape, x.dtype)
        if how.pointwise():
            return matmul(x.reshape(-1, c).T, g.reshape(-1, f)).reshape(shape)
        if how.depthwise(c // groups, f):
            return depthwise_filter_grad(x, g, how)
        total: Any = 0
        for batch, rows, matrix in columns(x, how):
            cotangent = g[batch, rows]
            if groups > 1:
                cotangent = cotangent.reshape(-1, groups, f // groups).swapaxes(0, 1)
                total = total + matmul(matrix.swapaxes(-1, -2), cotangent)
            else:
                total = total + matmul(matrix.T, cotangent.reshape(-1, f))
        if groups > 1:
            return total.swapaxes(0, 1).reshape(shape)
        if how.channels_first(c):
            return xp.moveaxis(total.reshape(c, *window, f), 0, -2)
        return total.reshape(shape)

    return {
        "conv": Kernel(accumulating(xp, conv)),
        "conv_input_grad": Kernel(accumulating(xp, conv_input_grad)),
        "conv_filter_grad": Kernel(accumulating(xp, conv_filter_grad)),
    }
