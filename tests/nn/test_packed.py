"""Weights that a compiled network keeps packed: the bits of the layers themselves, which read them as they lie."""

from itertools import pairwise

import numpy as np
import pytest

import cnnx
from cnnx import nn
from cnnx.backend import packed_layers

pytestmark = pytest.mark.once

# Shape of x, output channels; the first ones are packed for every instruction set and both dtypes.
CONVOLUTIONS = {
    "few positions": ((1, 131, 2, 3), 70),
    "a column": ((1, 130, 5, 1), 97),
    "7x7": ((1, 160, 7, 7), 101),
    "7x7, images": ((3, 140, 7, 7), 64),
    "14x14, terms in three parts": ((1, 300, 14, 14), 50),
    "most positions": ((2, 128, 16, 16), 49),
    "one more": ((1, 128, 1, 257), 49),
    "few terms": ((1, 17, 4, 4), 200),
    "few channels": ((1, 160, 7, 7), 3),
    "the image is the window": ((2, 150, 1, 1), 70),
    "no images": ((0, 130, 7, 7), 70),
}
PACKED = "few positions", "a column", "14x14, terms in three parts", "most positions", "the image is the window"
BEHIND = {
    "nothing": [],
    "clip": [("y", nn.Clip(-0.25, 0.5), "c")],
    "sum": [("y", nn.Add(), "c", "x2")],
    "sum, relu": [("s", nn.Add(), "c", "x2"), ("y", nn.ReLU(), "s")],
}
AFFINE = {"one sample": (1, 300, 131), "few outputs": (1, 300, 4), "eight samples": (8, 131, 50), "many": (40, 20, 30)}


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
    shape, K = CONVOLUTIONS[name]
    rng = np.random.default_rng(3)
    layer = filled(nn.Conv2d(shape[1], K, 1, dtype=dtype), rng)
    lines, shapes = [("c", layer, "x"), *BEHIND[behind]], {"x": shape, "x2": (shape[0], K, *shape[2:])}
    inputs = ["x", "x2"] if any("x2" in line for line in lines) else ["x"]
    xs = [rng.standard_normal(shapes[one]).astype(dtype) for one in inputs]
    model = nn.Graph(*lines, inputs=inputs).eval()
    expected = model(*xs)
    compiled = model.compile(*(x.shape for x in xs), dtype=dtype)
    for _ in range(2):
        assert compiled(*xs).tobytes() == expected.tobytes()
    if name in PACKED:
        assert is_packed(compiled)


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
    assert is_packed(compiled) == (name == "one sample") or name == "eight samples"


@pytest.mark.parametrize("options", [dict(stride=2), dict(padding=1), dict(groups=2), dict(stride=(1, 2), padding=1)])
def test_other_convolutions_are_not_packed(options):
    rng = np.random.default_rng(5)
    model = nn.Sequential(filled(nn.Conv2d(256, 64, 1, **options), rng)).eval()
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
