"""CUDA text: what regions and prepared kernels become. Nothing here needs CuPy."""
