"""D19's network for o and x, computed by the reference: forward, backward and one update, with D19's names."""

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

import cnnx

RING, CROSS = "111 101 111", "101 010 101"
RING_DAMAGED, CROSS_DAMAGED = "111 100 111", "001 010 101"  # two of the six of D19's printed update
ETA = 0.1


@dataclass(frozen=True)
class Net:
    """The network's parameters: filters F and their biases b, output weights w and biases b_O."""

    F: Any
    b: Any
    w: Any
    b_O: Any

    def updated(self, gradients: "Net", eta: float = ETA) -> "Net":
        """G1: every parameter less eta times its gradient."""
        return Net(**{f.name: getattr(self, f.name) - eta * getattr(gradients, f.name) for f in fields(self)})


@dataclass(frozen=True)
class Run:
    """All that is computed on the way, of several images at once."""

    image: Any
    target: Any
    Z_F: Any
    a_F: Any
    a_P: Any
    Z_O: Any
    a_O: Any
    C: float
    delta_O: Any
    delta_P: Any
    delta_F: Any
    gradients: Net


def start() -> Net:
    """The parameters that D19 starts from."""
    return Net(
        F=np.array([[[[1.0, 1.0], [1.0, -1.0]]], [[[1.0, -1.0], [-1.0, 1.0]]]]),
        b=np.array([1.0, 1.0]),
        w=np.array([[1.5, -4.2], [-2.6, 3.5]]),
        b_O=np.array([1.0, 1.0]),
    )


def run(net: Net, *images: str, ties: Literal["first", "all"] = "all", squared: bool = False) -> Run:
    """Forward and backward, summed over the images (E2).

    squared : multiply by sigmoid' once more than the chain rule has it, as D19's (4) does.
    """
    with cnnx.use_backend("reference"):
        image = np.array([[[[float(pixel) for pixel in row] for row in drawn.split()]] for drawn in images])
        target = np.array([(1.0, 0.0) if drawn in (RING, RING_DAMAGED) else (0.0, 1.0) for drawn in images])
        Z_F = cnnx.conv2d(image, net.F, net.b)
        a_F = cnnx.sigmoid(Z_F)
        a_P: Any = cnnx.max_pool2d(a_F, 2)
        flat = cnnx.flatten(a_P)
        Z_O = cnnx.affine(flat, net.w, net.b_O)
        a_O = cnnx.sigmoid(Z_O)
        C = cnnx.squared_error(a_O, target, reduction="sum")
        delta_O = cnnx.sigmoid_backward(cnnx.squared_error_backward(a_O, target, reduction="sum"), Z_O)
        delta_flat: Any
        delta_flat, dw, db_O = cnnx.affine_backward(delta_O, flat, net.w)
        delta_P = cnnx.flatten_backward(delta_flat, a_P)
        if squared:
            delta_P = delta_P * a_P * (1 - a_P)
        delta_F = cnnx.sigmoid_backward(cnnx.max_pool2d_backward(delta_P, a_F, 2, ties=ties), Z_F)
        _, dF, db = cnnx.conv2d_backward(delta_F, image, net.F, input_grad=False)
    return Run(image, target, Z_F, a_F, a_P, Z_O, a_O, C, delta_O, delta_P, delta_F, Net(dF, db, dw, db_O))
