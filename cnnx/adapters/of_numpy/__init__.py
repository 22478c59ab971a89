"""NumPy as a back end: convolution by im2col and a matrix product, pooling by windows, the rest array by array."""

from . import convolution, layers, pooling, resizing
from ._set import KERNELS

__all__ = ["KERNELS", "convolution", "layers", "pooling", "resizing"]
