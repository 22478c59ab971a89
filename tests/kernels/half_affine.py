"""An affine layer in bfloat16 by NumPy and ml_dtypes: two ways that look alike.

cnnx audit --kernel tests/kernels/half_affine.py
"""

import ml_dtypes

from cnnx.audit import kernel


def in_single(x, weight, bias):
    y = x.astype("float32") @ weight.T.astype("float32") + bias.astype("float32")
    return y.astype(ml_dtypes.bfloat16)


def by_sum(x, weight, bias):
    return (x[:, None, :] * weight).sum(axis=2) + bias


SINGLE = kernel("affine", in_single, dtype="bfloat16", accumulator="float32")
SUM = kernel("affine", by_sum, dtype="bfloat16", accumulator="float32")
