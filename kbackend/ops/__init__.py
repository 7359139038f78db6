"""`keras.ops`: functions on tensors, also usable on KerasTensors in functional models."""

from kbackend.ops import numpy, operators
from kbackend.ops.numpy import *

__all__ = ["numpy", *numpy.__all__]
