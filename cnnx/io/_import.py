"""ONNX to networks."""

import os
from collections.abc import Mapping
from typing import Literal

from .. import _check, nn
from ._reading.file import File
from ._reading.network import Network


def import_onnx(
    path: str | os.PathLike[str],
    *,
    output: str | None = None,
    algorithm: Literal["direct", "auto"] = "direct",
    input_shape: tuple[int | None, ...] | Mapping[str, tuple[int | None, ...]] | None = None,
    batch_axis: int = 0,
) -> nn.Graph:
    """Read a network from an ONNX model, of opset 7 or newer, as torch's two exporters write it among others.

    What depends on no image is computed while the file is read: constants, arithmetic on shapes. The number of images
    is open, whatever the file says, and so are rows and columns where it leaves them open: what it computes of them is
    computed at each call, as `cnnx.nn.Reshape` and others take it. Arrays may stand in other files, as long as these
    are in the model's folder.

    Layers are made of: Conv, ConvTranspose (these, pooling and BatchNormalization of (N, C, L) too), Gemm, MatMul
    (by a constant, with the Add behind it, or of two values), MaxPool, AveragePool, LpPool, GlobalAveragePool,
    GlobalMaxPool, ReduceMean, ReduceMax, BatchNormalization, InstanceNormalization, GroupNormalization,
    LayerNormalization, RMSNormalization, LRN, Resize and Upsample (nearest and linear), PRelu, Dropout, Relu,
    LeakyRelu, Elu, Gelu (both forms), Clip, HardSigmoid, HardSwish, Sigmoid, Tanh, Softplus, Softmax, LogSoftmax
    (also as Log behind Softmax), Selu, Celu, Mish and Identity; of GELU in parts, and of normalisation over any
    axes in parts, by deviations or by the root of the mean of squares, in whatever order they are computed; of Add,
    Sum, Sub, Mul, Max and Min of values, or of a value and a constant, Einsum of products of matrices, of values or
    with an array of the file, Div by a constant, Pow by 1, 2 or 3, Neg, Abs, Where by a constant condition (what it
    hides has to be finite); of ReduceSum, ReduceSumSquare, ReduceL1, ReduceL2, ReduceMin; of Concat (also with
    constants), Split, Slice, Gather (by constants), Expand, Tile, Pad, Flatten, Reshape, Squeeze, Unsqueeze,
    DepthToSpace, SpaceToDepth and Transpose; all in float32 or float64.

    The images come in along the first axis of the file's inputs, or along `batch_axis`, as in a transformer that is
    given (L, N, E), and the output has them there. The network that is read has the images first, (N, L, E), and so
    have its layers, also where the images' axis moves within the file and is part of another, as that of heads. What
    makes one image depend on another is refused.

    Parameters
    ----------
    path : str or path
    output : str or None
        Which value the network gives; None takes the model's only output.
    algorithm : "direct" or "auto"
        The convolutions', as `cnnx.conv2d` takes it.
    input_shape : tuple of int, mapping of name to tuple, or None
        The inputs' (N, C, H, W) as the file has them, where the file leaves extents open that it should not; None
        leaves one open. N counts only where the file computes with the number of images, which stays open.
    batch_axis : int
        The axis of the file's inputs along which the images are, from 0; an output may have them there or first.

    Returns
    -------
    Sequential or Graph
        In evaluation mode; a Graph where values branch or meet, with the nodes' names ("/" for ".").

    Raises
    ------
    ModuleNotFoundError
        onnx is not installed (extra `onnx`).
    TypeError, ValueError
        An algorithm that is neither; no ONNX model, or one that no network of cnnx's layers computes: the message names
        each node that has none, with its operator and the reason.
    OSError
        The file cannot be read, or is a directory or a device.

    Examples
    --------
    >>> import tempfile
    >>> from cnnx import io
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     io.import_onnx(file.name)
    Traceback (most recent call last):
        ...
    ValueError: /tmp/...: expected an ONNX model that cnnx has layers for: ...
    """
    _check.choice("algorithm", algorithm, ("direct", "auto"))
    _check.integer("batch_axis", batch_axis, 0)
    try:
        file = File(path)
        shapes = _shapes(input_shape, [one.name for one in file.inputs])
        return Network(file, output, algorithm, shapes, batch_axis).model()
    except ValueError as error:
        why = " ".join(str(error).split())  # onnx writes paragraphs
        raise ValueError(f"{os.fspath(path)}: expected an ONNX model that cnnx has layers for: {why}") from None


def _shapes(given: object, names: list[str]) -> dict[str, tuple[int | None, ...]]:
    """The shapes of inputs that are given."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        if len(names) != 1:
            raise ValueError(
                f"input_shape: expected shapes by name, of the inputs {_check.shown(names)}, got one shape"
            )
        given = {names[0]: given}
    found = {}
    for name, shape in given.items():
        if name not in names:
            raise ValueError(f"input_shape: expected the name of an input, of {_check.shown(names)}, got {name!r}")
        if not isinstance(shape, (tuple, list)) or not shape:
            raise ValueError(f"input_shape: expected the integers (N, C, H, W), got {_check.shown(shape)}")
        found[name] = tuple(
            None if extent is None else _check.integer(f"input_shape[{i}]", extent, 1) for i, extent in enumerate(shape)
        )
    return found
