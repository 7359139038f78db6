"""What holds for every test and doctest: settings of their own, and everything put back after."""

import os
import tempfile
import zlib
from collections.abc import Generator, Iterator
from typing import Any

import pytest

# Before anything reads them: the settings of the user who runs the tests must decide nothing. Real
# Keras, the oracle, reads both variables when it is imported; `jax` names no engine of ours.
_home = tempfile.TemporaryDirectory(prefix="kbackend-tests-")
os.environ["KERAS_HOME"] = _home.name
os.environ["KERAS_BACKEND"] = "jax"
# On a GPU it would multiply with numbers of TF32.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
for _name in ("KBACKEND", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
    os.environ.pop(_name, None)

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers share the cores: BLAS with a thread for each core in each of them waits for itself.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402

from kbackend.base import config, flags, naming  # noqa: E402
from kbackend.engine import loader  # noqa: E402
from kbackend.state import dtype_policy  # noqa: E402
from kbackend.state.seed import set_random_seed  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--engine cupy` runs the tests on another engine than NumPy, where they choose none."""
    parser.addoption("--engine", metavar="NAME", help="the engine of tests that choose none")


def pytest_configure(config: pytest.Config) -> None:
    """Chooses the engine, for processes that tests start as well."""
    engine = config.getoption("--engine")
    if engine:
        os.environ["KBACKEND"] = engine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that is marked with its engine runs on it, whatever `--engine` says."""
    marker = item.get_closest_marker("engine")
    with pytest.MonkeyPatch.context() as patch:
        if marker and item.config.getoption("--engine"):
            patch.setenv("KBACKEND", *marker.args)
            # What was done since the last test may have chosen another one.
            loader.reset()
        return (yield)


@pytest.fixture(autouse=True)
def _isolated(request: pytest.FixtureRequest) -> Iterator[None]:
    """Seeds from the test's name; settings, switches and engine put back afterwards."""
    # Seeds Python's and NumPy's global generators as well.
    set_random_seed(zlib.crc32(request.node.nodeid.encode()))
    naming.reset_uids()
    yield
    dtype_policy.set_dtype_policy(None)
    for name in loader.registered_engines():
        loader.unregister_engine(name)
    loader.reset()
    config.reset()
    flags.reset()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded from the test's name."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace["np"] = np
