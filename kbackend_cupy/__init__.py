"""The CuPy engine: the array-module kernels on an NVIDIA GPU."""
