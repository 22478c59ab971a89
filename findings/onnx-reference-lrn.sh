#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator's LRN normalises as many channels as there are images.
#
# LRN divides each channel by a power of its neighbours' squares. The loop over channels in onnx.reference runs over the
# first axis, the batch: of one image only channel 0 is right, and in all others the sum of squares counts as 0. Where
# images are as many as channels it is right; where they are more, an IndexError.
#
# Seen with Python 3.11 on x86-64:
#   1 images: [0.0, 0.77, 1.03, 1.07], the largest error of each of 4 channels
#   4 images: [0.0, 0.0, 0.0, 0.0]
#   6 images: IndexError
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

C, SIZE, ALPHA, BETA, K = 4, 3, 0.75, 0.75, 1.0


def expected(x):
    """The operator's definition, channel by channel."""
    y = np.empty_like(x)
    for c in range(C):
        window = x[:, max(0, c - 1) : c + 2]
        y[:, c] = x[:, c] / (K + ALPHA / SIZE * (window**2).sum(axis=1)) ** BETA
    return y


def errors(images):
    """Of each channel, the evaluator's largest error; or the name of what it raises."""
    x = np.linspace(1, 2, images * C * 6).reshape(images, C, 2, 3)
    value = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, x.shape) for name in "xy"]
    node = helper.make_node("LRN", ["x"], ["y"], size=SIZE, alpha=ALPHA, beta=BETA, bias=K)
    model = helper.make_model(helper.make_graph([node], "lrn", value[:1], value[1:]))
    try:
        (y,) = ReferenceEvaluator(model).run(None, {"x": x})
    except IndexError:
        return "IndexError"
    return [round(float(abs(y - expected(x))[:, c].max()), 2) for c in range(C)]


found = {images: errors(images) for images in (1, 4, 6)}
for images, error in found.items():
    print(f"{images} images: {error}")
first, *others = found[1]
raise SystemExit(not (first == 0 and min(others) > 0.1 and found[4] == [0] * C and found[6] == "IndexError"))
PYTHON
