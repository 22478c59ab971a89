#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU: LRN's bias is cut to a whole number, and of an even size a neighbour is missing.
#
# LRN divides each channel by (bias + alpha / size * the sum of its neighbours' squares) ** beta. A bias of 1.9 counts as
# 1, one of 0.5 as 0, so that a channel of zeros among zeros becomes NaN. ONNX's window has floor((size - 1) / 2) channels
# before and ceil((size - 1) / 2) behind; of 2 OpenVINO takes the channel alone, though it divides by 2. AlexNet's bias
# of 2 and GoogLeNet's of 1, over 5 channels, are right.
#
# Seen with Python 3.11 on x86-64:
#   bias 0.5 counts as 0
#   bias 1 counts as 1
#   bias 1.9 counts as 1
#   bias 2 counts as 2
#   bias 0.5, of zeros: nan
#   size 2, the sums of squares of 1, 2, 3: [1, 4, 9] (ONNX: [5, 13, 9])
#   size 3, the sums of squares of 1, 2, 3: [5, 14, 13] (ONNX: [5, 14, 13])
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.1 onnx==1.23.2 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import openvino
from onnx import TensorProto, helper

core = openvino.Core()


def lrn(values, size, bias):
    x = np.array(values, "float32").reshape(1, -1, 1, 1)
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=float(size), beta=1.0, bias=float(bias))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in "xy"]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings).create_infer_request()
    request.infer({"x": x})
    return x.ravel(), np.array(request.get_output_tensor(0).data).ravel()


def rounded(numbers):
    return [round(float(n), 2) for n in numbers]


counted = {}
for bias in (0.5, 1, 1.9, 2):
    x, y = lrn([1, 2, 3], 1, bias)  # y = x / (bias + x^2)
    counted[bias] = rounded(x / y - x**2)
    print(f"bias {bias} counts as {counted[bias][0]:g}")
zero = lrn([0, 0, 0], 1, 0.5)[1][0]
print(f"bias 0.5, of zeros: {zero}")
sums = {}
for size in (2, 3):
    x, y = lrn([1, 2, 3], size, 1)
    sums[size] = rounded(x / y - 1)
    before, behind = (size - 1) // 2, size // 2
    right = [sum(float(v) ** 2 for v in x[max(0, c - before) : c + behind + 1]) for c in range(3)]
    print(f"size {size}, the sums of squares of 1, 2, 3: {[*map(round, sums[size])]} (ONNX: {[*map(round, right)]})")
still = counted == {0.5: [0] * 3, 1: [1] * 3, 1.9: [1] * 3, 2: [2] * 3} and np.isnan(zero)
raise SystemExit(not (still and sums == {2: [1, 4, 9], 3: [5, 14, 13]}))
PYTHON
