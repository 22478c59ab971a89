"""SciPy's correlations of one image with one kernel: the one for images, and the one that chooses its algorithm.

cnnx audit --kernel tests/kernels/scipy_correlate.py
"""

import scipy.ndimage
import scipy.signal

from cnnx.audit import kernel


def ndimage(image, weight):
    rows, columns = weight.shape[2:]
    y = scipy.ndimage.correlate(image[0, 0], weight[0, 0], mode="constant", origin=(-(rows // 2), -(columns // 2)))
    return y[None, None, : y.shape[0] - rows + 1, : y.shape[1] - columns + 1]


def signal(image, weight):
    return scipy.signal.correlate(image[0, 0], weight[0, 0], mode="valid")[None, None]


ONE = {"N": 1, "C": 1, "K": 1}
NDIMAGE = kernel("conv2d", ndimage, arguments=["x", "weight"], accumulator="float64", only=ONE)
SIGNAL = kernel("conv2d", signal, arguments=["x", "weight"], only=ONE)
