"""Linear algebra on stacks of matrices, written once for NumPy and CuPy."""

from __future__ import annotations

from math import prod
from typing import Any

from kbackend.engine.interface import Kernel

# Beyond this size triangular systems are split in two.
_SOLVE_BLOCK = 64
# Columns that LU eliminates one by one before it updates the rest with one product.
_LU_BLOCK = 32


def kernels(xp: Any) -> dict[str, Kernel]:
    """The kernels of the family for the array module `xp`."""

    def wide(x: Any) -> Any:
        """x in a dtype that the linear algebra libraries take."""
        return x if x.dtype in (xp.float64, xp.complex64, xp.complex128) else x.astype(xp.float32)

    def like(x: Any, *outs: Any) -> tuple[Any, ...]:
        return tuple([out if out.dtype == x.dtype else out.astype(x.dtype) for out in outs])

    def cholesky(x: Any) -> Any:
        return like(x, xp.linalg.cholesky(wide(x)))[0]

    def solve_upper(a: Any, b: Any) -> Any:
        """Solves with the upper triangle of a; what is below it must be zero."""
        size = a.shape[-1]
        if size <= _SOLVE_BLOCK:
            # Elimination finds nothing to eliminate: this is back substitution.
            return xp.linalg.solve(a, b)
        half = size // 2
        low = solve_upper(a[..., half:, half:], b[..., half:, :])
        rest = b[..., :half, :] - a[..., :half, half:] @ low
        return xp.concatenate((solve_upper(a[..., :half, :half], rest), low), axis=-2)

    def triangular_solve(a: Any, b: Any, lower: bool, transpose_a: bool) -> Any:
        upper = xp.tril(wide(a)) if lower else xp.triu(wide(a))
        if transpose_a:
            upper = upper.swapaxes(-1, -2)
        if not b.size:
            return xp.zeros_like(b)
        if lower != transpose_a:
            # Seen from the other end, a lower triangle is an upper one.
            out = solve_upper(upper[..., ::-1, ::-1], wide(b)[..., ::-1, :])[..., ::-1, :]
        else:
            out = solve_upper(upper, wide(b))
        return like(b, out)[0]

    def qr(x: Any, full_matrices: bool) -> Any:
        q, r = xp.linalg.qr(wide(x), mode="complete" if full_matrices else "reduced")
        return like(x, q, r)

    def svd(x: Any, full_matrices: bool) -> Any:
        u, s, vh = xp.linalg.svd(wide(x), full_matrices=full_matrices)
        return like(x, u, s, vh)

    def eigh(x: Any) -> Any:
        w, v = xp.linalg.eigh(wide(x), UPLO="L")
        return like(x, w, v)

    def eig(x: Any) -> Any:
        x = wide(x)
        w, v = xp.linalg.eig(x)
        dtype = xp.complex64 if x.dtype in (xp.float32, xp.complex64) else xp.complex128
        return w.astype(dtype), v.astype(dtype)

    def lu(x: Any) -> Any:
        """Gaussian elimination with row pivoting, all matrices of the stack at once."""
        rows, columns = x.shape[-2:]
        a = xp.array(wide(x)).reshape(prod(x.shape[:-2]), rows, columns)
        stack = xp.arange(a.shape[0])
        order = xp.zeros((a.shape[0], rows), dtype=xp.int32) + xp.arange(rows, dtype=xp.int32)
        for start in range(0, min(rows, columns), _LU_BLOCK):
            stop = min(start + _LU_BLOCK, rows, columns)
            for j in range(start, stop):
                pivot = xp.abs(a[:, j:, j]).argmax(axis=1) + j
                for rowwise in (a, order):
                    kept = rowwise[stack, pivot].copy()
                    rowwise[stack, pivot] = rowwise[:, j]
                    rowwise[:, j] = kept
                divisor = a[:, j, j]
                # A column of zeros is left as it is, and the zero shows in u.
                a[:, j + 1 :, j] /= xp.where(divisor == 0, 1, divisor)[:, None]
                a[:, j + 1 :, j + 1 : stop] -= a[:, j + 1 :, j, None] * a[:, j, None, j + 1 : stop]
            if stop < columns:
                corner = xp.tril(a[:, start:stop, start:stop], -1)
                corner = corner + xp.eye(stop - start, dtype=a.dtype)
                a[:, start:stop, stop:] = triangular_solve(
                    corner, a[:, start:stop, stop:], lower=True, transpose_a=False
                )
                if stop < rows:
                    a[:, stop:, stop:] -= a[:, stop:, start:stop] @ a[:, start:stop, stop:]
        return like(x, a.reshape(x.shape))[0], order.reshape(x.shape[:-1])

    def fft(real_: Any, imag_: Any, inverse: bool) -> Any:
        real, imag = wide(real_), wide(imag_)
        dtype = xp.complex128 if real.dtype == xp.float64 else xp.complex64
        z = xp.empty(real.shape, dtype=dtype)
        z.real, z.imag = real, imag
        z = xp.fft.ifft(z) if inverse else xp.fft.fft(z)
        return like(real_, xp.ascontiguousarray(z.real), xp.ascontiguousarray(z.imag))

    return {
        "cholesky": Kernel(cholesky),
        "triangular_solve": Kernel(triangular_solve),
        "qr": Kernel(qr),
        "svd": Kernel(svd),
        "eigh": Kernel(eigh),
        "eig": Kernel(eig),
        "lu": Kernel(lu),
        "fft": Kernel(fft),
    }
