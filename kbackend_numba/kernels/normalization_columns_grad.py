"""Gradients of normalisation by columns: sums over groups of rows, then a pass for the result."""

from __future__ import annotations

from kbackend.engine.program import Ints, Prepared
from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.columns import Block
from kbackend_numba.codegen.value import Value
from kbackend_numba.kernels.normalization_groups import (
    Matrices,
    Share,
    Sizes,
    WriteColumns,
    by_columns,
    by_groups,
    joined,
)
from kbackend_numba.kernels.normalization_rows import Wanted
from kbackend_numba.kernels.partial_sums import add_groups
from kbackend_numba.native import Call, native


def sums_of_groups(matrices: Matrices, arrays: Ints) -> Call:
    """The call that writes `partial` from `g, x, mean`."""
    return by_groups(matrices, "gradient sums of groups", (), _sums_of_group, arrays, 2)


def _sums_of_group(code: Code, sizes: Sizes, share: Share) -> None:
    """Writes `partial` from `g, x, mean`: sums of g and of g * (x - mean)."""
    partial, g, x, mean = (code.array(i) for i in range(4))
    columns = sizes.columns

    def block(block: Block) -> None:
        means = block.load(mean, share.matrix * columns)
        zero = code.number(0.0, sizes.dtype, sizes.lanes)
        totals, along = ([code.var(zero) for _ in means] for _ in range(2))
        with code.loop(share.start, share.stop) as row:
            given, values = (block.load(a, row * columns) for a in (g, x))
            for d, v, m, total, weighted in zip(given, values, means, totals, along, strict=True):
                total.set(total.value + d)
                weighted.set(code.fma(d, v - m, weighted.value))
        place = share.group * 2 * columns
        block.store([total.value for total in totals], partial, place)
        block.store([total.value for total in along], partial, place + columns)

    sizes.each_block(code, share, block)


def standardize_grad(matrices: Matrices, epsilon: float, scaled: bool, wanted: Wanted) -> Prepared:
    """The wanted gradients of `g, g_mean, g_variance, x, mean, variance` and a scale if there is
    one."""
    made, dtype = sum(wanted), matrices.dtype
    g, g_mean, g_variance, x, mean, variance = range(made, made + 6)
    scale = (made + 6,) * scaled
    partial = made + 6 + scaled
    table = partial + 1
    # Of several matrices each one's own part of the parameters' gradients comes first.
    several = matrices.number > 1
    parts = range(table + 1, table + 1 + wanted.parameters)
    outputs = range(int(wanted.x), made)
    key = (epsilon, scaled, *wanted)
    arrays = (
        table, partial, g_mean, g_variance, variance, *(parts if several else outputs), *scale,
    )  # fmt: skip
    calls = [
        sums_of_groups(matrices, (partial, g, x, mean)),
        by_columns(matrices, "gradient factors", key, _gradient_factors(*key), arrays),
    ]
    if wanted.x:
        calls.append(gradient_applied(matrices, (0, g, x, mean, table)))
    scratch = [matrices.partial(2), matrices.table(3)]
    if several:
        for output, part in zip(outputs, parts, strict=True):
            place = (output, part)
            calls.append(add_groups(place, 0, 1, matrices.columns, matrices.number, dtype))
            scratch.append(matrices.table())
    return native(calls, scratch, [(0, 0)] if wanted.x else [])


def _gradient_factors(
    epsilon: float, scaled: bool, needs_x: bool, needs_scale: bool, needs_offset: bool
) -> WriteColumns:
    """Writes `table` and the wanted parameters' gradients."""

    def write(
        code: Code, sizes: Sizes, matrix: Value, place: Value, column: Value, mask: Value | None
    ) -> None:
        dtype, lanes = sizes.dtype, sizes.lanes
        table, parameters = code.array(0), 5 + needs_scale + needs_offset
        g_mean, g_variance, variance = (
            code.load(code.array(i), place, dtype, lanes, mask) for i in (2, 3, 4)
        )
        total, along = joined(code, sizes, 1, matrix * sizes.groups, column, mask)
        inverse = 1.0 / code.call("sqrt", variance + epsilon)
        if needs_scale:
            code.store(along * inverse, code.array(5), place, mask)
        if needs_offset:
            code.store(total, code.array(5 + needs_scale), place, mask)
        if not needs_x:
            return
        factor, n = inverse, sizes.rows.cast(dtype)
        if scaled:
            factor = factor * code.load(code.array(parameters), column, dtype, lanes, mask)
        slope = (g_variance * 2.0 - along * factor * (inverse * inverse)) / n
        level = (g_mean - factor * total) / n
        # The three rows of the matrix's own table.
        at = place + matrix * 2 * sizes.columns
        for i, value in enumerate((factor, slope, level)):
            code.store(value, table, at + sizes.columns * i, mask)

    return write


def gradient_applied(matrices: Matrices, arrays: Ints) -> Call:
    """The call that writes `dx` from `g, x, mean` and the table of factors."""
    return by_groups(matrices, "apply gradient", (), _apply_gradient, arrays, 3)


def _apply_gradient(code: Code, sizes: Sizes, share: Share) -> None:
    """Writes `dx` from `g, x, mean` and the table of factors."""
    dx, g, x, mean, table = (code.array(i) for i in range(5))
    columns = sizes.columns

    def block(block: Block) -> None:
        means = block.load(mean, share.matrix * columns)
        factors, slopes, levels = (
            block.load(table, (share.matrix * 3 + i) * columns) for i in range(3)
        )
        with code.loop(share.start, share.stop) as row:
            place = row * columns
            values = [v - m for v, m in zip(block.load(x, place), means, strict=True)]
            three = zip(values, slopes, levels, strict=True)
            values = [code.fma(v, slope, level) for v, slope, level in three]
            three = zip(block.load(g, place), factors, values, strict=True)
            block.store([code.fma(d, factor, v) for d, factor, v in three], dx, place)

    sizes.each_block(code, share, block)
