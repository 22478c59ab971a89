"""The convolutions and poolings of well-known networks, as problems in the notation of `shapes`.

Each layer stands once, with how often it occurs. Fully connected layers, activations and normalisations are left out.

==============  ====================================================================================================
name            source
==============  ====================================================================================================
alexnet         A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet Classification with Deep Convolutional Neural
                Networks, NIPS 2012, section 3.5. The second, fourth and fifth convolution see the channels of their
                own GPU alone: two groups. 224 rows, as printed, do not give 55: 227 do.
vgg16           K. Simonyan, A. Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
                ICLR 2015, table 1, configuration D.
resnet50        K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, CVPR 2016, table 1,
                50 layers; stages 3 to 5 begin with stride 2 in their first 1x1 convolution and in the shortcut.
resnet50-v1.5   The same with that stride in the 3x3 convolution, as most frameworks have it.
mobilenet       A. Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications,
                2017, table 1, width 1, 224 rows. Its last depthwise convolution is printed with stride 2, but
                keeps its 7 rows: stride 1.
==============  ====================================================================================================
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .benchdnn import Problem, parse


@dataclass(frozen=True)
class Layer:
    """A layer's problem, and how many layers of the network are like it."""

    problem: Problem
    count: int = 1


def network(name: str, *, mb: int = 2) -> list[Layer]:
    """The layers of a network.

    Parameters
    ----------
    name : one of `NETWORKS`
    mb : int
        Images in a batch.

    Returns
    -------
    list of Layer

    Raises
    ------
    ValueError
        No network has that name; mb is less than 1.

    Examples
    --------
    >>> from cnnx.audit.spot.networks import network
    >>> layers = network("vgg16", mb=1)
    >>> sum(layer.count * layer.problem.multiply_adds for layer in layers if layer.problem.op == "conv2d")
    15346630656
    """
    if name not in NETWORKS:
        raise ValueError(f"network: expected one of {', '.join(NETWORKS)}, got {name!r}")
    layers: dict[tuple[str, str], tuple[str, int]] = {}
    for op, shape, title in NETWORKS[name]():
        first, count = layers.get((op, shape), (title, 0))
        layers[op, shape] = first, count + 1
    return [
        Layer(parse(f'{shape}n"{name}:{title}"', op, mb=mb), count) for (op, shape), (title, count) in layers.items()
    ]


# What a network yields: an op, a problem, a name.
Layers = Iterator[tuple[str, str, str]]


def _conv(C: int, H: int, K: int, R: int, stride: int = 1, *, pad: int | None = None, g: int = 1) -> str:
    """A square convolution; its padding keeps the rows at stride 1, if it is not given."""
    return f"g{g}ic{C}ih{H}oc{K}kh{R}sh{stride}ph{R // 2 if pad is None else pad}"


def _alexnet() -> Layers:
    yield "conv2d", _conv(3, 227, 96, 11, 4, pad=0), "conv1"
    yield "max_pool2d", "ic96ih55kh3sh2", "pool1"
    yield "conv2d", _conv(96, 27, 256, 5, g=2), "conv2"
    yield "max_pool2d", "ic256ih27kh3sh2", "pool2"
    yield "conv2d", _conv(256, 13, 384, 3), "conv3"
    yield "conv2d", _conv(384, 13, 384, 3, g=2), "conv4"
    yield "conv2d", _conv(384, 13, 256, 3, g=2), "conv5"
    yield "max_pool2d", "ic256ih13kh3sh2", "pool5"


def _vgg16() -> Layers:
    channels, rows = 3, 224
    for stage, (K, layers) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for layer in range(1, layers + 1):
            yield "conv2d", _conv(channels, rows, K, 3), f"conv{stage}_{layer}"
            channels = K
        yield "max_pool2d", f"ic{K}ih{rows}kh2sh2", f"pool{stage}"
        rows //= 2


def _resnet50(*, late: bool = False) -> Layers:
    """late: stride 2 is in a block's 3x3 convolution, not in its first 1x1."""
    yield "conv2d", _conv(3, 224, 64, 7, 2), "conv1"
    yield "max_pool2d", "ic64ih112kh3sh2ph1", "pool1"
    channels, rows = 64, 56
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
        for block in range(1, blocks + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            name, inner = f"conv{stage}_{block}", rows if late else rows // stride
            if block == 1:
                yield "conv2d", _conv(channels, rows, 4 * width, 1, stride), f"{name}_shortcut"
            yield "conv2d", _conv(channels, rows, width, 1, 1 if late else stride), f"{name}_1x1_reduce"
            yield "conv2d", _conv(width, inner, width, 3, stride if late else 1), f"{name}_3x3"
            rows //= stride
            yield "conv2d", _conv(width, rows, 4 * width, 1), f"{name}_1x1_expand"
            channels = 4 * width
    yield "avg_pool2d", "ic2048ih7kh7", "pool5"


def _mobilenet() -> Layers:
    yield "conv2d", _conv(3, 224, 32, 3, 2), "conv1"
    channels, rows = 32, 112
    outputs = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    for layer, (K, stride) in enumerate(zip(outputs, (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), strict=True), 2):
        yield "conv2d", _conv(channels, rows, channels, 3, stride, g=channels), f"conv{layer}_dw"
        rows //= stride
        yield "conv2d", _conv(channels, rows, K, 1), f"conv{layer}_pw"
        channels = K
    yield "avg_pool2d", "ic1024ih7kh7", "pool"


NETWORKS = {
    "alexnet": _alexnet,
    "vgg16": _vgg16,
    "resnet50": _resnet50,
    "resnet50-v1.5": lambda: _resnet50(late=True),
    "mobilenet": _mobilenet,
}
