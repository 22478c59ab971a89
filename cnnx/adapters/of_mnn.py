"""MNN as a back end (extra `mnn`): a model of one node for each kind of call, forward only.

Converted by the extension module of MNN's converter: to import MNN.tools is to run `pip install` and to look for a
server of its maker's. In float32 (precision "high"); MNN has no float64.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ._kernels import Array

try:
    import _tools  # of the distribution MNN
    import MNN

    from ._onnx_nodes import Compute, NoNodeError, of_nodes, onnx
except ImportError as error:
    message = f"back end mnn needs it: python -m pip install 'cnnx[mnn]' ({error})"
    raise ModuleNotFoundError(message, name="mnn") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Without what MNN's C++ prints on standard output."""
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def prepare(model: bytes, threads: int, *, exact: bool = True) -> Compute:
    """What computes a model; exact=False: in whatever precision it takes by itself."""
    graph = onnx.load_model_from_string(model).graph
    if graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise NoNodeError
    names = [one.name for one in graph.input]
    with tempfile.TemporaryDirectory() as folder, _silent():
        source, made = Path(folder, "node.onnx"), Path(folder, "node.mnn")
        source.write_bytes(model)
        _tools.mnnconvert(
            ["mnnconvert", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(made), "--bizCode", "cnnx"]
        )
        if not made.exists():
            raise NoNodeError
        settings = {"backend": "CPU", "numThread": threads, **({"precision": "high"} if exact else {})}
        runtime = MNN.nn.create_runtime_manager((settings,))
        net = MNN.nn.load_module_from_file(str(made), names, [graph.output[0].name], runtime_manager=runtime)

    def compute(inputs: dict[str, Array]) -> Array:
        given = [MNN.expr.const(np.ascontiguousarray(a), list(a.shape), MNN.expr.NCHW) for a in inputs.values()]
        y = MNN.expr.convert(net.onForward(given)[0], MNN.expr.NCHW)
        return np.array(y.read())

    return compute


KERNELS = of_nodes(
    "mnn",
    prepare,
    {"batch_norm2d": "MNN's converter takes statistics that are constants alone"},
    no_gradients="MNN's modules of a file compute no gradients",
    static=True,
)
KERNELS.about = f"MNN {MNN.version()}, precision high, float32 alone"
