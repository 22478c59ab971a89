#!/usr/bin/env bash
# PaddlePaddle 3.3.1, CPU: the gradient of silu is NaN from -89 down, while swish, the same function, has 0.
#
# silu(z) = z sigmoid(z) is 0 there, and so is its slope, to the last bit of float32. paddle.nn.functional.silu is right
# forward; backward exp(-z) overflows and is divided by itself. At -88 the gradient is -inf. One such number in one
# activation makes all gradients before it NaN. swish takes another way. In float64 it begins at -710.
#
# Seen with Python 3.11 on x86-64:
#   z       silu      its gradient   swish's
#   -80.0   -1.4e-33  -1.4e-33       -1.4e-33
#   -88.0   -5.3e-37  -inf           -5.3e-37
#   -89.0   -0.0e+00  nan            0.0e+00
#   -1000.0 -0.0e+00  nan            0.0e+00
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet paddlepaddle==3.3.1 numpy==2.4.6

"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import paddle
from paddle.nn import functional

PLACES = (-80.0, -88.0, -89.0, -1000.0)


def slopes(function):
    x = paddle.to_tensor(np.array(PLACES, "float32"), stop_gradient=False)
    y = function(x)
    y.sum().backward()
    return y.numpy(), x.grad.numpy()


values, silu = slopes(functional.silu)
_, swish = slopes(functional.swish)
print("z       silu      its gradient   swish's")
for z, value, one, other in zip(PLACES, values, silu, swish):
    print(f"{z:<7} {value:<9.1e} {one:<14.1e} {other:.1e}")
still = np.isfinite(swish).all() and np.isfinite(values).all() and np.isneginf(silu[1]) and np.isnan(silu[2:]).all()
raise SystemExit(not (still and -1.5e-33 < silu[0] < -1.4e-33))
PYTHON
