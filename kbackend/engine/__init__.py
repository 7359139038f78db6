"""The engine seam: what an engine is, how one is found, and kernels written once for array modules."""
