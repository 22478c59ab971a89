"""Engines for the tests of `cnnx audit --model`: ONNX Runtime, but for one thing that is wrong on purpose."""

import numpy as np
import onnx
from onnx import numpy_helper

from cnnx.audit.model.engines import engine


class Altered:
    """ONNX Runtime on a model that `alter` has changed, whose results `spoil` changes."""

    name, version, whole = "altered", "0", True

    def __init__(self, *, threads, exact, alter=lambda model: None, spoil=lambda model, inputs, outputs: outputs):
        self.inner = engine("onnxruntime", threads=threads, exact=exact)
        self.alter, self.spoil = alter, spoil

    def run(self, model, inputs, outputs):
        proto = onnx.load_model_from_string(model)
        self.alter(proto)
        found = self.inner.run(proto.SerializeToString(), inputs, outputs)
        return self.spoil(proto, inputs, found)

    def kept(self, model):
        return self.inner.kept(model)


def altered(**how):
    """What `engines.registered` takes."""
    return lambda *, threads, exact: Altered(threads=threads, exact=exact, **how)


def node_of(model, name):
    """The node of that name, None where the model has none."""
    return next((node for node in model.graph.node if node.name == name), None)


def replaced(model, name, change):
    """Put another array in the place of an initialiser."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), name))


def as_bfloat16(array):
    """Rounded to the upper 16 bits of a float32, to nearest even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
