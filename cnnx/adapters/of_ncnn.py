"""ncnn as a back end (extra `ncnn`): a net of one layer for each kind of call and image, forward only.

With its own defaults, Winograd's algorithm among them, but without 16-bit storage; float32 is all that it has.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .. import backend as _backend
from ._kernels import Array, Kernels, frame

try:
    import ncnn
except ImportError as error:
    message = f"back end ncnn needs it: python -m pip install 'cnnx[ncnn]' ({error})"
    raise ModuleNotFoundError(message, name="ncnn") from error

_threads = 1


def set_threads(n: int) -> None:
    """Use n threads."""
    global _threads
    _threads = n


@contextmanager
def _with_threads(n: int) -> Iterator[None]:
    before = _threads
    set_threads(n)
    try:
        yield
    finally:
        set_threads(before)


def _written(value: float) -> str:
    """A number as ncnn reads it: a float without a point or an exponent would be taken for the bits of an integer."""
    if not np.isfinite(value):
        raise KERNELS.lacks("ncnn's layers take finite numbers")
    return str(value) if isinstance(value, int) else f"{value:.9e}"


def run(layer: str, numbers: Mapping[int, float], image: Array, *arrays: Array, exact: bool = True) -> Array:
    """What a layer gives for an image (C, H, W), a matrix or a vector; `arrays` are its weights and its bias."""
    with tempfile.TemporaryDirectory() as folder:
        param, weights = Path(folder, "net.param"), Path(folder, "net.bin")
        values = " ".join(f"{key}={_written(value)}" for key, value in numbers.items())
        param.write_text(f"7767517\n2 2\nInput x 0 1 x\n{layer} y 1 1 x y {values}\n")
        flag = np.uint32(0).tobytes() if arrays else b""  # the weights are float32
        weights.write_bytes(flag + b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))
        net = ncnn.Net()
        net.opt.num_threads = _threads
        net.opt.use_vulkan_compute = False
        if exact:
            net.opt.use_bf16_storage = net.opt.use_fp16_storage = net.opt.use_fp16_packed = False
        if net.load_param(str(param)) or net.load_model(str(weights)):
            raise KERNELS.lacks(f"ncnn has no layer {layer} of these numbers")
        extractor = net.create_extractor()
        extractor.input("x", ncnn.Mat(np.ascontiguousarray(image)).clone())
        code, y = extractor.extract("y")
        if code:
            raise KERNELS.lacks(f"ncnn computes no {layer} of these numbers")
        return np.array(y)


def _each(layer: str, numbers: Mapping[int, float], Z: Array, Y: Array, *arrays: Array) -> None:
    if Z.dtype != np.float32:
        raise KERNELS.lacks("ncnn has float32 alone")
    for z, y in zip(Z, Y, strict=True):
        y[...] = run(layer, numbers, z, *arrays).reshape(y.shape)


KERNELS = Kernels(
    {
        **dict.fromkeys(_backend.kernel_names("reference"), "the adapter asks ncnn for none"),
        **{name: "ncnn computes no gradients" for name in _backend.kernel_names("reference") if "_grad_" in name},
    },
    compat="onnx",
    with_threads=_with_threads,
)
KERNELS.about = f"ncnn {ncnn.__version__}, without 16-bit storage; float32 alone"


def _elementwise(name: str, layer: str, keys: dict[str, int]) -> None:
    def kernel(Z: Array, Y: Array, **numbers: float) -> None:
        _each(layer, {keys[key]: value for key, value in numbers.items()}, Z.reshape(1, -1), Y.reshape(1, -1))

    kernel.__name__ = name
    KERNELS.kernel(kernel)


for _name, _layer, _keys in (
    ("relu", "ReLU", {}), ("sigmoid", "Sigmoid", {}), ("tanh", "TanH", {}), ("softplus", "Softplus", {}),
    ("silu", "Swish", {}), ("gelu", "GELU", {}), ("leaky_relu", "ReLU", {"slope": 0}), ("elu", "ELU", {"alpha": 0}),
    ("clip", "Clip", {"low": 0, "high": 1}), ("hard_sigmoid", "HardSigmoid", {"alpha": 0, "beta": 1}),
):  # fmt: skip
    _elementwise(_name, _layer, _keys)


@KERNELS.kernel
def conv2d(Z: Array, F: Array, b: Array, Y: Array, *, groups: int, **n: int) -> None:
    R, S = F.shape[2:]
    around = frame(Z, Y, R=R, S=S, **n)
    if min(around) < 0:
        raise KERNELS.lacks("ncnn's padding leaves out no rows or columns")
    numbers = {0: len(F), 1: S, 11: R, 2: n["d_w"], 12: n["d_h"], 3: n["v"], 13: n["u"], 4: around.left,
               14: around.top, 15: around.right, 16: around.bottom, 5: 1, 6: F.size}  # fmt: skip
    layer = "Convolution" if groups == 1 else "ConvolutionDepthWise"
    _each(layer, numbers if groups == 1 else {**numbers, 7: groups}, Z, Y, F, b)


def _pool(Z: Array, Y: Array, kind: int, include: int, n: dict[str, int]) -> None:
    around = frame(Z, Y, **n)
    if min(around) < 0 or around.top >= n["R"] or around.left >= n["S"]:
        raise KERNELS.lacks("ncnn's padding is smaller than the window, and leaves out no rows or columns")
    numbers = {0: kind, 1: n["S"], 11: n["R"], 2: n["v"], 12: n["u"], 3: around.left, 13: around.top,
               14: around.right, 15: around.bottom, 5: 1, 6: include}  # fmt: skip
    _each("Pooling", numbers, Z, Y)


@KERNELS.kernel
def max_pool2d(Z: Array, Y: Array, **n: int) -> None:
    _pool(Z, Y, 0, 0, n)


@KERNELS.kernel
def avg_pool2d(Z: Array, Y: Array, *, p_b: int, p_r: int, include_pad: int, **n: int) -> None:
    if include_pad and (frame(Z, Y, **n).bottom, frame(Z, Y, **n).right) != (p_b, p_r):
        raise KERNELS.lacks("ncnn divides by the whole window where padding counts")
    _pool(Z, Y, 1, include_pad, n)


@KERNELS.kernel
def affine(Z: Array, w: Array, b: Array, Y: Array) -> None:
    _each("InnerProduct", {0: len(w), 1: 1, 2: w.size}, Z, Y, w, b)
