"""Libraries with functions and automatic differentiation: all their kernels, by what one library says of itself."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import backend as _backend
from ._kernels import Array, Frame, Kernels, frame, framed, members, unframed

Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)
Pair = tuple[int, int]
Function = Callable[..., Any]
FROM_OUTPUT = "automatic differentiation starts from the input, not from the output"


def channels_last(transpose: Function) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """An image as (N, H, W, C), and back as (N, C, H, W), by a library's own transposition."""
    return lambda x: transpose(x, (0, 2, 3, 1)), lambda x: transpose(x, (0, 3, 1, 2))


class Library:
    """What a library is asked for; an image is (N, C, H, W), whatever order the library itself prefers.

    name : as users know it.
    elementwise : by an activation's name the library's function, which takes the numbers by the kernel's names.
    rows : the same for functions along axis 1.
    left_out : kernels that it lacks or that are not to be judged, with the reason.
    pads : of a convolution, of both poolings: whether the library itself takes a padding by side. Where not, the image
        is padded before, and an average that leaves padding out is lacking.
    """

    name = ""
    elementwise: ClassVar[Mapping[str, Function]] = {}
    rows: ClassVar[Mapping[str, Function]] = {}
    left_out: ClassVar[Mapping[str, str]] = {}
    conv_pads = max_pads = avg_pads = True

    def array(self, a: Array) -> Any:
        """The library's array of one of NumPy's."""
        raise NotImplementedError

    def numpy(self, y: Any) -> Array:
        """NumPy's array of one of the library's."""
        return np.asarray(y)

    def vjp(self, function: Function, inputs: Sequence[Any], delta: Any) -> Sequence[Any]:
        """The gradients of `function` for its inputs, given the output's."""
        raise NotImplementedError

    def conv2d(self, x: Any, w: Any, stride: Pair, pads: Pads, dilation: Pair, groups: int) -> Any:
        """A convolution without a bias."""
        raise NotImplementedError

    def max_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads) -> Any:
        """A maximum which padding never wins."""
        raise NotImplementedError

    def avg_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads, include_pad: bool) -> Any:
        """An average, with padding among its members or without."""
        raise NotImplementedError


def of_functions(library: Library, *, with_threads: "_backend.WithThreads | None" = None) -> Kernels:
    """The kernels of a library, which is judged by the conventions of its name."""
    found = _Functions(library)
    known = _backend.kernel_names("reference")
    mine = {name: getattr(found, name) for name in known if hasattr(found, name)}
    for name, function in {**library.elementwise, **library.rows}.items():
        mine[name] = functools.partial(found.forward, function)
        mine[f"{name}_grad_input"] = functools.partial(found.grad_input, function)
    reasons = {
        **dict.fromkeys(known, f"the adapter asks {library.name} for none"),
        **{name: FROM_OUTPUT for name in known if name.endswith("_output")},
        "max_pool2d_winners": "the adapter asks for gradients alone",
        "max_pool2d_grad_input_winners": "the adapter asks for gradients alone",
        **library.left_out,
    }
    kernels = Kernels({}, compat=library.name, with_threads=with_threads)
    found.lacks = kernels.lacks
    for name in sorted({*mine} - {*library.left_out}):
        kernels.kernel(_named(name, mine[name]))
    kernels.left_out.update({name: why for name, why in reasons.items() if name not in kernels})
    return kernels


def _named(name: str, function: Function) -> Function:
    def kernel(*arrays: Array, **numbers: Any) -> None:
        function(*arrays, **numbers)

    kernel.__name__ = name
    return kernel


class _Image(NamedTuple):
    """An image as a library takes it, and the padding that is left to the library."""

    x: Array
    pads: Pads
    cut: Frame | None  # what was added or cut before

    @classmethod
    def of(cls, Z: Array, around: Frame, fill: float, *, by_library: bool) -> "_Image":
        if min(around) >= 0 and by_library:
            return cls(Z, ((around.top, around.bottom), (around.left, around.right)), None)
        return cls(framed(Z, around, fill), ((0, 0), (0, 0)), around)

    def back(self, gradient: Array, dZ: Array) -> None:
        """The image's gradient out of that of `x`."""
        if self.cut is None:
            dZ[...] = gradient
        else:
            unframed(gradient, self.cut, dZ)


class _Functions:
    """The kernels, as methods by their names."""

    lacks: Callable[[str], _backend.MissingKernelError]

    def __init__(self, library: Library) -> None:
        self._of = library
        self._array = library.array

    def _back(self, function: Function, delta: Array, *inputs: Array) -> list[Array]:
        found = self._of.vjp(function, [self._array(a) for a in inputs], self._array(delta))
        return [self._of.numpy(one) for one in found]

    # -------------------------------------------------------------------------- element by element, rows

    def forward(self, function: Function, Z: Array, Y: Array, **numbers: Any) -> None:
        Y[...] = self._of.numpy(function(self._array(Z), **numbers))

    def grad_input(self, function: Function, Delta: Array, Z: Array, dZ: Array, **numbers: Any) -> None:
        (dZ[...],) = self._back(functools.partial(function, **numbers), Delta, Z)

    # ------------------------------------------------------------------------------------ convolution

    def _conv(self, Z: Array, Y: Array, F: Array, n: Mapping[str, int]) -> tuple[_Image, Function]:
        """The image, and the convolution of it and weights."""
        geometry = {name: n[name] for name in ("u", "v", "p_h", "p_w", "d_h", "d_w")}
        around = frame(Z, Y, R=F.shape[2], S=F.shape[3], **geometry)
        image = _Image.of(Z, around, 0.0, by_library=self._of.conv_pads)
        strides, dilation = (n["u"], n["v"]), (n["d_h"], n["d_w"])
        return image, lambda x, w: self._of.conv2d(x, w, strides, image.pads, dilation, n["groups"])

    def conv2d(self, Z: Array, F: Array, b: Array, Y: Array, **n: int) -> None:
        image, conv = self._conv(Z, Y, F, n)
        Y[...] = self._of.numpy(conv(self._array(image.x), self._array(F)) + self._array(b[:, None, None]))

    def conv2d_grad_input(self, Delta: Array, F: Array, dZ: Array, **n: int) -> None:
        image, conv = self._conv(np.zeros_like(dZ), Delta, F, n)
        weight = self._array(F)
        image.back(self._back(lambda x: conv(x, weight), Delta, image.x)[0], dZ)

    def conv2d_grad_weight(self, Delta: Array, Z: Array, dF: Array, **n: int) -> None:
        image, conv = self._conv(Z, Delta, dF, n)
        x = self._array(image.x)
        (dF[...],) = self._back(lambda w: conv(x, w), Delta, np.zeros_like(dF))

    def conv2d_grad_bias(self, Delta: Array, db: Array) -> None:
        images = self._array(np.zeros_like(Delta))
        (gradient,) = self._back(lambda b: images + b, Delta, np.zeros_like(db)[:, None, None])
        db[...] = gradient[:, 0, 0]

    # ---------------------------------------------------------------------------------------- pooling

    def _max(self, Z: Array, Y: Array, geometry: dict[str, int]) -> tuple[_Image, Function]:
        image = _Image.of(Z, frame(Z, Y, **geometry), -np.inf, by_library=self._of.max_pads)
        window, stride = (geometry["R"], geometry["S"]), (geometry["u"], geometry["v"])
        return image, lambda x: self._of.max_pool2d(x, window, stride, image.pads)

    def max_pool2d(self, Z: Array, Y: Array, **geometry: int) -> None:
        image, pool = self._max(Z, Y, geometry)
        Y[...] = self._of.numpy(pool(self._array(image.x)))

    def max_pool2d_grad_input(self, Delta: Array, Z: Array, dZ: Array, **geometry: int) -> None:
        image, pool = self._max(Z, Delta, geometry)
        image.back(self._back(pool, Delta, image.x)[0], dZ)

    def _average(
        self, Z: Array, Y: Array, p_b: int, p_r: int, include_pad: int, geometry: dict[str, int]
    ) -> tuple[_Image, Function]:
        around = frame(Z, Y, **geometry)
        window, stride = (geometry["R"], geometry["S"]), (geometry["u"], geometry["v"])
        if include_pad and (members(Z, Y, p_b, p_r, True, **geometry) != window[0] * window[1]).any():
            raise self.lacks(f"{self._of.name}'s average divides by the whole window where padding counts")
        image = _Image.of(Z, around, 0.0, by_library=self._of.avg_pads)
        if image.cut is not None and not include_pad and max(around) > 0:
            raise self.lacks(f"{self._of.name}'s average takes no padding by side that it leaves out")
        return image, lambda x: self._of.avg_pool2d(x, window, stride, image.pads, bool(include_pad))

    def avg_pool2d(self, Z: Array, Y: Array, *, p_b: int, p_r: int, include_pad: int, **geometry: int) -> None:
        image, pool = self._average(Z, Y, p_b, p_r, include_pad, geometry)
        Y[...] = self._of.numpy(pool(self._array(image.x)))

    def avg_pool2d_grad_input(
        self, Delta: Array, Z: Array, dZ: Array, *, p_b: int, p_r: int, include_pad: int, **geometry: int
    ) -> None:
        image, pool = self._average(Z, Delta, p_b, p_r, include_pad, geometry)
        image.back(self._back(pool, Delta, image.x)[0], dZ)

    # ----------------------------------------------------------------------- sums and products, affine

    def add(self, A: Array, B: Array, Y: Array) -> None:
        Y[...] = self._of.numpy(self._array(A) + self._array(B))

    def add_grad_input(self, Delta: Array, A: Array, dA: Array) -> None:
        other = self._array(np.zeros_like(Delta))
        (dA[...],) = self._back(lambda a: a + other, Delta, A)

    def multiply(self, A: Array, B: Array, Y: Array) -> None:
        Y[...] = self._of.numpy(self._array(A) * self._array(B))

    def multiply_grad_input(self, Delta: Array, A: Array, B: Array, dA: Array) -> None:
        other = self._array(B)
        (dA[...],) = self._back(lambda a: a * other, Delta, A)

    def matmul(self, A: Array, B: Array, Y: Array) -> None:
        Y[...] = self._of.numpy(self._array(A) @ self._array(B))

    def matmul_grad_a(self, Delta: Array, A: Array, B: Array, dA: Array) -> None:
        other = self._array(B)
        (dA[...],) = self._back(lambda a: a @ other, Delta, A)

    def matmul_grad_b(self, Delta: Array, A: Array, B: Array, dB: Array) -> None:
        other = self._array(A)
        (dB[...],) = self._back(lambda b: other @ b, Delta, B)

    def affine(self, Z: Array, w: Array, b: Array, Y: Array) -> None:
        Y[...] = self._of.numpy(self._array(Z) @ self._array(w.T.copy()) + self._array(b))

    def affine_grad_input(self, Delta: Array, w: Array, dZ: Array) -> None:
        weight = self._array(w.T.copy())
        (dZ[...],) = self._back(lambda z: z @ weight, Delta, np.zeros_like(dZ))

    def affine_grad_weight(self, Delta: Array, Z: Array, dw: Array) -> None:
        z = self._array(Z)
        (gradient,) = self._back(lambda w: z @ w, Delta, np.zeros_like(dw.T))
        dw[...] = gradient.T

    def affine_grad_bias(self, Delta: Array, db: Array) -> None:
        rows = self._array(np.zeros_like(Delta))
        (db[...],) = self._back(lambda b: rows + b, Delta, np.zeros_like(db))
