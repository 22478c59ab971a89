#!/usr/bin/env bash
# SciPy 1.17.1: scipy.ndimage takes weights for zero, or for symmetric, where they are small in absolute terms.
#
# correlate and convolve skip each weight that is not larger than double's epsilon, 2.2e-16, though all others are as
# small: weights of 1e-17 on data of 1e17 give 0. NaN is not larger either, and is skipped too. correlate1d and
# convolve1d skip none, but take weights for symmetric where no pair differs by more than 2.2e-16, and then use the
# left half for both sides: of the differences [-1, 0, 1] * 1e-17 the right side comes out with the wrong sign.
# gaussian_filter1d, whose weights for the n-th derivative shrink as sigma**-(n+1), gives 0 for the fifth derivative
# of a sine at sigma=600; at sigma=500 it is right. Powers of two are exact: what is scaled by 2**-60 and its data by
# 2**60 should give the same bits.
#
# Seen with Python 3.11 on x86-64:
#   correlate    weights [1, 2, 5]: 25.0, by 2**-60 and 2**60: 0.0
#   convolve     weights [1, 2, 5]: 13.0, by 2**-60 and 2**60: 0.0
#   correlate1d  weights [-1, 0, 1]: 3.0, by 2**-60 and 2**60: -5.0
#   correlate1d  weights [1, 2, 5]: 25.0, by 2**-60 and 2**60: 9.0
#   correlate    weights [1, 2, nan]: 5.0
#   gaussian_filter1d, fifth derivative, sigma 500: 0.645, by numpy.convolve 0.645
#   gaussian_filter1d, fifth derivative, sigma 600: 0.000, by numpy.convolve 0.645
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import math

import numpy as np
from scipy import ndimage

x = np.array([1.0, 2.0, 4.0])
ok = True
for filtered, weights, expected, seen in [
    (ndimage.correlate, [1.0, 2.0, 5.0], 1 * 1 + 2 * 2 + 5 * 4, 0),
    (ndimage.convolve, [1.0, 2.0, 5.0], 5 * 1 + 2 * 2 + 1 * 4, 0),
    (ndimage.correlate1d, [-1.0, 0.0, 1.0], 4 - 1, -1 - 4),
    (ndimage.correlate1d, [1.0, 2.0, 5.0], 1 * 1 + 2 * 2 + 5 * 4, 1 * 1 + 2 * 2 + 1 * 4),
]:
    name, shown = filtered.__name__, [int(w) for w in weights]
    plain = filtered(x, np.array(weights))[1]
    scaled = filtered(x * 2.0**60, np.array(weights) * 2.0**-60)[1]
    print(f"{name:12} weights {shown}: {plain}, by 2**-60 and 2**60: {scaled}")
    ok &= plain == expected and scaled == seen

dropped = ndimage.correlate(x, np.array([1.0, 2.0, math.nan]))[1]
print(f"correlate    weights [1, 2, nan]: {dropped}")
ok &= dropped == 1 * 1 + 2 * 2


def fifth(sigma):
    """In the middle of a sine, times sigma**5: what the filter gives, and the equation by numpy.convolve."""
    radius = 4 * sigma
    t = np.arange(-radius, radius + 1) / sigma
    sine = np.sin(t)
    gauss = np.exp(-t * t / 2)
    hermite = t**5 - 10 * t**3 + 15 * t  # the fifth derivative of exp(-t*t/2) is -hermite * exp(-t*t/2)
    kernel = -hermite * gauss / gauss.sum()
    return ndimage.gaussian_filter1d(sine, sigma, order=5)[radius] * sigma**5, np.convolve(sine, kernel, "same")[radius]


for sigma in (500, 600):
    found, expected = fifth(sigma)
    print(f"gaussian_filter1d, fifth derivative, sigma {sigma}: {found:.3f}, by numpy.convolve {expected:.3f}")
    right = math.isclose(found, expected, rel_tol=1e-9)
    ok &= right if sigma == 500 else found == 0
raise SystemExit(not ok)
PYTHON
