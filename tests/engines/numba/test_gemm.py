"""Matrix products as calls inside compiled kernels."""

import itertools

import llvmlite.binding as llvm
import numpy as np
import pytest

from kbackend_numba.codegen.code import Code
from kbackend_numba.codegen.compile import object_code
from kbackend_numba.codegen.inner import write_inner
from kbackend_numba.codegen.product import Form, write_product
from kbackend_numba.codegen.target import describe
from kbackend_numba.kernels.gemm import Matrix, packed, product
from kbackend_numba.native import native
from tests.engines.numba.test_targets import TARGETS

SIZES = (0, 1, 3, 14, 17, 33, 80)


def garbage(specs):
    """Scratch with contents that no kernel may use."""
    return [np.full(spec.shape, np.nan, spec.dtype) for spec in specs]


def stacked(rng, stack, rows, columns, transposed, dtype):
    """Random matrices, and how they lie in array 0."""
    outer, inner = stack
    size = rows * columns
    if transposed:
        x = rng.standard_normal((outer, inner, columns, rows)).astype(dtype)
        return x, x.swapaxes(2, 3), Matrix(0, 1, rows, 0, inner * size, size)
    x = rng.standard_normal((outer, inner, rows, columns)).astype(dtype)
    return x, x, Matrix(0, columns, 1, 0, inner * size, size)


def check(m, n, k, stack=(1, 1), x_t=False, y_t=False, dtype="float32", **options):
    """Compares with NumPy in float64."""
    rng = np.random.default_rng(m + n + k)
    x, left, a = stacked(rng, stack, m, k, x_t, dtype)
    y, right, b = stacked(rng, stack, k, n, y_t, dtype)
    out, _, c = stacked(rng, stack, m, n, False, dtype)
    wanted = left.astype("float64") @ right.astype("float64")
    if options.get("add"):
        wanted += out
    else:
        out[...] = np.nan
    before, b = [], b._replace(array=2)
    if options.pop("pack", False):
        first = packed(k, n, b, scratch=3, stack=stack, dtype=dtype)
        before, b, scratch = [*first.calls], first.matrix, [*first.scratch]
    else:
        scratch = []
    made = product(
        (m, n, k), a._replace(array=1), b, c, scratch=3 + len(scratch), stack=stack, dtype=dtype,
        **options,
    )  # fmt: skip
    kernel = native([*before, *made.calls], [*scratch, *made.scratch])
    kernel.run(out, x, y, *garbage(kernel.scratch))
    # Sums of k products of numbers around 1, each rounded; vectors of two numbers, as ARM has them
    # in float64, add up half of these one after the other.
    unit = np.finfo(dtype).eps
    np.testing.assert_allclose(out, wanted, rtol=0, atol=16 * unit * max(k, 1) ** 0.75 + 4 * unit)


@pytest.mark.parametrize("m", SIZES)
@pytest.mark.parametrize("n", SIZES)
def test_sizes(m, n):
    for k in (0, 1, 5, 300):
        check(m, n, k)


@pytest.mark.parametrize("x_t", [False, True])
@pytest.mark.parametrize("y_t", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layouts(x_t, y_t, dtype):
    check(33, 47, 600, (1, 1), x_t, y_t, dtype)
    check(17, 33, 19, (3, 2), x_t, y_t, dtype)
    check(17, 32, 19, (2, 5), x_t, y_t, dtype, add=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_first_matrices_whose_numbers_are_far_apart(dtype):
    check(300, 290, 70, x_t=True, dtype=dtype)
    check(520, 270, 600, (2, 1), x_t=True, dtype=dtype, add=True)
    check(37, 256, 1024, dtype=dtype)
    check(64, 400, 2048, y_t=True, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("y_t", [False, True])
def test_few_rows(y_t, dtype):
    for m in (1, 2, 3, 4, 6):
        for n, k in ((1, 70), (10, 33), (130, 7), (515, 40), (3, 20000)):
            check(m, n, k, y_t=y_t, dtype=dtype)
            check(m, n, k, (2, 1), y_t=y_t, dtype=dtype, add=True)


@pytest.mark.parametrize("x_t", [False, True])
def test_one_column(x_t):
    for m in (2, 17, 300):
        check(m, 1, 90, x_t=x_t)
        check(m, 1, 90, (2, 3), x_t=x_t, add=True)
        check(m, 1, 90, x_t=x_t)


@pytest.mark.parametrize("y_t", [False, True])
def test_packed_beforehand(y_t):
    check(33, 47, 600, (2, 3), y_t=y_t, pack=True)
    check(5, 10, 60, y_t=y_t, pack=True, add=True)
    check(5, 32, 60, (1, 3), y_t=y_t, pack=True)


@pytest.mark.parametrize(("triple", "features"), TARGETS)
def test_other_processors(triple, features):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = describe(triple, "", features)
    rows = (target.registers - 4) // 2

    def compiles(write):
        def module():
            code = Code("kernel", target)
            write(code)
            return code.finish()

        assert object_code(module, target)

    for along, packing in itertools.product(("rows", "columns", ""), ("rows", "columns", "", None)):
        form = Form(
            rows=rows, two_heights=packing == "", vectors=2, along=along, copied=packing == "rows",
            asking=packing is None, packing=packing, tail=along == "", padded=packing is not None,
            resumes=packing == "", sweeps=along == "rows", dtype="float32",
        )  # fmt: skip
        compiles(lambda code, form=form: write_product(code, form))
    compiles(lambda code: write_inner(code, 2, "float64"))
