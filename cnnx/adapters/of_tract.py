"""tract as a back end (extra `tract`): a model of one node for each kind of call, forward only.

Its Python package has no number of threads to set, and each operator has the arrays' own type.
"""

import tempfile
from pathlib import Path

from ._kernels import Array

try:
    import tract

    from ._onnx_nodes import Compute, NoNodeError, of_nodes
except ImportError as error:
    message = f"back end tract needs it: python -m pip install 'cnnx[tract]' ({error})"
    raise ModuleNotFoundError(message, name="tract") from error


def prepare(model: bytes, threads: int) -> Compute:
    """What computes a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "node.onnx")
        path.write_bytes(model)
        try:
            runnable = tract.onnx().load(path).into_model().into_runnable()
        except tract.TractError as error:
            raise NoNodeError from error

    def compute(inputs: dict[str, Array]) -> Array:
        try:
            result: Array = runnable.run(list(inputs.values()))[0].to_numpy()
        except tract.TractError as error:
            raise NoNodeError from error
        return result

    return compute


KERNELS = of_nodes("tract", prepare, {}, no_gradients="tract computes no gradients", static=True, obeys_threads=False)
KERNELS.about = f"tract {tract.version()}, in the arrays' own type; its threads cannot be set"
