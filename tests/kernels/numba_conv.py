"""A convolution and ReLU by numba: channels last, the result returned, one stride for rows and columns.

cnnx audit --kernel tests/kernels/numba_conv.py
"""

import numba
import numpy as np

from cnnx.audit import kernel


@numba.njit
def conv(image, weight, bias, step, top, left, out_rows, out_columns):
    count, rows, columns, channels = image.shape
    height, width, _, outputs = weight.shape
    result = np.empty((count, out_rows, out_columns, outputs), image.dtype)
    for n, p, q, k in np.ndindex(result.shape):
        total = bias[k]
        for r in range(height):
            for s in range(width):
                h, w = step * p + r - top, step * q + s - left
                if 0 <= h < rows and 0 <= w < columns:
                    for c in range(channels):
                        total += image[n, h, w, c] * weight[r, s, c, k]
        result[n, p, q, k] = max(total, image.dtype.type(0))
    return result


NHWC = kernel(
    "conv2d",
    conv,
    layouts={"x": "NHWC", "weight": "HWIO", "y": "NHWC"},
    arguments=["x", "weight", "bias", "int(stride)", "p_h", "p_w", "P", "Q"],
    tail=["relu"],
)
