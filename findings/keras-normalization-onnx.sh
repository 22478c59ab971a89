#!/usr/bin/env bash
# Keras 3.15.1 with tf2onnx 1.17.0: a Normalization layer's mean is not in the exported file, but an input of the network.
#
# `model.export(format="onnx")` writes the deviation, the square root computed beforehand, and makes inputs of the
# layer's two arrays: the mean, which whoever runs the file has to know and to feed, and the variance, which no node
# reads any more and which onnxruntime wants all the same. Other numbers than the layer's mean give other outputs,
# without a word. keras.applications' EfficientNets begin with such a layer, with a mean of 0.
#
# Seen with Python 3.11 on x86-64:
#   inputs: 3; read by a node: 2
#   with the images alone: ValueError
#   fed the layer's mean and any variance: Keras's output
#   fed zeros: another output
#
# Ends with 0 if it is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow-cpu==2.21.0 keras==3.15.1 tf2onnx==1.17.0 onnx==1.23.2 \
    onnxruntime==1.32.0 numpy==2.4.6

FOLDER=$folder CUDA_VISIBLE_DEVICES='' TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import os

import keras
import numpy as np
import onnx
import onnxruntime

MEAN = [1.0, 2.0, 3.0]
path = f"{os.environ['FOLDER']}/network.onnx"
images = keras.Input((2, 2, 3))
norm = keras.layers.Normalization(mean=MEAN, variance=[4.0, 9.0, 16.0])
model = keras.Model(images, keras.layers.ReLU()(norm(images)))
x = np.arange(24, dtype="float32").reshape(2, 2, 2, 3)
expected = model(x)
model.export(path, format="onnx", verbose=False)

graph = onnx.load(path).graph
read = {name for node in graph.node for name in node.input}
names = [one.name for one in graph.input]
used = [name for name in names if name in read]
print(f"inputs: {len(names)}; read by a node: {len(used)}")

session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
first, mean, variance = used[0], used[-1], next(name for name in names if name not in used)
try:
    session.run(None, {first: x})
    alone = "an output"
except ValueError as error:
    alone = type(error).__name__
print(f"with the images alone: {alone}")


def fed(value):
    shape = (1, 1, 1, 3)
    given = {first: x, mean: np.float32(value).reshape(shape), variance: np.full(shape, 7, "float32")}
    return np.allclose(session.run(None, given)[0], expected)


right, wrong = fed(MEAN), fed([0.0, 0.0, 0.0])
print("fed the layer's mean and any variance:", "Keras's output" if right else "another output")
print("fed zeros:", "Keras's output" if wrong else "another output")
raise SystemExit(not (len(names) == 3 and len(used) == 2 and alone == "ValueError" and right and not wrong))
PYTHON
