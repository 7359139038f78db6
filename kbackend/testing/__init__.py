"""For those who test: gradient checks, the specs of all primitives, the suite for engines."""

from kbackend.testing.conformance import conformance_cases, run_conformance
from kbackend.testing.gradients import check_grads
from kbackend.testing.opspec import OpSpec, Sample
from kbackend.testing.specs import SPECS

__all__ = ["SPECS", "OpSpec", "Sample", "check_grads", "conformance_cases", "run_conformance"]
