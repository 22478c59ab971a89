"""Pooling layers (P1-P4): nothing to learn."""

from typing import Any, Literal

from .. import _check, ops
from .._check import Array, Padding2d, Pair
from ..ops._winners import Winners
from ..ops.global_pool2d import whole
from ._arguments import number
from ._layer import Layer

_WINDOW = ("kernel_size", "stride", "padding", "ceil_mode")


class _Pool2d(Layer):
    """What pooling layers share: the window and its options."""

    _borrows = True

    def __init__(
        self,
        kernel_size: int | Pair,
        stride: int | Pair | None,
        padding: Padding2d,
        ceil_mode: bool,
        backend: str | None,
    ) -> None:
        super().__init__(backend=backend)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode = _check.flag("ceil_mode", ceil_mode)
        _check.pair("kernel_size", kernel_size, 1)
        if stride is not None:
            _check.pair("stride", stride, 1)
        _check.padding_form(padding)

    def _options(self) -> dict[str, Any]:
        return {
            "stride": self.stride,
            "padding": self.padding,
            "ceil_mode": self.ceil_mode,
            "backend": self._back_end,
        }


class MaxPool2d(_Pool2d, settings=(*_WINDOW, "ties")):
    """Maximum of each window (P1, P2): `cnnx.max_pool2d`.

    Parameters
    ----------
    kernel_size : int or (rows, columns)
    stride, padding, ceil_mode
        As `cnnx.max_pool2d` takes them; stride None is the window's size.
    ties : "first" or "all"
        Which of a window's equal maxima get the gradient: the first, or all of them as M17, D19 and CN
        print it (equations.md section 6: that is no derivative).
    backend : str or None

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; what the op raises.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> layer = nn.MaxPool2d(2)
    >>> layer.forward(np.arange(4.0).reshape(1, 1, 2, 2))
    array([[[[3.]]]])
    >>> layer.backward(np.full((1, 1, 1, 1), 5.0))
    array([[[[0., 0.],
             [0., 5.]]]])
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        *,
        stride: int | Pair | None = None,
        padding: Padding2d = 0,
        ceil_mode: bool = False,
        ties: Literal["first", "all"] = "first",
        backend: str | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, backend)
        self.ties = _check.choice("ties", ties, ("first", "all"))

    def _forward(self, x: Array) -> tuple[Array, Any]:
        if self.ties == "first":
            return Winners.forward(
                x, self.kernel_size, self.stride, self.padding, self.ceil_mode, backend=self._back_end
            )
        return self._infer(x), x

    def _infer(self, x: Array) -> Array:
        y = ops.max_pool2d(x, self.kernel_size, **self._options())
        assert not isinstance(y, tuple), "no winners were asked for"
        return y

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        if isinstance(saved, Winners):
            return saved.backward(grad_output, self._back_end)
        return ops.max_pool2d_backward(grad_output, saved, self.kernel_size, ties="all", **self._options())


class AvgPool2d(_Pool2d, settings=(*_WINDOW, "count_include_pad")):
    """Average of each window (P3): `cnnx.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, backend
        As `MaxPool2d` takes them.
    count_include_pad : bool
        True divides by the window clipped to the padded image; False by its members within the image.
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        *,
        stride: int | Pair | None = None,
        padding: Padding2d = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = False,
        backend: str | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, backend)
        self.count_include_pad = _check.flag("count_include_pad", count_include_pad)

    def _options(self) -> dict[str, Any]:
        return super()._options() | {"count_include_pad": self.count_include_pad}

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return ops.avg_pool2d(x, self.kernel_size, **self._options()), x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        return ops.avg_pool2d_backward(grad_output, saved, self.kernel_size, **self._options())


class LpPool2d(_Pool2d, settings=(*_WINDOW, "norm_type", "normalize")):
    """Lp norm of each window (P4): `cnnx.lp_pool2d`.

    Parameters
    ----------
    norm_type : float
        rho, at least 1.
    kernel_size, stride, padding, ceil_mode, backend
        As `MaxPool2d` takes them.
    normalize : bool
        False leaves out the division by the number of members.
    """

    def __init__(
        self,
        norm_type: float,
        kernel_size: int | Pair,
        *,
        stride: int | Pair | None = None,
        padding: Padding2d = 0,
        ceil_mode: bool = False,
        normalize: bool = True,
        backend: str | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, backend)
        self.norm_type = number("norm_type", norm_type, "a number of at least 1", lambda v: v >= 1)
        self.normalize = _check.flag("normalize", normalize)

    def _options(self) -> dict[str, Any]:
        return super()._options() | {"normalize": self.normalize}

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return ops.lp_pool2d(x, self.norm_type, self.kernel_size, **self._options()), x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        return ops.lp_pool2d_backward(grad_output, saved, self.norm_type, self.kernel_size, **self._options())


class GlobalAvgPool2d(Layer, settings=()):
    """Average of each map, (N, C, H, W) to (N, C, 1, 1): `cnnx.global_avg_pool2d` (P3).

    Parameters
    ----------
    backend : str or None
        As `MaxPool2d` takes it.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.GlobalAvgPool2d().forward(np.arange(6.0).reshape(1, 1, 2, 3))
    array([[[[2.5]]]])
    """

    _borrows = True

    def _forward(self, x: Array) -> tuple[Array, Any]:
        return ops.global_avg_pool2d(x, backend=self._back_end), x

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        if not input_grad:
            return None
        return ops.global_avg_pool2d_backward(grad_output, saved, backend=self._back_end)


class GlobalMaxPool2d(Layer, settings=()):
    """Maximum of each map, (N, C, H, W) to (N, C, 1, 1): `cnnx.global_max_pool2d` (P1, P2).

    For the way back it keeps where each maximum was found, and not the images.

    Parameters
    ----------
    backend : str or None
        As `MaxPool2d` takes it.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> nn.GlobalMaxPool2d().forward(np.arange(6.0).reshape(1, 1, 2, 3))
    array([[[[5.]]]])
    """

    _borrows = True

    def _forward(self, x: Array) -> tuple[Array, Any]:
        if not _check.plain(x):
            (x,) = _check.floats(x=x)
        window = whole((x.shape,)).numbers
        return Winners.forward(x, (window["R"], window["S"]), None, 0, False, backend=self._back_end)

    def _infer(self, x: Array) -> Array:
        y = ops.global_max_pool2d(x, backend=self._back_end)
        assert not isinstance(y, tuple), "no winners were asked for"
        return y

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        return saved.backward(grad_output, self._back_end) if input_grad else None
