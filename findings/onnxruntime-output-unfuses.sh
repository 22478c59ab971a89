#!/usr/bin/env bash
# onnxruntime 1.32.0: who looks at a value by making it an output of the graph makes onnxruntime run other kernels.
#
# With layouts on (the default level, on x86-64), HardSwish becomes part of the convolution before it. Where its value is
# an output of the graph too, as tools that compare layer by layer ask for it, convolution, HardSigmoid and Mul run one by
# one: what the fused kernel computes is never seen. An Identity behind the value, whose own value is the output, leaves
# the fusion as it is.
#
# Seen with Python 3.11 on x86-64:
#   as it is:        {'Conv': 2}
#   as an output:    {'Conv': 2, 'HardSigmoid': 1, 'Mul': 1}
#   by an Identity:  {'Conv': 2, 'Identity': 1}
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6

"$folder/venv/bin/python" - "$folder/optimised.onnx" <<'PYTHON'
import sys
from collections import Counter

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper


def kernels(more=(), outputs=("y",)):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("HardSwish", ["c"], ["h"]),
        helper.make_node("Conv", ["h", "w"], ["y"]),
        *more,
    ]
    shape = [1, 8, 12, 12]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.ones((8, 8, 3, 3), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    settings = onnxruntime.SessionOptions()
    settings.optimized_model_filepath = sys.argv[1]
    settings.log_severity_level = 4
    onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
    found = Counter(node.op_type for node in onnx.load(sys.argv[1]).graph.node)
    return {name: found[name] for name in sorted(found) if not name.startswith("Reorder")}


plain = kernels()
looked_at = kernels(outputs=("y", "h"))
by_identity = kernels([helper.make_node("Identity", ["h"], ["i"])], ("y", "i"))
print("as it is:       ", plain)
print("as an output:   ", looked_at)
print("by an Identity: ", by_identity)
assert plain == {"Conv": 2}
assert "HardSigmoid" in looked_at and "HardSigmoid" not in by_identity
PYTHON
