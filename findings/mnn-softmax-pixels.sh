#!/usr/bin/env bash
# MNN 3.6.1, CPU: a softmax over the channels of each pixel is 1/2 and 1/2 for logits of 100 and 94.5.
#
# Softmax shifts the largest logit to 0 before it takes exponentials. Along the last axis MNN does so; where more axes
# follow, as behind every network that names a class for each pixel, it does not: exp is cut off near 88, so that logits
# beyond it, or far below zero, all count alike. 10 and 4.5 are right. Nothing is said.
#
# Seen with Python 3.11 on x86-64 (AVX-512), precision "high":
#   logits 10, 4.5: last axis 0.9959 0.0041, channels of an image 0.9959 0.0041
#   logits 100, 94.5: last axis 0.9959 0.0041, channels of an image 0.5000 0.5000
#   logits -100, -105.5: last axis 0.9959 0.0041, channels of an image 0.5000 0.5000
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mnn==3.6.1 onnx==1.23.2 numpy==2.4.6

cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' | grep '^logits'
import _tools  # of the distribution MNN; to import MNN.tools is to run pip
import MNN
import numpy as np
from onnx import TensorProto, helper, save


def softmax(x):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"], axis=1)], "g", ends[:1], ends[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "node.onnx")
    _tools.mnnconvert(
        ["mnnconvert", "-f", "ONNX", "--modelFile", "node.onnx", "--MNNModel", "node.mnn", "--bizCode", "x"]
    )
    runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": 1, "precision": "high"},))
    net = MNN.nn.load_module_from_file("node.mnn", ["x"], ["y"], runtime_manager=runtime)
    given = MNN.expr.const(x, list(x.shape), MNN.expr.NCHW)
    return np.array(MNN.expr.convert(net.onForward([given])[0], MNN.expr.NCHW).read())


still = True
for first, second, right in ((10, 4.5, True), (100, 94.5, False), (-100, -105.5, False)):
    logits = np.array([[first, second]], "float32")
    last = softmax(logits)[0]
    image = softmax(np.ascontiguousarray(np.broadcast_to(logits[:, :, None, None], (1, 2, 3, 3))))[0, :, 1, 1]
    numbers = [" ".join(f"{p:.4f}" for p in pair) for pair in (last, image)]
    print(f"\nlogits {first}, {second}: last axis {numbers[0]}, channels of an image {numbers[1]}", flush=True)
    still &= abs(last[0] - 0.9959) < 1e-3 and abs(image[0] - (0.9959 if right else 0.5)) < 1e-3
raise SystemExit(not still)
PYTHON
