"""Any test on the simulated GPU: `pytest -p tests.gpu_simulator.plugin --engine cupy PATHS`."""

from tests.gpu_simulator import process
from tests.gpu_simulator.activate import activate


def pytest_configure() -> None:
    """Puts the simulated GPU under CuPy before a test can import it."""
    if process.wanted():
        activate()
