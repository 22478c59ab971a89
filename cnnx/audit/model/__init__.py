"""`cnnx audit --model`: a deployed ONNX network, node by node, by the engine that computes it.

graph       the file's nodes, models of one of them, values that are needed no more
step        what a node computes: the layer that `cnnx.io` reads, run in double and watched
truth       an element of a value by the equations that lead to it, with its bound
judge       which elements, and how much of their bounds an engine's use
isolated    each node as a model of its own
place       the engine's optimised whole, values taken out between what it fuses
engines/    onnxruntime, OpenVINO, back ends of cnnx
inputs      data of the user's, or random
result      what was found; text, page and junit say it
"""

from .audit import audit_model
from .result import Judged, ModelReport

__all__ = ["Judged", "ModelReport", "audit_model"]
