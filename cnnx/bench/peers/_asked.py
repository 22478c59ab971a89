"""What every peer is asked and has to answer: options in full, windows in plain numbers, results as arrays."""

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from ... import _check
from ...ops import OPS, Op

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]
Options = dict[str, Any]
Call = Callable[[], Any]

BY_NAME: dict[str, Op] = {op.name: op for op in OPS}


def public(op: str, direction: str) -> Callable[..., Any]:
    """The public function of an op."""
    found = BY_NAME[op]
    return found.forward if direction == "forward" else found.backward


def in_full(op: str, direction: str, options: Options) -> Options:
    """The options with the public function's defaults where they are absent."""
    parameters = signature(public(op, direction)).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | options


class Window(NamedTuple):
    """The geometry of a convolution or pooling, checked by cnnx before."""

    size: _check.Pair
    stride: _check.Pair
    rows: _check.Pair  # padding at the top and bottom
    columns: _check.Pair  # at the left and right
    dilation: _check.Pair

    def even(self, peer: str) -> _check.Pair:
        """The padding of a library that pads both sides alike."""
        if self.rows[0] != self.rows[1] or self.columns[0] != self.columns[1]:
            raise NotImplementedError(f"{peer} pads both sides alike, not {self.rows} rows and {self.columns} columns")
        return self.rows[0], self.columns[0]


def window(arrays: Arrays, options: Options) -> Window:
    """The geometry that arrays and options give: of a convolution if there is a weight, else of a pooling."""
    size = arrays["weight"].shape[2:] if "weight" in arrays else options["kernel_size"]
    size = _check.pair("kernel_size", size, 1)
    stride = size if options["stride"] is None else _check.pair("stride", options["stride"], 1)
    dilation = _check.pair("dilation", options.get("dilation", 1), 1)
    spans = dilation[0] * (size[0] - 1) + 1, dilation[1] * (size[1] - 1) + 1
    height, width = arrays["x"].shape[2:]
    return Window(size, stride, *_check.paddings(options["padding"], (height, width), spans, stride), dilation)


def flat(returned: Any) -> Iterator[Any]:
    """The parts of a result that may be one, several or nested; what was not asked for is None and left out."""
    if isinstance(returned, (tuple, list)):
        for part in returned:
            yield from flat(part)
    elif returned is not None:
        yield returned
