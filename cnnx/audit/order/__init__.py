"""In which order a black box sums, and in what arithmetic (`cnnx audit --order`).

The idea is that of FPRev (Xie and others, "Revealing floating-point accumulation orders", arXiv 2411.00442): of ones,
two are made M and -M, so large that what is added to them is lost. As many ones survive as are added after the two have
met, so their number says how large the smallest part of the sum is that has both. From these sizes the tree follows.

tree        the tree that sizes of common parts belong to, or that there is none
words       a tree in a line: sequential, pairwise, partial sums by stride, blocks
probe       what is probed: a convolution, an affine layer, a mean, fed with products of one's choice
arithmetic  bits of the accumulator and of the inputs; fused multiply-adds; transforms, such as Winograd's
simulate    a sum by a tree in that arithmetic, to see whether it explains sums of random numbers, bit by bit
reveal      all of it, of one op and back end: `summation_order`
"""

from .reveal import Order, SummationOrder, summation_order

__all__ = ["Order", "SummationOrder", "summation_order"]
