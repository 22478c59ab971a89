"""The same kernels in Cython: typed, without the GIL, parallel."""
