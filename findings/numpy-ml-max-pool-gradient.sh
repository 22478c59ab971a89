#!/usr/bin/env bash
# numpy-ml 0.1.2: with padding, the gradient of its max pooling goes to other pixels, and some of it counts several times.
#
# Pool2D.forward takes windows out of the padded images. Pool2D.backward looks for the maxima at the same rows and columns
# of the images without padding, and adds them into an array with it: masks are of windows that lie p rows below and p
# columns to the right; at the far edge, where a window has but one row or column left, its mask is repeated over the
# whole window. No error where each window has a pixel left. Padding is of zeros, too, and wins over negative numbers.
#
# Seen with Python 3.11 on x86-64, 3 x 3 with stride 2 on 5 x 5 numbers, by a difference quotient of the forward call:
#   padding 0: 0.0 is the largest error of the gradient, whose sum is 10.0 of 10.0
#   padding 1: 15.0 is the largest error of the gradient, whose sum is 95.0 of 45.0
#   negative numbers, padding 1: their maximum is 0.0
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==1.26.4 scipy==1.17.1
"$folder/venv/bin/pip" install --quiet --no-deps numpy-ml==0.1.2

"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import collections
import collections.abc

import numpy as np

collections.Hashable = collections.abc.Hashable  # which numpy-ml imports, and Python 3.10 has no longer

from numpy_ml.neural_nets.layers import Pool2D

STEP = 1e-6


def pooled(x, padding):
    layer = Pool2D((3, 3), 2, padding, "max")
    return layer, layer.forward(x)


def compared(padding):
    """The gradient's largest error, its sum, and that of the gradients which came from behind."""
    x = 1 + np.random.default_rng(0).random((1, 5, 5, 1))  # above 0, so that padding wins nowhere
    layer, y = pooled(x, padding)
    delta = np.arange(1.0, y.size + 1).reshape(y.shape)
    gradient, quotient = layer.backward(delta), np.empty_like(x)
    for index in np.ndindex(x.shape):
        costs = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved[index] += step
            costs.append((pooled(moved, padding)[1] * delta).sum())
        quotient[index] = (costs[0] - costs[1]) / (2 * STEP)
    return round(float(abs(gradient - quotient).max()), 3), float(gradient.sum()), float(delta.sum())


found = {padding: compared(padding) for padding in (0, 1)}
for padding, (error, total, expected) in found.items():
    print(f"padding {padding}: {error} is the largest error of the gradient, whose sum is {total} of {expected}")
largest = float(pooled(-np.ones((1, 5, 5, 1)), 1)[1].max())
print(f"negative numbers, padding 1: their maximum is {largest}")
raise SystemExit(not (found[0][0] == 0 and found[1][0] > 1 and found[1][1] > found[1][2] and largest == 0))
PYTHON
