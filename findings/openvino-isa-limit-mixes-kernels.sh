#!/usr/bin/env bash
# OpenVINO 2026.4.0: oneDNN's documented limit of the instruction set makes global average pooling wrong.
#
# ONEDNN_MAX_CPU_ISA=AVX2, on a processor with AVX-512, limits the convolutions, which oneDNN computes: their kernel is
# brgconv_avx2. OpenVINO's own kernel for the reduction behind them does not heed it and stays jit_avx512. Of a
# convolution and a GlobalAveragePool the result is then off by as much as it is large, without an error or a warning;
# each of the two alone is right. With AVX512_CORE, or without the variable, they agree with NumPy.
#
# Seen with Python 3.11 on x86-64, a Xeon with AVX-512 and AMX:
#   limit none         kernels brgconv_avx512_1x1_f32, jit_avx512_f32     off by 0.00000, alone 0.00000
#   limit AVX512_CORE  kernels brgconv_avx512_1x1_f32, jit_avx512_f32     off by 0.00000, alone 0.00000
#   limit AVX2         kernels brgconv_avx2_1x1_f32, jit_avx512_f32       off by 0.65327, alone 0.00000
#
# Ends with 0 if it is still so; with 3 where the processor has no AVX-512.
set -euo pipefail

grep -q avx512bw /proc/cpuinfo || { echo "this processor has no AVX-512: nothing to be seen"; exit 3; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.0 onnx==1.23.2 numpy==2.4.6

cat > "$folder/pooled.py" <<'PYTHON'
import numpy as np
import openvino
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(0)
x = rng.standard_normal((1, 16, 13, 13)).astype("float32")
w = rng.standard_normal((40, 16, 1, 1)).astype("float32")


def run(nodes, inputs, shape):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, a.shape) for name, a in inputs.items()]
    graph = helper.make_graph(
        [helper.make_node(op, ins, outs) for op, ins, outs in nodes],
        "g",
        ends,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(w, "w")] if any("w" in ins for _, ins, _ in nodes) else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings)
    y = compiled.create_infer_request().infer(dict(enumerate(inputs.values())))
    kinds = [op.get_rt_info()["primitiveType"].astype(str) for op in compiled.get_runtime_model().get_ordered_ops()]
    return next(iter(y.values())), [kind for kind in kinds if "conv" in kind or "avx" in kind]


def off(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


maps = np.einsum("nchw,kc->nkhw", x.astype("f8"), w[:, :, 0, 0].astype("f8"))
means = maps.mean((2, 3), keepdims=True)
both, kernels = run(
    [("Conv", ["x", "w"], ["c"]), ("GlobalAveragePool", ["c"], ["y"])], {"x": x}, [1, 40, 1, 1]
)
conv, _ = run([("Conv", ["x", "w"], ["y"])], {"x": x}, [1, 40, 13, 13])
pool, _ = run([("GlobalAveragePool", ["x"], ["y"])], {"x": maps.astype("float32")}, [1, 40, 1, 1])
alone = max(off(conv, maps), off(pool, means))
print(f"kernels {', '.join(kernels):42} off by {off(both, means):.5f}, alone {alone:.5f}")
PYTHON

for limit in "" AVX512_CORE AVX2; do
    said=$(ONEDNN_MAX_CPU_ISA=$limit "$folder/venv/bin/python" "$folder/pooled.py" 2>/dev/null)
    printf 'limit %-12s %s\n' "${limit:-none}" "$said"
    case "$limit:$said" in
        AVX2:*brgconv_avx2*jit_avx512*"off by 0."[1-9]*"alone 0.0000"*) ;;
        :*"off by 0.0000"* | AVX512_CORE:*"off by 0.0000"*) ;;
        *) echo "changed"; exit 1 ;;
    esac
done
