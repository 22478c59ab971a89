"""Kernels with contracts as variables of a module, which another process can import."""

import numpy as np
from foreign import GEOMETRY, NHWC, conv

from cnnx.audit import audit, kernel

OVER_THERE = kernel("conv2d", conv, layouts=NHWC, arguments=["x", "weight", *GEOMETRY], name="over there")
SEVERAL = [
    kernel("relu", lambda x: np.maximum(x, 0), name="right"),
    kernel("relu", lambda d, x: d * (x > 0), gradients="x", name="slope"),
]

if __name__ == "__main__":
    print(audit(backend=OVER_THERE, isolated=True, checks=["bound"], cases=["plain"]))
