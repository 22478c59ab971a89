#!/usr/bin/env bash
# MLX 0.32.4, CPU: the gradients of nn.elu and nn.selu are NaN for 89 and more, where they are 1 and 1.05.
#
# Both are where(x > 0, x, exp(x) - 1): forward the branch that is not taken does no harm, backward it gives 0 times
# infinity, since exp(x) overflows. nn.celu, the same function at alpha 1, is right: it cuts the branch off at 0. One
# activation of 89 makes all gradients before it NaN.
#
# Seen with Python 3.11 on x86-64 (mlx-cpu 0.32.4):
#   x        elu's gradient  selu's  celu's
#   88.0     1.0             1.05    1.0
#   89.0     nan             nan     1.0
#   1000.0   nan             nan     1.0
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'mlx[cpu]==0.32.4' mlx-cpu==0.32.4 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import math

import mlx.core as mx
from mlx import nn

mx.set_default_device(mx.cpu)
PLACES = (88.0, 89.0, 1000.0)


def gradients(function):
    return mx.grad(lambda x: function(x).sum())(mx.array(PLACES)).tolist()


elu, selu, celu = gradients(nn.elu), gradients(nn.selu), gradients(nn.celu)
print("x        elu's gradient  selu's  celu's")
for place, *row in zip(PLACES, elu, selu, celu):
    print("{:<8} {:<15.3} {:<7.3} {:.3}".format(place, *row))
still = elu[0] == 1 and 1.05 < selu[0] < 1.06 and celu == [1.0] * 3
raise SystemExit(not (still and all(map(math.isnan, elu[1:] + selu[1:]))))
PYTHON
