"""Pieces of the kernels of recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kbackend.engine.program import Spec
from kbackend_cupy.codegen.launch import NAME, Launch, named
from kbackend_cupy.codegen.loop import libraries, pointer, steps
from kbackend_cupy.codegen.recurrent_team import QUAD, Layer, Team


class Array(NamedTuple):
    """An array of a kernel.

    Attributes:
        name: in the text.
        position: among the step's arrays.
        spec: what it is.
        written: whether the kernel writes it.
    """

    name: str
    position: int
    spec: Spec
    written: bool = False


def at(spec: Spec, *indices: str) -> str:
    """The position of an element."""
    terms = [f"(int)({i}) * {s}" for i, s in zip(indices, steps(spec), strict=True) if s]
    return " + ".join(terms) or "0"


def kernel(
    what: str, layer: Layer, one: Team, arrays: Sequence[Array], lines: Sequence[str]
) -> Launch:
    """The launch of a kernel in which each block takes its examples through all steps.

    Args:
        what: the kernel's name begins with it.
        layer: what is computed.
        one: who does it.
        arrays: the kernel's parameters.
        lines: what a thread does.
    """
    parameters = ", ".join(pointer(a.spec, a.name, a.written) for a in arrays)
    head = libraries([a.spec for a in arrays], "memory.cuh", "recurrent.cuh")
    text = [
        f'extern "C" __global__ void __launch_bounds__({one.threads}, 1) {NAME}(',
        f"    {parameters}) {{",
        f"    typedef {layer.work} work;",
        f"    const unsigned u = threadIdx.x % {one.across}u, part = threadIdx.x / {one.across}u;",
        f"    const bool live = u < {layer.units}u;",
        f"    const unsigned begin = part * {one.share}u;",
        *[f"    {line}" for line in lines],
        "}\n",
    ]
    made, name = named(head + "\n".join(text), what)
    grid = (-(-layer.batch // one.examples), 1, 1)
    places = tuple([a.position for a in arrays])
    return Launch(made, name, grid, (one.threads, 1, 1), places)


def shared(one: Team, columns: int) -> list[str]:
    """The memory that the threads of a block share: factors, which begin as 0, and sums."""
    size = one.parts * one.share
    return [
        # A quad of factors is read at once.
        f"__shared__ __align__(32) work factors[{one.examples}][{size}];",
        f"__shared__ work sums[{one.parts}][{columns}][{one.examples}][{one.across}];",
        f"for (unsigned i = threadIdx.x; i < {one.examples * size}u; i += {one.threads}u)",
        f"    factors[i / {size}u][i % {size}u] = 0;",
    ]


def held(one: Team, columns: int, weight: str) -> list[str]:
    """Reads the weights that stay in registers.

    Args:
        one: who does it.
        columns: weights for each factor.
        weight: one of them, by `k` and `column`.
    """
    return [
        f"work held[{one.held}][{columns}];",
        "#pragma unroll",
        f"for (int i = 0; i < {one.held}; ++i) {{",
        "    const unsigned k = begin + i;",
        "#pragma unroll",
        f"    for (int column = 0; column < {columns}; ++column)",
        f"        held[i][column] = live && k < {one.inner}u ? {weight} : work(0);",
        "}",
    ]


def multiply(one: Team, columns: int, weight: str) -> list[str]:
    """A thread's part of the sums of products of factors and weights, to shared memory.

    Args:
        one: who does it.
        columns: weights for each factor.
        weight: one of them, by `k` and `column`.
    """
    lines = [
        "{",
        f"    work sum[{columns}][{one.examples}] = {{}};",
        "#pragma unroll",
        f"    for (int i = 0; i < {one.held}; i += {QUAD}) {{",
        *_add(one, columns, "begin + i", "held[i + q][column]"),
        "    }",
    ]
    if one.held < one.share:
        # The last quad may be incomplete.
        inside = f"k < {one.inner}u ? {weight} : work(0)" if one.inner % QUAD else weight
        lines += [
            f"    const unsigned behind = begin + {one.share}u;",
            f"    unsigned end = behind < {one.inner}u ? behind : {one.inner}u;",
            "    if (!live) end = 0;",
            f"#pragma unroll {max(1, min(4, 8 // one.examples) // columns)}",
            f"    for (unsigned k0 = begin + {one.held}u; k0 < end; k0 += {QUAD}) {{",
            f"        work read[{QUAD}][{columns}];",
            "#pragma unroll",
            f"        for (int q = 0; q < {QUAD}; ++q)",
            "#pragma unroll",
            f"            for (int column = 0; column < {columns}; ++column) {{",
            "                const unsigned k = k0 + q;",
            f"                read[q][column] = {inside};",
            "            }",
            *_add(one, columns, "k0", "read[q][column]"),
            "    }",
        ]
    return [
        *lines,
        "#pragma unroll",
        f"    for (int column = 0; column < {columns}; ++column)",
        "#pragma unroll",
        f"        for (int e = 0; e < {one.examples}; ++e)",
        "            sums[part][column][e][u] = sum[column][e];",
        "}",
    ]


def _add(one: Team, columns: int, first: str, weight: str) -> list[str]:
    """Lines that add the products of a quad of factors, from `first` on, and its weights."""
    return [
        "#pragma unroll",
        f"        for (int e = 0; e < {one.examples}; ++e) {{",
        f"            const auto x = kb::load_pack<{QUAD}>(&factors[e][{first}]);",
        "#pragma unroll",
        f"            for (int q = 0; q < {QUAD}; ++q)",
        "#pragma unroll",
        f"                for (int column = 0; column < {columns}; ++column)",
        f"                    sum[column][e] += {weight} * x.at[q];",
        "        }",
    ]


def owned(layer: Layer, one: Team, lines: Sequence[str]) -> list[str]:
    """Lines for each example `e` of the block, `example` of the batch, whose state is a thread's.

    Each is the `i`-th of the thread's.
    """
    return [
        "#pragma unroll",
        f"for (int i = 0; i < {one.own}; ++i) {{",
        f"    const unsigned e = part + i * {one.parts}u;",
        f"    const unsigned example = blockIdx.x * {one.examples}u + e;",
        f"    if (live && e < {one.examples}u && example < {layer.batch}u) {{",
        *[f"        {line}" for line in lines],
        "    }",
        "}",
    ]


def added_up(one: Team, column: str) -> list[str]:
    """Lines that add up the parts of a sum, to `total`."""
    return [
        f"work total = sums[0][{column}][e][u];",
        "#pragma unroll",
        f"for (int other = 1; other < {one.parts}; ++other)",
        f"    total += sums[other][{column}][e][u];",
    ]
