#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator's Erf of float64 has the digits of float32.
#
# The operator takes doubles, and what comes back is of float64: but the values went through float32 on the way
# (numpy.vectorize with otypes "f"). Gelu, whose function has an Erf in it, is off in the 7th digit at -2 and in the first
# at -5, where 1 + erf cancels: a test of a float64 kernel against the standard's own evaluator then blames the kernel.
# Softplus and Sigmoid have all their digits.
#
# Seen with Python 3.11 on x86-64:
#   Erf(0.5) = 0.5204998850822449, math.erf 0.5204998778130465
#   Gelu(-5.0) = -1.4901161193847656e-06, right -1.433257859396e-06
#   Softplus(-2.0) = 0.1269280110429725, right 0.126928011042972
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import math

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def value(op, x):
    ends = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    (y,) = ReferenceEvaluator(model).run(None, {"x": np.array([x])})
    assert y.dtype == np.float64
    return float(y[0])


erf, gelu, softplus = value("Erf", 0.5), value("Gelu", -5.0), value("Softplus", -2.0)
right = -5 * math.erfc(5 / math.sqrt(2)) / 2, math.log1p(math.exp(-2))
print(f"Erf(0.5) = {erf!r}, math.erf {math.erf(0.5)!r}")
print(f"Gelu(-5.0) = {gelu!r}, right {right[0]:.13g}")
print(f"Softplus(-2.0) = {softplus!r}, right {right[1]:.15g}")
single = float(np.float32(math.erf(0.5)))
off = [abs(found / expected - 1) for found, expected in zip((gelu, softplus), right)]
raise SystemExit(not (erf == single != math.erf(0.5) and off[0] > 0.03 and off[1] < 1e-14))
PYTHON
