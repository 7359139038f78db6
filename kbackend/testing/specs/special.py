"""Specs of scans, sorts, random bits and linear algebra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kbackend.core import lang
from kbackend.testing.opspec import FLOAT32_64, FLOATS, NUMBERS, OpSpec, Sample

Rng = np.random.Generator


def _scan_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.uniform(0.5, 1.5, (3, 4, 2))
    return [
        Sample((x,), {"axis": 1, "reverse": False}), Sample((x,), {"axis": 0, "reverse": True}),
        Sample((x[:0],), {"axis": 0, "reverse": False}),
    ]  # fmt: skip


def _scan(fn: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Any, axis: int, reverse: bool) -> Any:
        wide = np.asarray(x, dtype="float64") if np.asarray(x).dtype.kind not in "iu" else x
        if reverse:
            return np.flip(fn(np.flip(wide, axis), axis), axis)
        return fn(wide, axis)

    return reference


def _sort_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.permutation(24).reshape(2, 3, 4) / 4.0
    return [Sample((x,), {"axis": 2}), Sample((x,), {"axis": 0}), Sample((x[:0],), {"axis": 1})]


def _argsort(x: Any, axis: int) -> Any:
    return np.argsort(x, axis, kind="stable").astype("int32")


def _search_samples(rng: Rng) -> Sequence[Sample]:
    line, values = np.array([0.0, 1.0, 1.0, 2.5]), np.array([[1.0, 3.0], [-1.0, 2.0]])
    return [Sample((line, values), {"side": side}) for side in ("left", "right")]


def _top_k(x: Any, k: int) -> Any:
    order = np.argsort(-np.asarray(x, dtype="float64"), axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(x, order, -1), order.astype("int32")


def _top_k_samples(rng: Rng) -> Sequence[Sample]:
    x = rng.permutation(24).reshape(2, 12) / 4.0
    return [Sample((x,), {"k": k}) for k in (1, 3, 12)]


# ----- random bits, by the specification in docs/design/random.md -----

_MASK = (1 << 64) - 1


def _philox_block(seed: int, counter: int, number: int) -> list[int]:
    c = [number, counter, 0, 0]
    k = [seed, 0x6B6261636B656E64]
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 1 << 64)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], 1 << 64)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B97F4A7C15) & _MASK, (k[1] + 0xBB67AE8584CAA73B) & _MASK]
    return c


def _random_bits(state: Any, shape: Any, width: int) -> Any:
    count = int(np.prod(shape)) * width // 32
    words: list[int] = []
    while len(words) * 2 < count:
        words += _philox_block(int(state[0]), int(state[1]), len(words) // 4 + 1)
    raw = np.array(words, dtype="<u8").view(f"<u{width // 8}").astype(f"uint{width}")
    return raw[: int(np.prod(shape))].reshape(shape)


def _bits_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample((np.array(state, "uint32"),), {"shape": shape, "width": width})
        for state in ((0, 0), (7, 3), (2**32 - 1, 2**32 - 1))
        for shape, width in (((3, 5), 32), ((7,), 64), ((0,), 32))
    ]


# ----- linear algebra -----


def _matrices(rng: Rng, *shape: int) -> Any:
    """Well conditioned matrices: random ones with a strong diagonal."""
    x = rng.standard_normal(shape)
    return x + 3.0 * np.eye(shape[-2], shape[-1])


def _square(rng: Rng) -> Sequence[Sample]:
    return [Sample((_matrices(rng, 3, 3),)), Sample((_matrices(rng, 2, 4, 4),))]


def _positive(rng: Rng) -> Sequence[Sample]:
    made = [_matrices(rng, 3, 3), _matrices(rng, 2, 4, 4)]
    return [Sample((x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1]),)) for x in made]


def _tall(rng: Rng) -> Sequence[Sample]:
    return [
        Sample((_matrices(rng, *shape),), {"full_matrices": False}) for shape in ((4, 3), (2, 3, 3))
    ]


def _triangular_samples(rng: Rng) -> Sequence[Sample]:
    a, b = _matrices(rng, 2, 3, 3), rng.standard_normal((2, 3, 2))
    return [
        Sample((np.tril(a) if lower else np.triu(a), b), {"lower": lower, "transpose_a": turned})
        for lower in (True, False)
        for turned in (True, False)
    ]


def _triangular(a: Any, b: Any, lower: bool, transpose_a: bool) -> Any:
    return np.linalg.solve(np.swapaxes(a, -1, -2) if transpose_a else a, b)


def _lu(x: Any) -> Any:
    """Elimination with the greatest element of the column as pivot, matrix by matrix."""
    packed = np.array(x)
    rows = np.zeros(packed.shape[:-1], "int32")
    for place in np.ndindex(packed.shape[:-2]):
        a, p = packed[place], np.arange(packed.shape[-2], dtype="int32")
        for j in range(min(a.shape)):
            best = j + int(np.argmax(np.abs(a[j:, j])))
            a[[j, best]] = a[[best, j]]
            p[[j, best]] = p[[best, j]]
            a[j + 1 :, j] /= a[j, j]
            a[j + 1 :, j + 1 :] -= np.outer(a[j + 1 :, j], a[j, j + 1 :])
        rows[place] = p
    return packed, rows


def _fft_samples(rng: Rng) -> Sequence[Sample]:
    return [
        Sample((rng.standard_normal((2, n)), rng.standard_normal((2, n))), {"inverse": inverse})
        for n in (8, 5)
        for inverse in (False, True)
    ]


def _fft(real: Any, imag: Any, inverse: bool) -> Any:
    z = np.asarray(real, "float64") + 1j * np.asarray(imag, "float64")
    out = np.fft.ifft(z) if inverse else np.fft.fft(z)
    return out.real, out.imag


def _up_to_signs(found: Any, expected: Any) -> None:
    """Factors are unique only up to the signs of columns."""
    for f, e in zip(found, expected, strict=True):
        tolerance = 1e-10 if e.dtype == np.float64 else 2e-4
        np.testing.assert_allclose(np.abs(f), np.abs(e), rtol=tolerance, atol=tolerance)


def _same_eigenvalues(found: Any, expected: Any) -> None:
    """Eigenvalues of a general matrix come in any order."""
    tolerance = 1e-9 if found[0].dtype == np.complex128 else 1e-3
    # Rounded before they are sorted: conjugate pairs have the same real part but for the last bit.
    left, right = (np.sort_complex(np.round(x[0], 3)) for x in (found, expected))
    np.testing.assert_allclose(left, right, rtol=0, atol=2e-3)
    left, right = (np.sort(np.abs(x[0])) for x in (found, expected))
    np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


def _symmetric(x: Any) -> Any:
    axes = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    return lang.mul(lang.add(x, lang.transpose(x, axes)), 0.5)


def _squares(*factors: Any) -> list[Any]:
    return [lang.mul(x, x) for x in factors]


def _eigh_gradient(apply: Any, x: Any) -> Any:
    values, vectors = apply(_symmetric(x))
    return [values, *_squares(vectors)]


def _svd_gradient(apply: Any, x: Any) -> Any:
    u, s, vh = apply(x)
    return [s, *_squares(u, vh)]


# Factorizations of matrices of some elements lose a few digits more than one operation.
_FACTORED = 50.0

SPECS = [
    OpSpec("cumsum", _scan(np.cumsum), _scan_samples, (*FLOAT32_64, "int32"), 2, tolerance=4),
    OpSpec("cumprod", _scan(np.cumprod), _scan_samples, (*FLOAT32_64, "int32"), 2, tolerance=4),
    OpSpec("sort", lambda x, axis: np.sort(x, axis), _sort_samples, NUMBERS, 2),
    OpSpec("argsort", _argsort, _sort_samples, NUMBERS),
    OpSpec(
        "searchsorted", lambda a, v, side: np.searchsorted(a, v, side).astype("int32"),
        _search_samples, (*FLOAT32_64, "int32"),
    ),
    OpSpec("top_k", _top_k, _top_k_samples, (*FLOATS, "int32"), 2),
    OpSpec("random_bits", _random_bits, _bits_samples, ("uint32",), fixed=frozenset([0])),
    OpSpec(
        "cholesky", np.linalg.cholesky, _positive, FLOAT32_64, 2, tolerance=_FACTORED,
        differentiate=lambda apply, x: apply(_symmetric(x)),
    ),
    OpSpec(
        "triangular_solve", _triangular, _triangular_samples, FLOAT32_64, 2, tolerance=_FACTORED
    ),
    OpSpec("qr", lambda x, full_matrices: tuple(np.linalg.qr(x)), _tall, FLOAT32_64, 2,
           compare=_up_to_signs),
    OpSpec("svd", lambda x, full_matrices: tuple(np.linalg.svd(x, full_matrices=False)), _tall,
           FLOAT32_64, 2, compare=_up_to_signs, differentiate=_svd_gradient),
    OpSpec("eigh", lambda x: tuple(np.linalg.eigh(x)), _positive, FLOAT32_64, 2,
           compare=_up_to_signs, differentiate=_eigh_gradient),
    OpSpec("eig", lambda x: tuple(np.linalg.eig(x.astype(complex))), _square, FLOAT32_64,
           compare=_same_eigenvalues),
    OpSpec("lu", _lu, _square, FLOAT32_64, 2, tolerance=_FACTORED),
    OpSpec("fft", _fft, _fft_samples, FLOAT32_64, 2, tolerance=_FACTORED),
]  # fmt: skip
