"""The networks' layers: their sizes against the figures that were published of them."""

import pytest

from cnnx.audit.spot.networks import NETWORKS, network

pytestmark = pytest.mark.once


def convolutions(name):
    return [layer for layer in network(name, mb=1) if layer.problem.op == "conv2d"]


@pytest.mark.parametrize(
    ("name", "multiply_adds", "layers", "weights"),
    [
        # Of the whole network, the fully connected part subtracted: AlexNet 0.72e9 - 0.0586e9 (grouped: two GPUs) and
        # 60.97e6 - 58.63e6 weights; VGG-16 15.47e9 - 0.1236e9 and 138.36e6 - 123.64e6; ResNet-50 3.8e9 (its table 1)
        # and, with the stride in the 3x3, 4.09e9 - 0.002e9; 25.56e6 - 2.05e6 weights, of which 0.053e6 are those of
        # normalisations; MobileNet 569e6 - 1.02e6 (its table 8) and 4.2e6 - 1.0e6.
        ("alexnet", 0.666e9, 5, 2.33e6),
        ("vgg16", 15.35e9, 13, 14.71e6),
        ("resnet50", 3.86e9, 53, 23.45e6),
        ("resnet50-v1.5", 4.087e9, 53, 23.45e6),
        ("mobilenet", 0.568e9, 27, 3.185e6),
    ],
)
def test_multiply_adds(name, multiply_adds, layers, weights):
    found = convolutions(name)
    assert sum(layer.count for layer in found) == layers
    assert sum(layer.count * layer.problem.multiply_adds for layer in found) == pytest.approx(multiply_adds, rel=2e-3)
    shapes = [(layer.count, layer.problem.case.arrays["weight"]) for layer in found]
    assert sum(n * K * C * R * S for n, (K, C, R, S) in shapes) == pytest.approx(weights, rel=3e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_follow_each_other(name):
    """What the last layer takes is what some layer gives, and no layer stands twice."""
    layers = network(name, mb=3)
    assert len({(layer.problem.op, layer.problem.text) for layer in layers}) == len(layers)
    given = {layer.problem.output for layer in layers} | {(3, 3, 224, 224), (3, 3, 227, 227)}
    for layer in layers:
        assert layer.problem.case.arrays["x"] in given
        assert layer.problem.case.name.startswith(f"{name}:")


def test_an_unknown_network():
    with pytest.raises(ValueError, match="expected one of alexnet, vgg16"):
        network("lenet")
