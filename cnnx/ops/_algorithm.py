"""What `algorithm="auto"` means for a convolution."""

from .. import _check
from .._check import Padding2d, Pair
from ._conv import geometry


def conv2d_algorithm(
    x: tuple[int, int, int, int],
    weight: tuple[int, int, int, int],
    *,
    stride: int | Pair = 1,
    padding: Padding2d = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> tuple[str, str]:
    """Which algorithms `conv2d` and `conv2d_backward` take with algorithm="auto".

    They are found by shape alone: what a layer costs for one image, transforms included, by counting products. So the
    number of images does not matter, nor do dtype, threads, instruction set or whether a frozen layer keeps its
    transformed kernels: with each of these, results stay the same bits.

    Parameters
    ----------
    x, weight : tuple of four integers
        Shapes, (N, C, H, W) and (K, C/groups, R, S).
    stride, padding, dilation, groups
        As `conv2d` takes them.

    Returns
    -------
    forward, input_grad : "direct" or "winograd"
        For the output, and for the gradient with respect to x. Those with respect to weight and bias are direct.

    Raises
    ------
    TypeError, ValueError
        As `conv2d` does.

    Examples
    --------
    >>> import cnnx
    >>> cnnx.conv2d_algorithm((1, 64, 56, 56), (64, 64, 3, 3), padding=1)
    ('winograd', 'winograd')
    >>> cnnx.conv2d_algorithm((1, 3, 224, 224), (64, 3, 3, 3), padding=1)
    ('direct', 'winograd')
    >>> cnnx.conv2d_algorithm((1, 512, 7, 7), (512, 512, 3, 3), padding=1)
    ('direct', 'direct')
    """
    shapes = _shape("x", x), _shape("weight", weight)
    return geometry(shapes, stride, padding, dilation, groups, "auto").algorithms


def _shape(name: str, extents: object) -> tuple[int, ...]:
    if not isinstance(extents, (tuple, list)):
        raise TypeError(f"{name}: expected a shape, a tuple of integers, got {_check.shown(extents)}")
    return tuple(_check.integer(f"{name}[{i}]", extent, min(i, 1)) for i, extent in enumerate(extents))
