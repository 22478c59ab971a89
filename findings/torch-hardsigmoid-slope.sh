#!/usr/bin/env bash
# PyTorch 2.13.0, CPU: hardsigmoid of float64 has a gradient of float32's 1/6.
#
# hardsigmoid(x) = min(max(x + 3, 0), 6) / 6, so that its slope within (-3, 3) is 1/6. The forward pass of a float64
# tensor is right to the last bit; its gradient is 0.1666666716337204, the float32 next to 1/6, 3e-8 off. hardswish,
# which has the same sixth in it, is right in both. A gradient check with tolerances made for float64 fails on it, one
# with torch.autograd.gradcheck's default ones does not notice.
#
# Seen with Python 3.11 on x86-64 (AVX-512):
#   forward 0.5833333333333334 (3.5/6 is 0.5833333333333334)
#   gradient 0.1666666716337204 (1/6 is 0.16666666666666666, float32's 0.1666666716337204)
#   gradcheck notices: False
#   hardswish's gradient 0.6666666666666666 (4/6 is 0.6666666666666666)
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import torch
from torch.nn.functional import hardsigmoid, hardswish


def slope(function):
    x = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    y = function(x)
    y.backward()
    return y.item(), x.grad.item()


y, found = slope(hardsigmoid)
_, swish = slope(hardswish)
single = float(np.float32(1 / 6))
noticed = not torch.autograd.gradcheck(hardsigmoid, torch.tensor([0.5], dtype=torch.float64, requires_grad=True))
print(f"forward {y} (3.5/6 is {3.5 / 6})")
print(f"gradient {found} (1/6 is {1 / 6}, float32's {single})")
print(f"gradcheck notices: {noticed}")
print(f"hardswish's gradient {swish} (4/6 is {4 / 6})")
raise SystemExit(noticed or not (y == 3.5 / 6 and found == single != 1 / 6 and abs(swish - 4 / 6) < 1e-15))
PYTHON
