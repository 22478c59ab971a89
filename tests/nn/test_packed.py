"""Weights that a compiled network keeps packed: the bits of the layers themselves, which read them as they lie."""

from itertools import pairwise

import numpy as np
import pytest

import cnnx
from cnnx import nn
from cnnx.backend import packed_layers

pytestmark = pytest.mark.once

# Shape of x, output channels, options.
CONVOLUTIONS = {
    "few positions": ((1, 131, 2, 3), 70, {}),
    "a column": ((1, 130, 5, 1), 97, {}),
    "7x7": ((1, 160, 7, 7), 101, {}),
    "7x7, images": ((3, 260, 7, 7), 64, {}),
    "images": ((3, 260, 5, 5), 50, {}),
    "14x14, terms in three parts": ((1, 300, 14, 14), 50, {}),
    "most positions": ((2, 256, 16, 16), 49, {}),
    "images of few terms": ((2, 130, 9, 9), 49, {}),
    "one more": ((1, 128, 1, 257), 49, {}),
    "few terms": ((1, 17, 4, 4), 200, {}),
    "few channels": ((1, 160, 7, 7), 3, {}),
    "the image is the window": ((1, 150, 1, 1), 70, {}),
    "the image is the window, few channels": ((1, 150, 1, 1), 4, {}),
    "no images": ((0, 130, 7, 7), 70, {}),
    "3x3": ((1, 20, 2, 3), 70, dict(kernel_size=3, padding=1)),
    "3x3, 7x7": ((1, 70, 7, 7), 101, dict(kernel_size=3, padding=1)),
    "3x3, images": ((2, 70, 7, 7), 50, dict(kernel_size=3, padding=1)),
    "3x3, stride 2": ((1, 20, 5, 4), 50, dict(kernel_size=3, padding=1, stride=2)),
    "1x1, stride 2": ((1, 130, 3, 5), 49, dict(stride=2)),
    "1x1, padding": ((1, 130, 1, 2), 49, dict(padding=((1, 0), (0, 1)))),
    "2x3, dilation, padding by side": (
        (1, 50, 6, 5),
        50,
        dict(kernel_size=(2, 3), dilation=(3, 2), stride=(1, 3), padding=((0, 1), (2, 0))),
    ),
    "4x5, stride as large": ((1, 10, 9, 11), 70, dict(kernel_size=(4, 5), stride=(4, 5))),
    "the image is the window of 5x4": ((1, 9, 5, 4), 70, dict(kernel_size=(5, 4))),
}
PACKED = {  # for every instruction set and both dtypes
    "few positions",
    "a column",
    "images",
    "the image is the window",
    "3x3",
    "3x3, stride 2",
    "1x1, stride 2",
    "1x1, padding",
    "4x5, stride as large",
}
AS_IT_IS = {"one more", "the image is the window, few channels", "no images", "3x3, images", "images of few terms"}
BEHIND = {
    "nothing": [],
    "clip": [("y", nn.Clip(-0.25, 0.5), "c")],
    "sum": [("y", nn.Add(), "c", "x2")],
    "sum, relu": [("s", nn.Add(), "c", "x2"), ("y", nn.ReLU(), "s")],
}
AFFINE = {
    "one sample": (1, 300, 131),
    "few outputs": (1, 300, 4),
    "eight samples": (8, 131, 50),
    "many": (40, 20, 30),
    "large": (1, 2000, 2000),
}


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    if request.param > 1 and not cnnx.native.build_info()["openmp"]:
        pytest.skip("this build has no OpenMP")
    cnnx.set_num_threads(request.param)


def is_packed(compiled):
    """How many steps have packed weights."""
    layers = packed_layers(compiled.dtype.name)
    return sum(step.func in (layers.conv2d, layers.affine) for step in compiled._steps if hasattr(step, "func"))


def filled(layer, rng):
    for parameter in layer.parameters.values():
        parameter[...] = rng.standard_normal(parameter.shape)
    return layer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_have_the_same_bits(name, behind, dtype, threads):
    shape, K, options = CONVOLUTIONS[name]
    rng = np.random.default_rng(3)
    layer = filled(nn.Conv2d(shape[1], K, **{"kernel_size": 1, "dtype": dtype} | options), rng)
    y = (shape[0], K, *layer(np.ones((1, *shape[1:]), dtype)).shape[2:])
    lines, shapes = [("c", layer, "x"), *BEHIND[behind]], {"x": shape, "x2": y}
    inputs = ["x", "x2"] if any("x2" in line for line in lines) else ["x"]
    xs = [rng.standard_normal(shapes[one]).astype(dtype) for one in inputs]
    model = nn.Graph(*lines, inputs=inputs).eval()
    expected = model(*xs)
    compiled = model.compile(*(x.shape for x in xs), dtype=dtype)
    for _ in range(2):
        assert compiled(*xs).tobytes() == expected.tobytes()
    if name in PACKED or name in AS_IT_IS:
        assert is_packed(compiled) == (name in PACKED)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", AFFINE)
def test_affine_layers_have_the_same_bits(name, dtype, threads):
    N, J, I = AFFINE[name]  # noqa: E741
    rng = np.random.default_rng(4)
    model = nn.Sequential(filled(nn.Affine(J, I, dtype=dtype), rng), nn.ReLU()).eval()
    x = rng.standard_normal((N, J)).astype(dtype)
    expected, compiled = model(x), model.compile(x.shape, dtype=dtype)
    for _ in range(2):
        assert compiled(x).tobytes() == expected.tobytes()
    # 2000 rows of 2000 weights are 15.3 MiB of float32, and more than 16 of float64.
    packed = name == "one sample" or (name == "large" and dtype == "float32")
    assert is_packed(compiled) == packed or name == "eight samples"


def test_groups_are_not_packed():
    rng = np.random.default_rng(5)
    model = nn.Sequential(filled(nn.Conv2d(256, 64, 1, groups=2), rng)).eval()
    x = rng.standard_normal((1, 256, 7, 7)).astype("float32")
    compiled = model.compile(x.shape)
    assert compiled(x).tobytes() == model(x).tobytes()
    assert not is_packed(compiled)


class Gram(nn.Layer, settings=()):
    """Products of x's rows: what serves as weights is computed at each call."""

    def _forward(self, x):
        return cnnx.affine(x, cnnx.relu(x)), None


def test_weights_that_are_computed_are_not_packed():
    x = np.random.default_rng(6).standard_normal((2, 6, 40)).astype("float32")
    model = nn.Sequential(Gram()).eval()
    compiled = model.compile(x.shape[1:])
    for one in x:
        assert compiled(one).tobytes() == model(one).tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("K", [1, 7, 16, 49, 100, 145])
def test_panels_hold_every_weight_once(K, dtype):
    """Panel by panel, term by term; what fills up the last vector is 0."""
    layers, C = packed_layers(dtype), 37
    weight = np.arange(1, K * C + 1, dtype=dtype).reshape(K, C)
    panels = np.full(layers.padded(weight), -1, dtype)
    layers.pack(weight, panels)
    assert panels.size % C == 0
    assert np.sort(panels[panels != 0]).tolist() == weight.reshape(-1).tolist()
    columns = [np.flatnonzero(panels == weight[0, c])[0] for c in range(C)]
    assert {b - a for a, b in pairwise(columns)} == {columns[1]}
