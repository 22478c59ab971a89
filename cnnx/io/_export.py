"""Networks to ONNX."""

import os
from typing import Any, NamedTuple

import numpy as np

from .. import __version__, _check, nn
from .._check import Array
from .._files import replacing
from ..nn._arguments import instance
from ..nn._flat import Flat
from ..nn.evaluate import evaluating
from ..ops.activation import bounds
from ._layers import LAYERS, arrays
from ._operators import ACTIVATIONS, DTYPES, no_images, onnx, output

OPSET, IR_VERSION = 20, 9  # the first with Gelu; onnxruntime has read it since 1.17
_MOST_BYTES = 2**31 - 2**20  # what one protobuf message holds, and some room

# Operators that onnxruntime computes in float32 only.
_SINGLE = {
    "AveragePool",
    "Conv",
    "ConvTranspose",
    "Elu",
    "Gelu",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "InstanceNormalization",
    "LRN",
    "LeakyRelu",
    "LpPool",
    "PRelu",
    "Resize",
}
_SINGLE |= {"HardSwish", "Softplus"}


class _Step(NamedTuple):
    """One operator behind the other: its constant inputs, by name, and its attributes.

    It takes what the one before it gives; the first one, all that the layer takes. `more` are inputs of the layer that
    it takes besides, by their numbers: the second operator of a sum of three takes the third. `ahead`: the constants
    come first.
    """

    operator: str
    constants: dict[str, Array]
    attributes: dict[str, Any]
    more: tuple[int, ...] = ()
    ahead: bool = False


def export_onnx(
    model: nn.Layer, path: str | os.PathLike[str], input_shape: tuple[int, ...] | tuple[tuple[int, ...], ...]
) -> None:
    """Write a network as an ONNX model (opset 20), to be run elsewhere: what `eval()` computes.

    Its input "input" and output "output" have a batch axis of any length; several inputs have the names that the Graph
    gives them. Padding, "same" and `ceil_mode` are written
    as the padding that images of this size need. What branches in a `Graph` branches there too.

    Parameters
    ----------
    model : Layer
    path : str or path
        ".onnx" is the usual ending; a file of that name is replaced at the end.
    input_shape : tuple of int
        Of what comes in, without the batch: (C, H, W), or (J,) for a network that starts with Affine. For a Graph of
        several inputs a tuple of their shapes.

    Raises
    ------
    ModuleNotFoundError
        onnx is not installed (extra `onnx`).
    TypeError
        No layer, no tuple of integers.
    ValueError
        What ONNX does not have: Step; LpPool2d with normalize=False and a norm_type that is no integer; AvgPool2d
        with count_include_pad and a last window beyond the padding (ceil_mode). What onnxruntime does not compute in
        float64: Conv2d, ConvTranspose2d, AvgPool2d, LpPool2d, ELU, GELU, HardSigmoid, HardSwish, GroupNorm,
        InstanceNorm2d, LeakyReLU, PReLU, Softplus. Classes of one's own, an input that does not fit, 2 GB of weights;
        another number of shapes than of inputs; inputs with names that the file needs itself.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from cnnx import io, nn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "digits.onnx")
    ...     io.export_onnx(nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Affine(9, 2)), path, (1, 6, 6))
    ...     io.import_onnx(path)
    Sequential(
      (0) MaxPool2d(2)
      (1) Flatten()
      (2) Affine(9, 2)
    )
    """
    instance("model", model, nn.Layer)
    dtype = next((array.dtype for array in model.parameters.values()), np.dtype("float32"))
    if sum(array.nbytes for array in (*model.parameters.values(), *model.buffers.values())) > _MOST_BYTES:
        raise ValueError(f"model: expected at most {_MOST_BYTES} bytes of weights, as one ONNX file holds, got more")
    flat = Flat.of(model)
    names = ["input"] if flat.inputs == 1 else [f"input{i}" for i in range(flat.inputs)]
    if flat.inputs > 1 and isinstance(model, nn.Graph):
        names = list(model.inputs)
    shapes = _shapes(input_shape, names)
    nodes: list[Any] = []
    constants: list[Any] = []
    values = [no_images(shape, dtype) for shape in shapes]
    with evaluating(model):
        for place, layer, sources in flat.calls:
            name = place or "0"
            where = f"layer {name} ({type(layer).__name__})"
            xs, given = [values[i] for i in sources], [names[i] for i in sources]
            try:
                y = output(layer, *xs)
                steps = _steps(layer, xs, y)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where}: {error}") from None
            if isinstance(layer, _SIZED):  # what else they take counts by its shape, which is known here
                given = given[:1]
            before = given[: 2 if any(step.more for step in steps) else None]
            for i, (operator, held, attributes, more, ahead) in enumerate(steps):
                if dtype == np.float64 and operator in _SINGLE:
                    raise ValueError(f"{where}: expected float32, as onnxruntime computes {operator}, got float64")
                here = f"{name}.{operator}" + (f".{i}" if len(steps) > 1 else "")
                named = {f"{name}.{key}": array for key, array in held.items()}
                values_of = [*before, *(given[k] for k in more)]
                taken = [*named, *values_of] if ahead else [*values_of, *named]
                nodes.append(onnx.helper.make_node(operator, taken, [here], name=here, **attributes))
                constants += [onnx.numpy_helper.from_array(np.asarray(a, order="C"), key) for key, a in named.items()]
                before = [here]
            values.append(y)
            names += before
    nodes[-1].output[0] = "output"
    inputs = names[: flat.inputs]
    own = {"output", *(node.output[0] for node in nodes), *(constant.name for constant in constants)}
    if clash := sorted(own.intersection(inputs)):
        raise ValueError(f"model: expected inputs with names that the file does not need itself, got {clash}")
    ends = [
        onnx.helper.make_tensor_value_info(end, DTYPES[dtype], ["N", *shape])
        for end, shape in (*zip(inputs, shapes, strict=True), ("output", values[-1].shape[1:]))
    ]
    graph = onnx.helper.make_graph(nodes, "cnnx", ends[:-1], ends[-1:], constants)
    opsets = [onnx.helper.make_opsetid("", OPSET)]
    made = onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="cnnx", producer_version=__version__
    )
    onnx.checker.check_model(made, full_check=True)
    with replacing(path) as file:
        file.write(made.SerializeToString())


_SIZED = nn.Reshape, nn.Slice, nn.ZeroPad2d, nn.Upsample2d


def _shapes(given: object, names: list[str]) -> list[tuple[int, ...]]:
    """The shape of each input."""
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"input_shape: expected a tuple of integers, got {type(given).__name__}")
    if len(names) == 1:
        return [tuple(given)]
    if len(given) != len(names) or not all(isinstance(shape, (tuple, list)) for shape in given):
        raise ValueError(f"input_shape: expected a shape for each of the inputs {names}, got {given}")
    return [tuple(shape) for shape in given]


def _steps(layer: nn.Layer, xs: list[Array], y: Array) -> list[_Step]:
    """A layer as operators, for inputs and an output of these shapes."""
    x = xs[0]
    if LAYERS.get(type(layer).__name__) is not type(layer):  # a subclass may compute anything
        raise ValueError("expected a layer of cnnx.nn, got another class")
    for operator, (activation, argument, attribute, _) in ACTIVATIONS.items():
        if isinstance(layer, activation):
            return [_Step(operator, {}, {attribute: getattr(layer, argument)} if argument else {})]
    if isinstance(layer, (nn.Add, nn.Multiply)):
        operator = "Add" if isinstance(layer, nn.Add) else "Mul"
        return [_Step(operator, {}, {}, (i,)[: i - 1]) for i in range(1, len(xs))]
    if isinstance(layer, nn.MatMul):
        return [_Step("MatMul", {}, {})]
    if isinstance(layer, nn.Concat):
        return [_Step("Concat", {}, {"axis": layer.axis})]
    if isinstance(layer, (nn.Clip, nn.ReLU6)):
        low, high = bounds(layer.min, layer.max)
        return [_Step("Clip", {"min": np.array(low, x.dtype), "max": np.array(high, x.dtype)}, {})]
    if isinstance(layer, nn.GELU):
        return [_Step("Gelu", {}, {"approximate": "none"})]
    if isinstance(layer, nn.Flatten):
        return [_Step("Flatten", {}, {"axis": 1})]
    if isinstance(layer, nn.Dropout):
        return [_Step("Dropout", {"ratio": np.array(layer.rate, x.dtype)}, {})]
    if isinstance(layer, nn.Affine):
        if x.ndim == 2:
            return [_Step("Gemm", dict(layer.parameters), {"transB": 1})]
        product = _Step("MatMul", {"weight": layer.parameters["weight"].T}, {})
        return [product, _Step("Add", {"bias": layer.parameters["bias"]}, {})] if layer.bias else [product]
    if isinstance(layer, nn.BatchNorm2d):
        attributes = {"epsilon": layer.eps, "momentum": 1 - layer.momentum}
        return [_Step("BatchNormalization", {**layer.parameters, **layer.buffers}, attributes)]
    if isinstance(layer, nn.Conv2d):
        dilation = _check.pair("dilation", layer.dilation, 1)
        window = _window(layer.kernel_size, layer.stride, layer.padding, dilation, x, y)
        return [_Step("Conv", dict(layer.parameters), {**window, "dilations": dilation, "group": layer.groups})]
    if isinstance(layer, nn.ConvTranspose2d):
        pairs = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "dilations": layer.dilation}
        whole = {name: _check.pair(name, value, 1) for name, value in pairs.items()}
        whole["output_padding"] = _check.pair("output_padding", layer.output_padding, 0)
        (top, bottom), (left, right) = _check.paddings(layer.padding, (1, 1), (1, 1), (1, 1))
        pads = {"pads": [top, left, bottom, right], "group": layer.groups}
        return [_Step("ConvTranspose", dict(layer.parameters), {**whole, **pads})]
    if isinstance(layer, (nn.Reshape, nn.Transpose, nn.Slice, nn.ZeroPad2d)):
        return [_moved(layer, xs, y)]
    if isinstance(layer, nn.Constant):
        count = _Step("Shape", {}, {"start": 0, "end": 1})
        shape = _Step("Concat", {"extents": np.array(layer.extents)}, {"axis": 0})
        return [count, shape, _Step("Expand", {"value": layer.operand}, {}, ahead=True)]
    if isinstance(layer, (nn.Scale, nn.Bias)):
        operator, ((name, array),) = ("Mul" if isinstance(layer, nn.Scale) else "Add"), arrays(layer).items()
        return [_Step(operator, {name: array.reshape(layer.extents)}, {})]
    if isinstance(layer, nn.HardSigmoid):
        return [_Step("HardSigmoid", {}, {"alpha": layer.alpha, "beta": layer.beta})]
    if isinstance(layer, nn.SiLU):
        return [_Step("Sigmoid", {}, {}), _Step("Mul", {}, {}, (0,))]
    if isinstance(layer, nn.PReLU):
        slope = layer.parameters["weight"]
        return [_Step("PRelu", {"slope": slope.reshape(-1, *[1] * (x.ndim - 2)) if slope.size > 1 else slope}, {})]
    if isinstance(layer, nn.Upsample2d):
        return [_resize(layer, xs)]
    if isinstance(layer, nn.GlobalAvgPool2d):
        return [_Step("GlobalAveragePool", {}, {})]
    if isinstance(layer, nn.GlobalMaxPool2d):
        return [_Step("GlobalMaxPool", {}, {})]
    if isinstance(layer, (nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm)):
        return _normalised(layer, x)
    if isinstance(layer, nn.LocalResponseNorm):
        return [_Step("LRN", {}, {"size": layer.size, "alpha": layer.alpha, "beta": layer.beta, "bias": layer.k})]
    if isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d, nn.LpPool2d)):
        return _pooling(layer, x, y)
    raise ValueError("expected a layer that is an operator of ONNX, got one that is none")


def _normalised(layer: nn.GroupNorm | nn.InstanceNorm2d | nn.LayerNorm, x: Array) -> list[_Step]:
    eps: dict[str, Any] = {"epsilon": layer.eps}

    def parameters(shape: int | tuple[int, ...]) -> dict[str, Array]:
        return dict(layer.parameters) or {"weight": np.ones(shape, x.dtype), "bias": np.zeros(shape, x.dtype)}

    if isinstance(layer, nn.LayerNorm):
        last = layer.normalized_shape
        return [_Step("LayerNormalization", parameters(last), {"axis": -len(last), **eps})]
    if isinstance(layer, nn.InstanceNorm2d):
        return [_Step("InstanceNormalization", parameters(layer.channels), eps)]
    # GroupNormalization has a scale for each group up to opset 20.
    G, channels = layer.num_groups, (layer.channels, *[1] * (x.ndim - 2))
    plain = {"scale": np.ones(G, x.dtype), "B": np.zeros(G, x.dtype)}
    steps = [
        _Step("Reshape", {"shape.0": np.array([0, G, -1])}, {}),
        _Step("InstanceNormalization", plain, eps),
        _Step("Reshape", {"shape.1": np.array([0, *x.shape[1:]])}, {}),
    ]
    for operator, name in (("Mul", "weight"), ("Add", "bias")) if layer.affine else ():
        steps.append(_Step(operator, {name: layer.parameters[name].reshape(channels)}, {}))
    return steps


def _moved(layer: nn.Reshape | nn.Transpose | nn.Slice | nn.ZeroPad2d, xs: list[Array], y: Array) -> _Step:
    x = xs[0]
    if isinstance(layer, nn.Reshape):
        return _Step("Reshape", {"shape": np.array([0, *y.shape[1:]])}, {})
    if isinstance(layer, nn.Transpose):
        return _Step("Transpose", {}, {"perm": layer.axes})
    if isinstance(layer, nn.Slice):
        where = layer._where([each.shape for each in xs])[-1]
        start, stop, step = where.indices(x.shape[layer.axis])
        places = {"starts": start, "ends": stop if stop >= 0 else -_check.LARGEST, "axes": layer.axis, "steps": step}
        return _Step("Slice", {name: np.array([place]) for name, place in places.items()}, {})
    (top, bottom), (left, right) = layer._amounts([each.shape for each in xs])
    pads = {"pads": np.array([0, 0, top, left, 0, 0, bottom, right])}
    if isinstance(layer, nn.Pad2d) and layer.mode == "constant":
        pads["value"] = np.array(layer.value, x.dtype)
    return _Step("Pad", pads, {"mode": layer.mode} if isinstance(layer, nn.Pad2d) else {})


def _resize(layer: nn.Upsample2d, xs: list[Array]) -> _Step:
    named: dict[str, Any] = {"coordinate_transformation_mode": layer.coordinates}
    named |= {"mode": "nearest", "nearest_mode": layer.rounding} if layer.mode == "nearest" else {"mode": "linear"}
    none = np.zeros(0, np.float32)
    if layer.size is None:
        scales = np.array([1, 1, *_check.pair("scale", layer.scale, 1)], np.float32)
        return _Step("Resize", {"roi": none, "scales": scales}, named)
    sizes = np.array(_check.pair("size", layer._target(xs[0], tuple(xs[1:])), 1))
    return _Step("Resize", {"roi": none, "scales": none, "sizes": sizes}, {**named, "axes": [2, 3]})


def _pooling(layer: nn.MaxPool2d | nn.AvgPool2d | nn.LpPool2d, x: Array, y: Array) -> list[_Step]:
    stride = layer.kernel_size if layer.stride is None else layer.stride
    window = _window(layer.kernel_size, stride, layer.padding, (1, 1), x, y)
    if isinstance(layer, nn.MaxPool2d):
        return [_Step("MaxPool", {}, window)]
    if isinstance(layer, nn.AvgPool2d):
        # What pads to reach a last window counts here, and does not in cnnx: that is beyond the padding.
        floor = nn.AvgPool2d(layer.kernel_size, stride=layer.stride, padding=layer.padding, count_include_pad=True)
        if layer.count_include_pad and output(floor, x).shape != y.shape:
            raise ValueError("ceil_mode: expected no window beyond the padding with count_include_pad, got one")
        return [_Step("AveragePool", {}, {**window, "count_include_pad": int(layer.count_include_pad)})]
    rho = layer.norm_type
    if layer.normalize:  # ONNX's LpPool divides by nothing, so the mean of the powers is taken
        mean = {**window, "count_include_pad": 0}
        power, root = ({f"power.{i}": np.array(value, x.dtype)} for i, value in enumerate((rho, 1 / rho)))
        return [_Step("Abs", {}, {}), _Step("Pow", power, {}), _Step("AveragePool", {}, mean), _Step("Pow", root, {})]
    if rho != int(rho):
        raise ValueError(f"norm_type: expected an integer with normalize=False, as ONNX has it, got {rho}")
    return [_Step("LpPool", {}, {**window, "p": int(rho)})]


def _window(
    kernel_size: Any, stride: Any, padding: Any, dilation: tuple[int, int], x: Array, y: Array
) -> dict[str, Any]:
    """The attributes of windows; where `ceil_mode` adds one, there is as much padding at the end as it needs."""
    kernel, strides = _check.pair("kernel_size", kernel_size, 1), _check.pair("stride", stride, 1)
    rows, columns = ((extent - 1) * step + 1 for extent, step in zip(kernel, dilation, strict=True))
    padding = _check.paddings(padding, (x.shape[2], x.shape[3]), (rows, columns), strides)
    first, last = [], []
    for extent, count, step, span, (before, after) in zip(
        x.shape[2:], y.shape[2:], strides, (rows, columns), padding, strict=True
    ):
        fits = (extent + before + after - span) // step + 1 == count and after < span
        first.append(before)
        last.append(after if fits else max(0, (count - 1) * step + span - before - extent))
    return {"kernel_shape": kernel, "strides": strides, "pads": [*first, *last]}
