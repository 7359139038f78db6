"""Einstein summation against NumPy, its plans and its errors."""

import numpy as np
import pytest

from kbackend import ops
from kbackend.autodiff import GradientTape
from kbackend.core.convert import to_tensor
from kbackend.ops.keras_tensor import KerasTensor

CASES = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,jk->ki", (2, 3), (3, 4)),
    ("abc,cd->abd", (2, 3, 4), (4, 5)),
    ("abc,cde->abde", (2, 3, 4), (4, 5, 6)),
    ("aecd,abcd->acbe", (2, 3, 4, 5), (2, 6, 4, 5)),
    ("acbe,aecd->abcd", (2, 4, 6, 3), (2, 3, 4, 5)),
    ("...x,xy->...y", (2, 3, 4), (4, 5)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 6)),
    ("i,i->", (4,), (4,)),
    ("i,i->i", (4,), (4,)),
    ("i,j->ij", (4,), (3,)),
    ("i,j->ji", (4,), (3,)),
    ("ij,ij->", (3, 4), (3, 4)),
    ("ij,ij->j", (3, 4), (3, 4)),
    ("ij,kl->jl", (2, 3), (4, 5)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bij,kj->bki", (2, 3, 4), (5, 4)),
    ("bij,bj->b", (2, 3, 4), (2, 4)),
    ("bij,bjk->ikb", (2, 3, 4), (2, 4, 5)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iij->j", (3, 3, 4)),
    ("iji->ij", (3, 4, 3)),
    ("ij->ji", (3, 4)),
    ("ij->", (3, 4)),
    ("ij->i", (3, 4)),
    ("...i->i...", (2, 3, 4)),
    ("ba", (2, 3)),
    ("ii,ij->j", (3, 3), (3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("i,ij,j->", (3,), (3, 4), (4,)),
    ("ij,jk,ki->", (2, 3), (3, 4), (4, 2)),
    ("...a,...b,ab->...", (2, 3), (2, 4), (3, 4)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("bi,bi->bi", (1, 3), (4, 3)),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("ij,k->", (2, 3), (4,)),
    ("ij,jk->ik", (0, 3), (3, 4)),
    ("ij,jk->ik", (2, 0), (0, 4)),
    ("Ij,jK->KI", (2, 3), (3, 4)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].replace(" ", ""))
def test_values_equal_numpys(case, rng):
    subscripts, *shapes = case
    xs = [rng.normal(size=shape).astype("float32") for shape in shapes]
    want = np.einsum(subscripts, *[x.astype("float64") for x in xs])
    got = ops.einsum(subscripts, *xs)
    assert got.dtype == "float32"
    assert got.shape == want.shape
    # Sums of at most a few dozen products of float32.
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].replace(" ", ""))
def test_symbolic_shapes(case, rng):
    subscripts, *shapes = case
    want = ops.einsum(subscripts, *[np.zeros(shape, "float32") for shape in shapes]).shape
    got = ops.einsum(subscripts, *[KerasTensor(shape) for shape in shapes])
    assert got.shape == want
    loose = ops.einsum(subscripts, *[KerasTensor((None,) * len(shape)) for shape in shapes])
    assert len(loose.shape) == len(want)


def test_unknown_batch_stays_unknown():
    x = KerasTensor((None, 7, 4))
    assert ops.einsum("abc,cd->abd", x, np.zeros((4, 5), "float32")).shape == (None, 7, 5)
    q, k = KerasTensor((None, None, 2, 8)), KerasTensor((None, None, 2, 8))
    assert ops.einsum("aecd,abcd->acbe", q, k).shape == (None, 2, None, None)


@pytest.mark.parametrize("case", CASES[:-4], ids=lambda case: case[0])
def test_gradients(case, rng):
    subscripts, *shapes = case
    xs = [rng.normal(size=shape) for shape in shapes]
    tensors = [to_tensor(x) for x in xs]
    weights = rng.normal(size=ops.einsum(subscripts, *xs).shape)
    with GradientTape() as tape:
        tape.watch(tensors)
        total = ops.sum(ops.multiply(ops.einsum(subscripts, *tensors), weights))
    for i, g in enumerate(tape.gradient(total, tensors)):
        # Linear in each operand, so the difference quotient is exact up to rounding.
        direction = rng.normal(size=shapes[i])
        moved = [x + direction if j == i else x for j, x in enumerate(xs)]
        rise = (np.einsum(subscripts, *moved) * weights).sum() - total.item()
        np.testing.assert_allclose((np.asarray(g) * direction).sum(), rise, rtol=1e-9, atol=1e-9)


def test_dtypes():
    low = np.ones((2, 2), "float16")
    assert ops.einsum("ij,jk->ik", low, np.ones((2, 2), "float32")).dtype == "float32"
    assert ops.einsum("ij,jk->ik", low, low).dtype == "float16"
    small = np.full((2, 300), 127, "int8")
    out = ops.einsum("ij,kj->ik", small, small)
    assert out.dtype == "int32"
    assert out.tolist() == [[127 * 127 * 300] * 2] * 2


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij->i", [(2, 3), (3, 4)], "describes 1 operands"),
        ("ijk->i", [(2, 3)], "names 3 dimensions"),
        ("ij->ik", [(2, 3)], "must occur in an operand"),
        ("ij->ii", [(2, 3)], "only once"),
        ("i1->i", [(2, 3)], "subscripts are letters"),
        ("ij,jk->ik", [(2, 3), (4, 5)], "Paired dimensions must be equal"),
    ],
)
def test_errors(subscripts, shapes, message):
    with pytest.raises(ValueError, match=message):
        ops.einsum(subscripts, *[np.zeros(shape, "float32") for shape in shapes])
