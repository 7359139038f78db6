"""The Numba engine: kernels compiled for this machine's CPU, run by threads of their own."""
