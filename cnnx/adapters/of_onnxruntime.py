"""ONNX Runtime as a back end (extra `onnxruntime`): a model of one node for each kind of call, forward only."""

from typing import Any

from ._kernels import Array

try:
    import onnxruntime

    from ._onnx_nodes import NORMS, Compute, NoNodeError, of_nodes
except ImportError as error:
    message = f"back end onnxruntime needs it: python -m pip install 'cnnx[onnxruntime]' ({error})"
    raise ModuleNotFoundError(message, name="onnxruntime") from error


def prepare(model: bytes, threads: int) -> Compute:
    """What computes a model."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # many sessions are kept
    settings.log_severity_level = 4  # what cannot be done comes as an exception
    try:
        session: Any = onnxruntime.InferenceSession(model, settings, ["CPUExecutionProvider"])
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        raise NoNodeError from None

    def compute(inputs: dict[str, Array]) -> Array:
        result: Array = session.run(None, inputs)[0]
        return result

    return compute


KERNELS = of_nodes(
    "onnxruntime",
    prepare,
    {
        "gelu": "ONNX Runtime computes 1 + erf(z / sqrt 2), which cancels for negative z",
        "silu": "ONNX Runtime has no SiLU of one node",
        "local_response_norm": "ONNX Runtime moves one sum from channel to channel, which cancels",
        **dict.fromkeys(
            ("batch_norm2d", "batch_norm2d_statistics_mean", "batch_norm2d_statistics_var"),
            "ONNX has it for inference alone, folded into one factor and one summand, which cancels",
        ),
        **dict.fromkeys(
            NORMS, "ONNX Runtime keeps the statistics in the arrays' type: numbers far from 0 lose themselves"
        ),
    },
    no_gradients="ONNX Runtime computes no gradients",
)
KERNELS.about = f"onnxruntime {onnxruntime.__version__}, its CPU provider, in the arrays' own type"
