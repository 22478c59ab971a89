#!/usr/bin/env bash
# Keras 3.15.1 with TensorFlow 2.21.0 and tf2onnx 1.17.0: a network with gelu is exported to a file that nothing can
# read.
#
# TensorFlow computes the exact gelu by erfc, for which neither tf2onnx nor ONNX has an operator. tf2onnx logs an
# error and writes a node Erfc all the same, in ONNX's own domain; model.export(format="onnx") returns, and says
# "Saved artifact". onnx.checker and onnxruntime refuse the file. It is so with opset 15, the default, and with 18;
# gelu is in keras.applications' ConvNeXt. Written out with keras.ops.erf, the same function is exported and right; so
# is the approximate gelu. tf2onnx's pull request 2463 is about it. TensorFlow is a download of some 300 MB.
#
# Seen with Python 3.11 on x86-64:
#   gelu: Saved artifact; operators Erfc, Mul, Neg; checker ValidationError, onnxruntime InvalidGraph
#   gelu by erf: Saved artifact; operators Add, Erf, Mul; as Keras's
#   approximate gelu: Saved artifact; operators Add, Mul, Pow, Tanh; as Keras's
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow-cpu==2.21.0 keras==3.15.1 tf2onnx==1.17.0 onnx==1.23.2 \
    onnxruntime==1.32.0 numpy==2.4.6

FOLDER=$folder KERAS_BACKEND=tensorflow CUDA_VISIBLE_DEVICES='' TF_CPP_MIN_LOG_LEVEL=3 \
    "$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import contextlib
import io
import os

import keras
import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidGraph


def refused(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except (onnx.checker.ValidationError, InvalidGraph) as error:
        return type(error).__name__
    return "accepts it"


def exported(name, activation):
    path = f"{os.environ['FOLDER']}/network.onnx"
    image = keras.Input((3,))
    model = keras.Model(image, keras.layers.Activation(activation)(image))
    x = np.float32([[-1.5, 0.25, 2.0]])
    expected = model(x)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        model.export(path, format="onnx")
    operators = sorted({node.op_type for node in onnx.load(path).graph.node})
    saved = "Saved artifact" if "Saved artifact" in said.getvalue() else "nothing said"
    checker = refused(onnx.checker.check_model, path)
    runtime = refused(onnxruntime.InferenceSession, path, providers=["CPUExecutionProvider"])
    if checker == runtime == "accepts it":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        y = session.run(None, {session.get_inputs()[0].name: x})[0]
        verdict = "as Keras's" if np.allclose(y, expected) else "not as Keras's"
    else:
        verdict = f"checker {checker}, onnxruntime {runtime}"
    print(f"{name}: {saved}; operators {', '.join(operators)}; {verdict}")
    return saved, "Erfc" in operators, verdict


seen = [
    exported("gelu", "gelu"),
    exported("gelu by erf", lambda x: 0.5 * x * (1 + keras.ops.erf(x / 2**0.5))),
    exported("approximate gelu", lambda x: keras.activations.gelu(x, approximate=True)),
]
right = ("Saved artifact", False, "as Keras's")
raise SystemExit(seen != [("Saved artifact", True, "checker ValidationError, onnxruntime InvalidGraph"), right, right])
PYTHON
