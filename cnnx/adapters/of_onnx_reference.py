"""ONNX's ReferenceEvaluator as a back end (extra `onnx`): the standard's own computation in NumPy, forward only.

One thread of NumPy's, and each operator's type: nothing can be set.
"""

from ._kernels import Array

try:
    from onnx.reference import ReferenceEvaluator

    from ._onnx_nodes import Compute, of_nodes, onnx
except ImportError as error:  # an onnx without it
    message = f"back end onnx-reference needs it: python -m pip install 'cnnx[onnx]' ({error})"
    raise ModuleNotFoundError(message, name="onnx-reference") from error


def prepare(model: bytes, threads: int) -> Compute:
    """What computes a model."""
    evaluator = ReferenceEvaluator(onnx.load_model_from_string(model))

    def compute(inputs: dict[str, Array]) -> Array:
        result: Array = evaluator.run(None, inputs)[0]
        return result

    return compute


KERNELS = of_nodes(
    "onnx-reference", prepare, {}, no_gradients="the ReferenceEvaluator computes no gradients", obeys_threads=False
)
KERNELS.about = f"onnx {onnx.__version__}, in the arrays' own type; NumPy's threads"
