"""PyTorch as a back end (extra `torch`): its own functions on the CPU, forward and backward."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .. import backend as _backend
from ._kernels import Array, Frame, Kernels, frame, framed, unframed
from ._resizing import coordinates, exact

try:
    import torch
    from torch.nn import functional
except ImportError as error:
    message = f"back end torch needs PyTorch: python -m pip install 'cnnx[torch]' ({error})"
    raise ModuleNotFoundError(message, name="torch") from error


@contextmanager
def _with_threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


KERNELS = Kernels(
    {
        **dict.fromkeys(("gelu", "gelu_grad_input"), "torch computes 1 + erf(z / sqrt 2), which cancels"),
        "clip_grad_input": "torch's slope at the lower bound is 1",
        **dict.fromkeys(("hard_sigmoid", "hard_sigmoid_grad_input"), "torch's has alpha 1/6, and float32's 1/6 too"),
        **dict.fromkeys(("hard_swish", "hard_swish_grad_input"), "torch multiplies by a rounded 1/6"),
        "silu_grad_input": "torch computes 1 - sigmoid(z), which cancels",
        **dict.fromkeys(("lp_pool2d", "lp_pool2d_grad_input"), "torch takes no absolute value"),
        **dict.fromkeys(("step", "step_grad_input"), "torch has no step function with a gradient"),
        "max_pool2d_grad_input_all": "torch gives ties to the first",
        **dict.fromkeys(("dropout", "dropout_grad_input"), "torch draws the mask itself"),
        **{
            name: "torch folds the statistics into one factor and one summand, which cancels"
            for name in _backend.kernel_names("reference")
            if name.startswith("batch_norm2d")
        },
        **{
            name: "torch keeps the statistics in the arrays' type: numbers far from 0 lose themselves"
            for name in _backend.kernel_names("reference")
            if name.startswith("group_norm")
        },
    },
    compat="torch",
    with_threads=_with_threads,
    instruction_sets={  # of ATen's own loops, of oneDNN and of MKL
        "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
        "SSE4": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    },
)
KERNELS.about = f"torch {torch.__version__}, in the arrays' own type"
kernel = KERNELS.kernel
_aten: Any = torch.ops.aten
Tensor = Any


def _tensor(a: Array) -> Tensor:
    return torch.from_numpy(a if a.flags.writeable else a.copy())  # torch warns of arrays that it could write to


def _tensors(*arrays: Array) -> list[Tensor]:
    return [_tensor(a) for a in arrays]


def _padded(Z: Array, around: Frame, fill: float = 0.0) -> tuple[Tensor, list[int]]:
    """The image and the padding that torch is to add: none where it differs by side, and the image is framed then."""
    if around.symmetric:
        return _tensor(Z), [around.top, around.left]
    return torch.from_numpy(framed(Z, around, fill)), [0, 0]


# -------------------------------------------------------------------------------------- convolution


def _around(Z: Array, Y: Array, F: Array, n: dict[str, int]) -> Frame:
    geometry = {name: n[name] for name in ("u", "v", "p_h", "p_w", "d_h", "d_w")}
    return frame(Z, Y, R=F.shape[2], S=F.shape[3], **geometry)


@kernel
def conv2d(Z: Array, F: Array, b: Array, Y: Array, **n: int) -> None:
    x, padding = _padded(Z, _around(Z, Y, F, n))
    weight, bias = _tensors(F, b)
    stride, dilation = (n["u"], n["v"]), (n["d_h"], n["d_w"])
    Y[...] = functional.conv2d(x, weight, bias, stride, padding, dilation, n["groups"]).numpy()


def _backward(Delta: Tensor, x: Tensor, F: Tensor, padding: list[int], n: dict[str, int], wanted: list[bool]) -> Any:
    stride, dilation, groups = [n["u"], n["v"]], [n["d_h"], n["d_w"]], n["groups"]
    sizes = [F.shape[0]]
    return _aten.convolution_backward(Delta, x, F, sizes, stride, padding, dilation, False, [0, 0], groups, wanted)


@kernel
def conv2d_grad_input(Delta: Array, F: Array, dZ: Array, **n: int) -> None:
    around = _around(dZ, Delta, F, n)
    x, padding = _padded(np.zeros_like(dZ), around)
    gradient = _backward(_tensor(Delta), x, _tensor(F), padding, n, [True, False, False])[0].numpy()
    if around.symmetric:
        dZ[...] = gradient
    else:
        unframed(gradient, around, dZ)


@kernel
def conv2d_grad_weight(Delta: Array, Z: Array, dF: Array, **n: int) -> None:
    x, padding = _padded(Z, _around(Z, Delta, dF, n))
    weight = torch.zeros(dF.shape, dtype=x.dtype)
    dF[...] = _backward(_tensor(Delta), x, weight, padding, n, [False, True, False])[1].numpy()


class _Transposed(NamedTuple):
    """A transposed convolution as torch takes it: it may compute a larger output, of which Y has the rest cut off."""

    shape: tuple[int, ...]  # of that output
    cut: Any
    options: dict[str, Any]


def _transposed(Z: Array, Y: Array, F: Array, n: dict[str, int]) -> _Transposed:
    stride, dilation, before = (n["u"], n["v"]), (n["d_h"], n["d_w"]), (n["p_h"], n["p_w"])
    spans = [
        u * (h - 1) + d * (r - 1) + 1 for u, h, d, r in zip(stride, Z.shape[2:], dilation, F.shape[2:], strict=True)
    ]
    more = [count - span + 2 * p for count, span, p in zip(Y.shape[2:], spans, before, strict=True)]
    limits = [max(u, d) for u, d in zip(stride, dilation, strict=True)]
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": n["groups"]}
    if all(0 <= end < limit for end, limit in zip(more, limits, strict=True)):
        return _Transposed(Y.shape, (...,), options | {"padding": before, "output_padding": more})
    more = [max(0, p + count - span) for count, span, p in zip(Y.shape[2:], spans, before, strict=True)]
    shape = (*Y.shape[:2], *(span + end for span, end in zip(spans, more, strict=True)))
    cut = tuple(slice(p, p + count) for p, count in zip(before, Y.shape[2:], strict=True))
    return _Transposed(shape, (..., *cut), options | {"padding": (0, 0), "output_padding": more})


@kernel
def conv_transpose2d(Z: Array, F: Array, b: Array, Y: Array, **n: int) -> None:
    how = _transposed(Z, Y, F, n)
    x, weight, bias = _tensors(Z, F, b)
    Y[...] = functional.conv_transpose2d(x, weight, bias, **how.options)[how.cut].numpy()


def _transposed_backward(Delta: Array, Z: Array, F: Array, n: dict[str, int], wanted: list[bool]) -> Any:
    how = _transposed(Z, Delta, F, n)
    delta, (x, weight) = torch.zeros(how.shape, dtype=_tensor(Delta).dtype), _tensors(Z, F)
    delta[how.cut] = _tensor(Delta)
    geometry = (list(how.options[name]) for name in ("stride", "padding", "dilation"))
    more, groups = list(how.options["output_padding"]), n["groups"]
    return _aten.convolution_backward(delta, x, weight, [Delta.shape[1]], *geometry, True, more, groups, wanted)


@kernel
def conv_transpose2d_grad_input(Delta: Array, F: Array, dZ: Array, **n: int) -> None:
    dZ[...] = _transposed_backward(Delta, np.zeros_like(dZ), F, n, [True, False, False])[0].numpy()


@kernel
def conv_transpose2d_grad_weight(Delta: Array, Z: Array, dF: Array, **n: int) -> None:
    dF[...] = _transposed_backward(Delta, Z, np.zeros_like(dF), n, [False, True, False])[1].numpy()


@kernel
def conv2d_grad_bias(Delta: Array, db: Array) -> None:
    db[...] = _tensor(Delta).sum(dim=(0, 2, 3)).numpy()


# ------------------------------------------------------------------------------------------ pooling


def _pooled(Z: Array, Y: Array, geometry: dict[str, int], fill: float) -> tuple[Tensor, Frame, list[list[int]]]:
    """The image, what surrounds it, and torch's kernel, stride and padding (at most half of the kernel)."""
    around = frame(Z, Y, **geometry)
    R, S = geometry["R"], geometry["S"]
    if around.symmetric and around.top <= R // 2 and around.left <= S // 2:
        x, padding = _padded(Z, around)
    else:
        x, padding = torch.from_numpy(framed(Z, around, fill)), [0, 0]
    return x, around, [[R, S], [geometry["u"], geometry["v"]], padding]


@kernel
def max_pool2d(Z: Array, Y: Array, **geometry: int) -> None:
    x, _, options = _pooled(Z, Y, geometry, -np.inf)
    Y[...] = functional.max_pool2d(x, *options).numpy()


@kernel
def max_pool2d_winners(Z: Array, Y: Array, B: Array, **geometry: int) -> None:
    x, _, options = _pooled(Z, Y, geometry, -np.inf)
    y, indices = _aten.max_pool2d_with_indices(x, *options)
    Y[...] = y.numpy()
    # torch counts from the corner of its image; B from that of the unclipped window.
    h, w = np.divmod(indices.numpy(), x.shape[3])
    p, q = np.ix_(range(Y.shape[2]), range(Y.shape[3]))
    top, left = options[2]
    B[...] = (h + top - geometry["u"] * p) * geometry["S"] + w + left - geometry["v"] * q


@kernel
def max_pool2d_grad_input(Delta: Array, Z: Array, dZ: Array, **geometry: int) -> None:
    x, around, options = _pooled(Z, Delta, geometry, -np.inf)
    _, indices = _aten.max_pool2d_with_indices(x, *options)
    _give_back(Delta, x, indices, dZ, around, options)


@kernel
def max_pool2d_grad_input_winners(Delta: Array, B: Array, dZ: Array, **geometry: int) -> None:
    x, around, options = _pooled(dZ, Delta, geometry, 0.0)
    r, s = np.divmod(B, geometry["S"])
    p, q = np.ix_(range(Delta.shape[2]), range(Delta.shape[3]))
    top, left = options[2]
    indices = (geometry["u"] * p + r - top) * x.shape[3] + geometry["v"] * q + s - left
    _give_back(Delta, x, torch.from_numpy(indices.astype(np.int64)), dZ, around, options)


def _give_back(Delta: Array, x: Tensor, indices: Tensor, dZ: Array, around: Frame, options: list[list[int]]) -> None:
    gradient = _aten.max_pool2d_with_indices_backward(_tensor(Delta), x, *options, [1, 1], False, indices).numpy()
    if gradient.shape == dZ.shape:
        dZ[...] = gradient
    else:
        unframed(gradient, around, dZ)


def _average(Z: Array, Y: Array, p_b: int, p_r: int, include_pad: int, geometry: dict[str, int]) -> dict[str, Any]:
    """torch's options for a pooling that it has; all others are missing."""
    R, S, p_h, p_w = (geometry[name] for name in ("R", "S", "p_h", "p_w"))
    if p_h != p_b or p_w != p_r or 2 * p_h > R or 2 * p_w > S:
        raise KERNELS.lacks("torch's avg_pool2d pads both sides alike, by at most half of the window")
    around = frame(Z, Y, **geometry)
    ceil_mode = around.bottom > p_b or around.right > p_r
    return dict(
        kernel_size=(R, S), stride=(geometry["u"], geometry["v"]), padding=(p_h, p_w), ceil_mode=ceil_mode,
        count_include_pad=bool(include_pad),
    )  # fmt: skip


@kernel
def avg_pool2d(Z: Array, Y: Array, *, p_b: int, p_r: int, include_pad: int, **geometry: int) -> None:
    Y[...] = functional.avg_pool2d(_tensor(Z), **_average(Z, Y, p_b, p_r, include_pad, geometry)).numpy()


@kernel
def avg_pool2d_grad_input(
    Delta: Array, Z: Array, dZ: Array, *, p_b: int, p_r: int, include_pad: int, **geometry: int
) -> None:
    options = _average(Z, Delta, p_b, p_r, include_pad, geometry)
    dZ[...] = _aten.avg_pool2d_backward(*_tensors(Delta, Z), **options, divisor_override=None).numpy()


# ----------------------------------------------------------------------------------------- resizing


def _nearest(image: Array, outputs: Array, numbers: dict[str, int]) -> str:
    """torch's mode for R2 of these numbers."""
    found = coordinates(image, outputs, numbers, ("floor", "round_prefer_ceil"))
    for mode, meant in (("nearest", ("asymmetric", "floor")), ("nearest-exact", ("half_pixel", "round_prefer_ceil"))):
        if meant in found:
            return mode
    raise KERNELS.lacks("torch's nearest is asymmetric with floor, or half_pixel with round_prefer_ceil")


def _corners(image: Array, outputs: Array, numbers: dict[str, int], *numeric: Array) -> bool:
    """Whether torch's align_corners is set for R1 of these numbers."""
    found = {name for name, _ in coordinates(image, outputs, numbers)} - {"asymmetric", "pytorch_half_pixel"}
    if not found:
        raise KERNELS.lacks("torch's bilinear is half_pixel or align_corners")
    if not exact(numbers):
        raise KERNELS.lacks("torch rounds coordinates, so that weights' errors grow with the place")
    if not all(np.isfinite(a).all() for a in numeric):
        raise KERNELS.lacks("torch multiplies pixels of weight 0 too, infinite ones to NaN")
    return "half_pixel" not in found


@kernel
def upsample2d_nearest(Z: Array, Y: Array, **numbers: int) -> None:
    Y[...] = functional.interpolate(_tensor(Z), Y.shape[2:], mode=_nearest(Z, Y, numbers)).numpy()


@kernel
def upsample2d_nearest_grad_input(Delta: Array, dZ: Array, *, H: int, W: int, **numbers: int) -> None:
    exactly = _nearest(dZ, Delta, numbers) == "nearest-exact"
    back = _aten._upsample_nearest_exact2d_backward if exactly else _aten.upsample_nearest2d_backward
    dZ[...] = back(_tensor(Delta), Delta.shape[2:], dZ.shape).numpy()


@kernel
def upsample2d_bilinear(Z: Array, Y: Array, **numbers: int) -> None:
    corners = _corners(Z, Y, numbers, Z)
    Y[...] = functional.interpolate(_tensor(Z), Y.shape[2:], mode="bilinear", align_corners=corners).numpy()


@kernel
def upsample2d_bilinear_grad_input(Delta: Array, dZ: Array, *, H: int, W: int, **numbers: int) -> None:
    corners = _corners(dZ, Delta, numbers, Delta)
    dZ[...] = _aten.upsample_bilinear2d_backward(_tensor(Delta), Delta.shape[2:], dZ.shape, corners).numpy()


# -------------------------------------------------------------------------------------- activations


def _activation(name: str, phi: Any, backward: Any) -> None:
    def forward(Z: Array, Y: Array, **numbers: float) -> None:
        Y[...] = phi(_tensor(Z), **numbers).numpy()

    def grad_input(Delta: Array, Z: Array, dZ: Array, **numbers: float) -> None:
        dZ[...] = backward(*_tensors(Delta, Z), **numbers).numpy()

    forward.__name__, grad_input.__name__ = name, f"{name}_grad_input"
    kernel(forward)
    kernel(grad_input)


def _by_output(name: str, backward: Any) -> Any:
    def grad_input(Delta: Array, Y: Array, dZ: Array) -> None:
        dZ[...] = backward(*_tensors(Delta, Y)).numpy()

    grad_input.__name__ = f"{name}_grad_input_output"
    return grad_input


_activation("relu", torch.relu, lambda d, z: _aten.threshold_backward(d, z, 0))
_activation("sigmoid", torch.sigmoid, lambda d, z: _aten.sigmoid_backward(d, torch.sigmoid(z)))
_activation("tanh", torch.tanh, lambda d, z: _aten.tanh_backward(d, torch.tanh(z)))
kernel(_by_output("sigmoid", _aten.sigmoid_backward))
kernel(_by_output("tanh", _aten.tanh_backward))
_activation("identity", torch.clone, lambda d, z: d.clone())
_activation(
    "leaky_relu",
    lambda z, slope: functional.leaky_relu(z, slope),
    lambda d, z, slope: _aten.leaky_relu_backward(d, z, slope, False),
)
_activation(
    "elu",
    lambda z, alpha: functional.elu(z, alpha),
    lambda d, z, alpha: _aten.elu_backward(d, alpha, 1, 1, False, z),
)
# Beyond 40 softplus(z) is z in double too; torch's own threshold of 20 is meant for float32.
_activation(
    "softplus",
    lambda z: functional.softplus(z, 1, 40),
    lambda d, z: _aten.softplus_backward(d, z, 1, 40),
)


@kernel
def silu(Z: Array, Y: Array) -> None:
    Y[...] = functional.silu(_tensor(Z)).numpy()


@kernel
def clip(Z: Array, Y: Array, *, low: float, high: float) -> None:
    Y[...] = torch.clamp(_tensor(Z), low, high).numpy()


@kernel
def prelu(Z: Array, w: Array, Y: Array) -> None:
    Y[...] = torch.prelu(*_tensors(Z, w)).numpy()


@kernel
def prelu_grad_input(Delta: Array, Z: Array, w: Array, dZ: Array) -> None:
    dZ[...] = _aten._prelu_kernel_backward(*_tensors(Delta, Z), _tensor(w)[:, None])[0].numpy()


@kernel
def prelu_grad_weight(Delta: Array, Z: Array, dw: Array) -> None:
    delta, z = _tensors(Delta, Z)
    dw[...] = _aten._prelu_kernel_backward(delta, z, z.new_ones(1, 1))[1].sum(dim=(0, 2)).numpy()


@kernel
def softmax(Z: Array, Y: Array) -> None:
    Y[...] = torch.softmax(_tensor(Z), 1).numpy()


@kernel
def softmax_grad_input(Delta: Array, Z: Array, dZ: Array) -> None:
    delta, z = _tensors(Delta, Z)
    dZ[...] = _aten._softmax_backward_data(delta, torch.softmax(z, 1), 1, z.dtype).numpy()


@kernel
def softmax_grad_input_output(Delta: Array, Y: Array, dZ: Array) -> None:
    delta, y = _tensors(Delta, Y)
    dZ[...] = _aten._softmax_backward_data(delta, y, 1, y.dtype).numpy()


@kernel
def log_softmax(Z: Array, Y: Array) -> None:
    Y[...] = torch.log_softmax(_tensor(Z), 1).numpy()


@kernel
def log_softmax_grad_input(Delta: Array, Z: Array, dZ: Array) -> None:
    delta, z = _tensors(Delta, Z)
    dZ[...] = _aten._log_softmax_backward_data(delta, torch.log_softmax(z, 1), 1, z.dtype).numpy()


@kernel
def log_softmax_grad_input_output(Delta: Array, Y: Array, dZ: Array) -> None:
    delta, y = _tensors(Delta, Y)
    dZ[...] = _aten._log_softmax_backward_data(delta, y, 1, y.dtype).numpy()


# ------------------------------------------------------------------------------------- normalisation


def _mirrored(a: Tensor, size: int) -> Tensor:
    """The channels from the last to the first where the size is even: torch's window lies the other way there."""
    return a.flip(1) if size % 2 == 0 else a


@kernel
def local_response_norm(Z: Array, Y: Array, *, size: int, alpha: float, beta: float, k: float) -> None:
    y = functional.local_response_norm(_mirrored(_tensor(Z), size), size, alpha, beta, k)
    Y[...] = _mirrored(y, size).numpy()


@kernel
def local_response_norm_grad_input(
    Delta: Array, Z: Array, dZ: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    delta, z = (_mirrored(t, size) for t in _tensors(Delta, Z))
    z = z.detach().requires_grad_()
    with torch.enable_grad():
        y = functional.local_response_norm(z, size, alpha, beta, k)
        (gradient,) = torch.autograd.grad(y, z, delta)
    dZ[...] = _mirrored(gradient, size).numpy()


# --------------------------------------------------------------------- affine, sums and products, costs


@kernel
def add(A: Array, B: Array, Y: Array) -> None:
    Y[...] = (_tensor(A) + _tensor(B)).numpy()


@kernel
def add_grad_input(Delta: Array, A: Array, dA: Array) -> None:
    dA[...] = _tensor(Delta).sum_to_size(A.shape).numpy()


@kernel
def multiply(A: Array, B: Array, Y: Array) -> None:
    Y[...] = (_tensor(A) * _tensor(B)).numpy()


@kernel
def multiply_grad_input(Delta: Array, A: Array, B: Array, dA: Array) -> None:
    dA[...] = (_tensor(Delta) * _tensor(B)).sum_to_size(A.shape).numpy()


@kernel
def matmul(A: Array, B: Array, Y: Array) -> None:
    Y[...] = torch.matmul(*_tensors(A, B)).numpy()


@kernel
def matmul_grad_a(Delta: Array, A: Array, B: Array, dA: Array) -> None:
    delta, b = _tensors(Delta, B)
    dA[...] = (delta @ b.mT).sum_to_size(A.shape).numpy()


@kernel
def matmul_grad_b(Delta: Array, A: Array, B: Array, dB: Array) -> None:
    delta, a = _tensors(Delta, A)
    dB[...] = (a.mT @ delta).sum_to_size(B.shape).numpy()


@kernel
def affine(Z: Array, w: Array, b: Array, Y: Array) -> None:
    Y[...] = functional.linear(*_tensors(Z, w, b)).numpy()


@kernel
def affine_grad_input(Delta: Array, w: Array, dZ: Array) -> None:
    delta, weight = _tensors(Delta, w)
    dZ[...] = (delta @ weight).numpy()


@kernel
def affine_grad_weight(Delta: Array, Z: Array, dw: Array) -> None:
    delta, z = _tensors(Delta, Z)
    dw[...] = (delta.T @ z).numpy()


@kernel
def affine_grad_bias(Delta: Array, db: Array) -> None:
    db[...] = _tensor(Delta).sum(dim=0).numpy()


def _gradient(cost: Any, Z: Array, divisor: int) -> Array:
    """A cost's gradient by autograd; divided afterwards, since torch would multiply by a rounded 1 / divisor."""
    z = _tensor(Z).clone().requires_grad_()
    gradient: Tensor = torch.autograd.grad(cost(z), z)[0] / divisor
    return np.asarray(gradient)


@kernel
def squared_error(A: Array, T: Array, E: Array, *, divisor: int) -> None:
    a, t = (x.double() for x in _tensors(A, T))
    E[...] = functional.mse_loss(a, t, reduction="sum").item() / 2 / divisor


@kernel
def squared_error_grad_input(A: Array, T: Array, dA: Array, *, divisor: int) -> None:
    t = _tensor(T)
    dA[...] = _gradient(lambda a: functional.mse_loss(a, t, reduction="sum") / 2, A, divisor)


@kernel
def cross_entropy(Z: Array, t: Array, E: Array, *, divisor: int) -> None:
    z, target = (x.double() for x in _tensors(Z, t))
    E[...] = functional.cross_entropy(z, target, reduction="sum").item() / divisor


@kernel
def cross_entropy_grad_input(Z: Array, t: Array, dZ: Array, *, divisor: int) -> None:
    target = _tensor(t)
    dZ[...] = _gradient(lambda z: functional.cross_entropy(z, target, reduction="sum"), Z, divisor)


@kernel
def cross_entropy_index(Z: Array, t: Array, E: Array, *, divisor: int) -> None:
    z, target = _tensors(Z, t)
    E[...] = functional.cross_entropy(z.double(), target, reduction="sum").item() / divisor


@kernel
def cross_entropy_index_grad_input(Z: Array, t: Array, dZ: Array, *, divisor: int) -> None:
    target = _tensor(t)
    dZ[...] = _gradient(lambda z: functional.cross_entropy(z, target, reduction="sum"), Z, divisor)
