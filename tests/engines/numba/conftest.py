"""These tests need Numba's LLVM, and keep compiled kernels in a folder of their own."""

import pytest

pytest.importorskip("llvmlite")


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Kernels that the tests compile are neither read from the user's cache nor left there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KBACKEND_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield
