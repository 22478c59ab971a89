"""What a network has in it as grids of small images: filters, and the feature maps of one image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ..nn import Conv2d, Graph, Layer
from ..nn.evaluate import evaluating

Array = npt.NDArray[Any]

_WEIGHTS = "PuOr_r"  # purple, white, orange: both signs are told apart by colour-blind people too
_VALUES = "cividis"
_INCHES_PER_TILE = 0.55
_WIDEST = 12.0


def filters(layers: Layer | Mapping[str, Layer], title: str = "", *, columns: int = 1, most: int = 32) -> Figure:
    """The weights of convolutions as grids of images: a column for each filter, a row for each input channel.

    Parameters
    ----------
    layers : Layer, or a mapping from names to Layers
        Each a Conv2d, or a network, whose first convolution is then drawn; `model[3]` is a Sequential's layer 3,
        `model["conv"]` that of a Graph's line.
    title : str
    columns : int
        How many of several grids stand side by side.
    most : int
        At most so many filters and so many of their input channels are drawn; the labels say of how many.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There is no convolution, or no layer at all; `columns` or `most` is below 1.

    Examples
    --------
    >>> from cnnx import nn, plot
    >>> model = nn.cn_network(seed=0)
    >>> figure = plot.filters({"first": model[0], "second": model[3]}, columns=2)
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('filter', 'input channel')
    """
    named = layers if isinstance(layers, Mapping) else {"": layers}
    weights = {}
    for name, layer in named.items():
        convolution = first_convolution(layer)
        if convolution is None:
            raise ValueError(f"layers: expected a Conv2d or a network with one, got {type(layer).__name__}")
        weights[name] = convolution.parameters["weight"]
    for name, number in ("layers", len(weights)), ("columns", columns), ("most", most):
        if number < 1:
            raise ValueError(f"{name}: expected at least 1, got {number}")
    columns = min(columns, len(weights))
    lines = [list(weights.items())[i : i + columns] for i in range(0, len(weights), columns)]
    sizes = [_size([weight.shape for _, weight in line], most) for line in lines]
    size = max(width for width, _ in sizes), sum(height for _, height in sizes) + 0.3 * bool(title)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(lines), columns, squeeze=False, height_ratios=[height for _, height in sizes])
    for i, axes in enumerate(grid.flat):
        if i < len(weights):
            name, weight = list(weights.items())[i]
            draw_filters(axes, weight, most)
            axes.set_title(name, fontsize=10)
        else:
            axes.set_axis_off()
    return figure


def feature_maps(model: Graph, image: Array, title: str = "", *, most: int = 16) -> Figure:
    """What each layer makes of one image, layer by layer, in evaluation mode.

    A row for each layer, with its first channels side by side, or with its outputs as one strip; each row has a
    colour scale of its own. Layers that only reshape are left out.

    Parameters
    ----------
    model : Sequential, or a Graph of one input
    image : array (C, H, W), or (1, C, H, W), of the model's dtype
    title : str
    most : int
        At most so many channels of a layer are drawn; the labels say of how many.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        Something else; what the layers raise.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn, plot
    >>> figure = plot.feature_maps(nn.cn_network(seed=0), np.ones((1, 28, 28), "float32"))
    >>> [axes.get_title(loc="left") for axes in figure.axes][1]
    '(0) Conv2d(1, 4, 3, padding=1): 4 x 28 x 28'
    """
    if not isinstance(model, Graph):
        raise TypeError(f"model: expected a Sequential or a Graph, got {type(model).__name__}")
    if len(model.inputs) != 1:
        raise ValueError(f"model: expected a network of one input, got one of {', '.join(model.inputs)}")
    image = np.asarray(image)
    if image.ndim == 3:
        image = image[None]
    if image.ndim != 4 or len(image) != 1:
        raise ValueError(f"image: expected one image (C, H, W), got shape {image.shape}")
    if most < 1:
        raise ValueError(f"most: expected at least 1, got {most}")
    rows = [("image", image[0]), *_outputs(model, image)]
    across = max(min(len(y), most) if y.ndim == 3 else 1 for _, y in rows)
    figure = Figure(figsize=(max(6.0, min(_WIDEST, 1.0 * across + 1.5)), 1.35 * len(rows)), layout="constrained")
    figure.suptitle(title)
    for axes, (name, y) in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        strip = y.ndim != 3
        drawn = y.reshape(1, -1) if strip else mosaic(y[None, :most], gap=max(1, y.shape[2] // 14))
        shown = axes.imshow(drawn, cmap=_VALUES, aspect="auto" if strip else "equal", interpolation="nearest")
        left_out = f", the first {most} of" if not strip and len(y) > most else ":"
        axes.set_title(f"{name}{left_out} {' x '.join(map(str, y.shape))}", loc="left", fontsize=9)
        axes.set_yticks([])
        if not strip or y.size > 20:
            axes.set_xticks([])
        else:
            axes.set_xticks(range(y.size))
        axes.set_anchor("W")
        figure.colorbar(shown, ax=axes, label="value", fraction=0.03, pad=0.01, panchor=False)
    axes.set_xlabel("output")
    return figure


def _outputs(model: Graph, image: Array) -> list[tuple[str, Array]]:
    """The name and the output of each layer for the one image, but of those that only reshape."""
    values, found = {model.inputs[0]: image}, []
    with evaluating(model):
        for name, layer, *inputs in model.lines:
            xs = [values[one] for one in inputs]
            y = values[name] = layer.forward(*xs)
            if y.ndim == 4 or not (len(xs) == 1 and np.array_equal(y.ravel(), xs[0].ravel())):
                shown = repr(layer) if len(repr(layer)) < 60 else type(layer).__name__
                found.append((f"({name}) {shown}", y[0]))
    return found


def first_convolution(layer: Layer) -> Conv2d | None:
    """The layer itself, or the first Conv2d in it."""
    return next((one for one in layer._walk() if isinstance(one, Conv2d)), None)


def draw_filters(axes: Any, weight: Array, most: int = 32) -> None:
    """All weights (K, C, R, S) on one colour scale around zero, which is white."""
    shown = weight[:most, :most]
    largest = float(np.abs(shown).max(initial=0)) or 1.0
    tiles = shown.transpose(1, 0, 2, 3)
    gap = max(1, shown.shape[2] // 4)
    image = axes.imshow(mosaic(tiles, gap), cmap=_WEIGHTS, vmin=-largest, vmax=largest, interpolation="nearest")
    axes.set_xlabel("filter" if len(weight) <= most else f"filter (the first {most} of {len(weight)})")
    channels = weight.shape[1]
    axes.set_ylabel("input channel" if channels <= most else f"input channel (the first {most} of {channels})")
    for axis, count, extent in (
        (axes.xaxis, shown.shape[0], shown.shape[3]),
        (
            axes.yaxis,
            shown.shape[1],
            shown.shape[2],
        ),
    ):
        every = 1 + (count - 1) // 16
        axis.set_ticks([k * (extent + gap) + (extent - 1) / 2 for k in range(0, count, every)])
        axis.set_ticklabels([str(k) for k in range(0, count, every)])
        axis.set_tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, label="weight", shrink=0.9, pad=0.02)


def mosaic(tiles: Array, gap: int) -> Array:
    """(rows, columns, R, S) as one image, with `gap` pixels of nothing (NaN) between the tiles."""
    rows, columns, height, width = tiles.shape
    spaced = np.full((rows, height + gap, columns, width + gap), np.nan)
    spaced[:, :height, :, :width] = tiles.transpose(0, 2, 1, 3)
    return spaced.reshape(rows * (height + gap), columns * (width + gap))[:-gap, :-gap]


def _size(shapes: list[tuple[int, ...]], most: int) -> tuple[float, float]:
    """Inches across and down of a line of grids."""
    across = sum(min(shape[0], most) for shape in shapes)
    down = max(min(shape[1], most) for shape in shapes)
    inches = min(_INCHES_PER_TILE, _WIDEST / max(across, down))
    return max(3.5 * len(shapes), inches * across + 1.8 * len(shapes)), max(1.6, inches * down + 1.0)
