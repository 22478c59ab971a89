"""Memory of reading an ONNX file: what was read is let go of at once."""

import gc
import tracemalloc

import pytest

pytestmark = [pytest.mark.once, pytest.mark.bare]
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="onnx_models needs it")
io = pytest.importorskip("cnnx.io")

from onnx_models import floats, written  # noqa: E402


def test_weights_are_there_once(tmp_path):
    """Without Python's collector, which comes when it likes: nothing that was read is part of a circle."""
    constants = {"w1": floats(64, 2048), "w2": floats(2048, 512)}
    nodes = [("MatMul", "x w1", "h"), ("Relu", "h", "r"), ("MatMul", "r w2", "y")]
    path = written(tmp_path / "model.onnx", nodes, constants, (64,))
    weights = sum(array.nbytes for array in constants.values())
    io.import_onnx(path)  # what is loaded once
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        model = io.import_onnx(path)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert model.layers
    assert weights <= held <= 1.2 * weights
    assert most <= 2.2 * weights
