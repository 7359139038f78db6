"""The vocabulary: every primitive and its binder. Rules are in `kbackend/prim`, kernels in engines.

Binders take Tensors of one dtype (elementwise ones broadcast, and take a Python scalar beside a
tensor) and do no promotion: that is the business of `operators` and of `kbackend.ops`.
Axes are non-negative and, in tuples, sorted.
"""

# ruff: noqa: F403 - the four files are one vocabulary
from kbackend.core.lang.array import *
from kbackend.core.lang.constants import lift as lift
from kbackend.core.lang.constants import lift_as as lift_as
from kbackend.core.lang.contract import *
from kbackend.core.lang.elementwise import *
from kbackend.core.lang.special import *
