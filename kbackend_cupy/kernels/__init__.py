"""Kernels that CuPy needs in place of the shared ones: where it lacks, differs from or beats them.

Each file has `kernels(cp, ...)`, closed over the module `cupy`, so that importing it needs no CuPy.
"""
