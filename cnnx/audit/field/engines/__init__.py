"""The engines that are asked, by name: the module and the class, which is imported in a process of its own."""

import importlib
from importlib import metadata

from ..asked import Asked

ENGINES = {
    "cnnx": "of_cnnx:Cnnx",
    "torch": "of_torch:Torch",
    "tensorflow": "of_tensorflow:TensorFlow",
    "keras": "of_keras:Keras",
    "jax": "of_jax:Jax",
    "paddle": "of_paddle:Paddle",
    "mlx": "of_mlx:Mlx",
    "tinygrad": "of_tinygrad:Tinygrad",
    "onnxruntime": "of_nodes:OnnxRuntime",
    "onnx-reference": "of_nodes:OnnxReference",
    "openvino": "of_nodes:OpenVino",
    "tract": "of_nodes:Tract",
    "opencv": "of_nodes:OpenCV",
    "mnn": "of_nodes:Mnn",
    "ncnn": "of_ncnn:Ncnn",
}


def engine(name: str, threads: int | None = None) -> Asked:
    """The engine of a name, which must be installed; ImportError if it is not."""
    module, _, attribute = ENGINES[name].partition(":")
    found: type[Asked] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found(threads)


def version(one: Asked) -> str:
    """The version of an engine's distribution."""
    return metadata.version(one.distribution)
