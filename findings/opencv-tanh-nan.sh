#!/usr/bin/env bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93): dnn's tanh of numbers above 44 is NaN, but not the last few of them.
#
# tanh is 1 there. The vectorised loop divides exp(2x) - 1 by exp(2x) + 1, and exp(2x) is infinite from 44.3 on; what is
# left at the end of an array, fewer numbers than a vector has, is computed by the C library and right: one
# number gives 1, eight give NaN. Far below zero nothing is wrong. (Of the same in its GELU is opencv/opencv's pull request
# 28836.)
#
# Seen with Python 3.11 on x86-64 (AVX-512):
#   tanh(44) among 16: 1.0
#   tanh(45) among 16: nan
#   tanh(-45) among 16: -1.0
#   tanh(100) of 1: 0 NaN, the last is 1.0
#   tanh(100) of 8: 8 NaN, the last is nan
#   tanh(100) of 17: 16 NaN, the last is 1.0
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 onnx==1.23.2 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
from onnx import TensorProto, helper


def tanh(*values):
    x = np.array([values], "float32")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    net.setInput(x, "x")
    return net.forward()[0]


for value in (44, 45, -45):
    print(f"tanh({value}) among 16: {tanh(*[value] * 16)[0]}")
rows = {n: tanh(*[100] * n) for n in (1, 8, 17)}
for n, row in rows.items():
    print(f"tanh(100) of {n}: {np.isnan(row).sum()} NaN, the last is {row[-1]}")
still = tanh(*[44] * 16)[0] == 1 and np.isnan(tanh(*[45] * 16)[0]) and tanh(*[-45] * 16)[0] == -1
raise SystemExit(not (still and [int(np.isnan(row).sum()) for row in rows.values()] == [0, 8, 16]))
PYTHON
