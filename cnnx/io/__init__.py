"""Networks in files: cnnx's own, as safetensors (extra `io`), and ONNX (extra `onnx`)."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._export import export_onnx as export_onnx
    from ._import import import_onnx as import_onnx
    from ._model import load_model as load_model
    from ._model import save_model as save_model

__all__ = ["export_onnx", "import_onnx", "load_model", "save_model"]

# Each waits until it is asked for: neither extra needs the other.
_MODULES = {"export_onnx": "_export", "import_onnx": "_import", "load_model": "_model", "save_model": "_model"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
