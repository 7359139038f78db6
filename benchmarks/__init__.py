"""The benchmark suite: engines of kbackend beside Keras and PyTorch, `python -m benchmarks`.

Imports within the suite are relative: in the source tree the package is called `benchmarks`, in the
wheel `kbackend_bench`, and `kbackend bench` finds either. What runs inside a peer's process imports
NumPy and the peer alone, as the peer may live in an environment of its own.
"""
