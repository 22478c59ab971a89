#!/usr/bin/env bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93): dnn pads "same" by half of the kernel, whatever the stride and the side.
#
# ONNX's auto_pad SAME_UPPER, TensorFlow's "SAME", puts as many rows and columns around an image as the windows need, the
# odd one behind; SAME_LOWER puts it before. OpenCV puts (kernel - 1) // 2 before in both. At a stride of 2 over an even
# width, as in the first layer of TensorFlow's MobileNets, a 3x3 convolution needs one column behind and none before:
# OpenCV computes all of it one pixel to the left and above, without a warning. At a stride of 1 an
# even kernel of SAME_LOWER is taken for SAME_UPPER. Maxima and averages are alike. The engines for networks, classic and
# new, agree with one another.
#
# Seen with Python 3.11 on x86-64; the first tap of a kernel that has no other, over columns 1, 2, 3, ...:
#   Conv 3 columns, stride 2, SAME_UPPER over 6: [0, 2, 4], onnxruntime [1, 3, 5]
#   Conv 3 columns, stride 2, SAME_LOWER over 6: [0, 2, 4], onnxruntime [0, 2, 4]
#   Conv 2 columns, stride 1, SAME_LOWER over 6: [1, 2, 3, 4, 5, 6], onnxruntime [0, 1, 2, 3, 4, 5]
#   Conv 3 columns, stride 2, SAME_UPPER over 7: [0, 2, 4, 6], onnxruntime [0, 2, 4, 6]
#   MaxPool 3 columns, stride 2, SAME_UPPER over 6: [2, 4, 6], onnxruntime [3, 5, 6]
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet \
    opencv-python-headless==5.0.0.93 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def both(op, k, stride, side, width):
    x = np.tile(np.arange(1, width + 1, dtype="float32"), (1, 1, width, 1))
    w = np.zeros((1, 1, k, k), "float32")
    w[0, 0, (k - 1) // 2, 0] = 1
    out = -(-width // stride)
    weights = {"w": w} if op == "Conv" else {}
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *weights], ["y"], auto_pad=side, strides=[stride] * 2, kernel_shape=[k, k])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, out, out])],
        [numpy_helper.from_array(a, name) for name, a in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    expected = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    rows = []
    for engine in (cv2.dnn.ENGINE_CLASSIC, cv2.dnn.ENGINE_NEW):
        net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8), engine=engine)
        net.setInput(x, "x")
        rows.append(net.forward()[0, 0, out // 2].astype(int).tolist())
    assert rows[0] == rows[1], "the engines differ"
    right = expected[0, 0, out // 2].astype(int).tolist()
    print(f"{op} {k} columns, stride {stride}, {side} over {width}: {rows[0]}, onnxruntime {right}")
    return rows[0], right


found = [
    both("Conv", 3, 2, "SAME_UPPER", 6),
    both("Conv", 3, 2, "SAME_LOWER", 6),
    both("Conv", 2, 1, "SAME_LOWER", 6),
    both("Conv", 3, 2, "SAME_UPPER", 7),
    both("MaxPool", 3, 2, "SAME_UPPER", 6),
]
raise SystemExit([mine == right for mine, right in found] != [False, True, False, True, False])
PYTHON
