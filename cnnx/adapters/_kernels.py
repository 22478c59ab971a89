"""What all adapters share: the set of kernels, and the part of an image that windows reach."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import backend as _backend

Array = np.ndarray[Any, Any]
Kernel = Callable[..., None]

WINOGRAD = "the library chooses its algorithm itself"
NOT_COVERED = {
    "conv2d_winograd": WINOGRAD,
    "conv2d_winograd_grad_input": WINOGRAD,
    "conv2d_winograd_weight": WINOGRAD,
    "conv2d_winograd_frozen": WINOGRAD,
}


class Kernels(_backend.Kernels):
    """The kernels of a library, which are added one by one."""

    def __init__(
        self,
        left_out: Mapping[str, str],
        compat: str = "",
        with_threads: "_backend.WithThreads | None" = None,
        instruction_sets: "_backend.Held | None" = None,
    ):
        super().__init__(
            {},
            left_out={**NOT_COVERED, **left_out},
            compat=compat,
            with_threads=with_threads,
            instruction_sets=instruction_sets,
        )

    def kernel(self, function: Kernel) -> Kernel:
        """Add a function under its own name. Where there is nothing to compute it is not called: outputs are zeros."""

        def guarded(*arrays: Array, **numbers: Any) -> None:
            if all(a.size for a in arrays):
                function(*arrays, **numbers)
            else:
                for a in arrays:
                    if a.flags.writeable:
                        a.fill(0)

        self[function.__name__] = guarded
        return function

    def lacks(self, what: str) -> _backend.MissingKernelError:
        """The error for a call that the library has no function for."""
        return _backend.MissingKernelError(what)


class Frame(NamedTuple):
    """How many rows and columns to add (or, negative, to cut) on each side so that windows just fit."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def symmetric(self) -> bool:
        """Whether it is a padding as most libraries take it: the same on both sides."""
        return self.top == self.bottom >= 0 and self.left == self.right >= 0


def frame(
    image: Array, outputs: Array, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int, d_h: int = 1, d_w: int = 1
) -> Frame:
    """What the windows of all outputs, R x S members at strides u, v and dilations d_h, d_w, add to an image."""
    H, W = image.shape[2:]
    P, Q = outputs.shape[2:]
    bottom = u * (P - 1) + d_h * (R - 1) + 1 - p_h - H
    right = v * (Q - 1) + d_w * (S - 1) + 1 - p_w - W
    return Frame(p_h, bottom, p_w, right)


def framed(image: Array, around: Frame, fill: float = 0.0) -> Array:
    """The image with the frame added."""
    N, C, H, W = image.shape
    made = np.full((N, C, H + around.top + around.bottom, W + around.left + around.right), fill, image.dtype)
    h, w = min(H, H + around.bottom), min(W, W + around.right)
    made[:, :, around.top : around.top + h, around.left : around.left + w] = image[:, :, :h, :w]
    return made


def unframed(made: Array, around: Frame, image: Array) -> None:
    """Into `image` what lies within the frame; zeros where the frame had cut."""
    H, W = image.shape[2:]
    h, w = min(H, H + around.bottom), min(W, W + around.right)
    image.fill(0)
    image[:, :, :h, :w] = made[:, :, around.top : around.top + h, around.left : around.left + w]


def members(
    image: Array,
    outputs: Array,
    p_b: int,
    p_r: int,
    include_pad: bool,
    *,
    R: int,
    S: int,
    u: int,
    v: int,
    p_h: int,
    p_w: int,
) -> Array:
    """|R[p,q]| (P3): how many members each window has within the image, or within the padded image."""
    H, W = image.shape[2:]
    P, Q = outputs.shape[2:]
    rows, columns = np.arange(P) * u - p_h, np.arange(Q) * v - p_w
    if include_pad:
        return np.outer(np.minimum(rows + R, H + p_b) - rows, np.minimum(columns + S, W + p_r) - columns)
    return np.outer(np.minimum(rows + R, H) - np.maximum(rows, 0), np.minimum(columns + S, W) - np.maximum(columns, 0))
