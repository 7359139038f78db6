"""Mixed precision: 16-bit computation with 32-bit weights, under its names in Keras.

>>> Policy("mixed_bfloat16").compute_dtype
'bfloat16'
"""

from kbackend.optimizers import LossScaleOptimizer
from kbackend.state.dtype_policy import DTypePolicy, dtype_policy, set_dtype_policy

# The names of earlier years.
Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__all__ = [
    "DTypePolicy", "LossScaleOptimizer", "Policy", "dtype_policy", "global_policy",
    "set_dtype_policy", "set_global_policy",
]  # fmt: skip
