#!/usr/bin/env bash
# PaddlePaddle 3.3.1, CPU: no cross entropy is larger than 64, since softmax and log_softmax cut logits off there.
#
# Logits are shifted by the largest one, and what is then below -64 counts as -64: softmax is never less than 1.6e-28, in
# float64 too, where 1e-304 is meant, and log_softmax of 0 beside 200 is -64. So the cost of a class that is 70, 200 or
# 1000 below another is the same, though its gradient is that of the cost that is not cut off: a check by differences
# fails.
#
# Seen with Python 3.11 on x86-64:
#   0 beside 60: log_softmax -60, cross entropy 60, softmax in float64 8.8e-27
#   0 beside 70: log_softmax -64, cross entropy 64, softmax in float64 1.6e-28
#   0 beside 200: log_softmax -64, cross entropy 64, softmax in float64 1.6e-28
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

found = {}
for other in (60, 70, 200):
    logits = paddle.to_tensor(np.array([[0, other]], "float32"))
    logarithm = float(functional.log_softmax(logits, axis=1)[0, 0])
    cost = float(functional.cross_entropy(logits, paddle.to_tensor(np.array([0]))))
    share = float(functional.softmax(logits.astype("float64"), axis=1)[0, 0])
    found[other] = (round(logarithm, 3), round(cost, 3))
    print(f"0 beside {other}: log_softmax {logarithm:g}, cross entropy {cost:g}, softmax in float64 {share:.1e}")
raise SystemExit(not (found == {60: (-60, 60), 70: (-64, 64), 200: (-64, 64)} and 1.6e-28 < share < 1.7e-28))
PYTHON
