"""Factorizations whose failures NumPy reports tersely, with the reason and the mend."""

from __future__ import annotations

import numpy as np

from kbackend.engine.array_module.linalg import kernels
from kbackend.engine.array_module.linalg_failures import explained
from kbackend.engine.interface import Kernel

KERNELS: dict[str, Kernel] = explained(kernels(np))
