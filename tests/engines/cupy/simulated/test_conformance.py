"""The conformance suite on the simulated GPU, as far as that can run it.

With the whole suite only the values in float32 are checked. All of it takes a quarter of an hour
where no kernel is compiled yet: KBACKEND_GPU_SIMULATOR=1 python -m pytest <this file>
"""

import pytest

from kbackend.testing import conformance_cases

SORTS = "CuPy sorts with Thrust, which is compiled in its wheel for real devices"
SOLVES = "there is no simulated cuSOLVER, nor triangular solves of cuBLAS"
# What the simulator can't run: the first words of cases -> the reason.
LEFT_OUT = {
    **dict.fromkeys(("sort", "argsort", "top_k", "scatter"), SORTS),
    **dict.fromkeys(
        ("cholesky", "eig", "eigh", "lu-gradient", "qr", "svd", "triangular_solve"), SOLVES
    ),
    "fft": "there is no simulated cuFFT",
}


def cases():
    for case in conformance_cases("cupy"):
        name = str(case)
        marks = [
            pytest.mark.skip(reason=reason)
            for words, reason in LEFT_OUT.items()
            if name.startswith(f"{words}-")
        ]
        if not name.endswith("float32-value"):
            marks.append(pytest.mark.slow)
        yield pytest.param(case, marks=marks, id=name)


@pytest.mark.parametrize("case", list(cases()))
def test_conformance(case, simulator):
    case()
