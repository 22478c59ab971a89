"""OpenCV's dnn module as a back end (extra `opencv`): a model of one node for each kind of call, forward only.

By its own new engine (ENGINE_NEW of OpenCV 5), in float32: it has no float64.
"""

import numpy as np

from ._kernels import Array

try:
    import cv2

    from ._onnx_nodes import Compute, NoNodeError, of_nodes, onnx
except ImportError as error:
    message = f"back end opencv needs it: python -m pip install 'cnnx[opencv]' ({error})"
    raise ModuleNotFoundError(message, name="opencv") from error


def prepare(model: bytes, threads: int) -> Compute:
    """What computes a model."""
    if onnx.load_model_from_string(model).graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise NoNodeError
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    except cv2.error as error:
        raise NoNodeError from error
    finally:
        cv2.utils.logging.setLogLevel(before)

    def compute(inputs: dict[str, Array]) -> Array:
        was = cv2.getNumThreads()
        cv2.setNumThreads(threads)
        try:
            for name, array in inputs.items():
                net.setInput(array, name)
            return np.array(net.forward())
        except cv2.error as error:
            raise NoNodeError from error
        finally:
            cv2.setNumThreads(was)

    return compute


KERNELS = of_nodes("opencv", prepare, {}, no_gradients="OpenCV's dnn computes no gradients", static=True)
KERNELS.about = f"OpenCV {cv2.__version__}, its dnn module, float32 alone"
