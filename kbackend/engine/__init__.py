"""The engine seam: what an engine is, how it is found, and kernels shared by array modules."""
