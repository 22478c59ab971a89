"""`model.summary()`: figures worked out by hand, and that it leaves no trace."""

import json

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once


def test_cn_s_network_by_hand():
    found = nn.cn_network(seed=0).summary((1, 28, 28))
    by_hand = [  # output, parameters, multiply-adds
        ((4, 28, 28), 4 * 9 + 4, 28 * 28 * 4 * 9),
        ((4, 28, 28), 0, 0),
        ((4, 14, 14), 0, 0),
        ((4, 14, 14), 4 * 4 * 9 + 4, 14 * 14 * 4 * 4 * 9),
        ((4, 14, 14), 0, 0),
        ((4, 7, 7), 0, 0),
        ((196,), 0, 0),
        ((20,), 196 * 20 + 20, 196 * 20),
        ((20,), 0, 0),
        ((10,), 20 * 10 + 10, 20 * 10),
    ]
    assert [(row.output_shape, row.parameters, row.multiply_adds) for row in found.layers] == by_hand
    assert [row.memory for row in found.layers] == [4 * (int(np.prod(shape)) + count) for shape, count, _ in by_hand]
    assert (found.parameters, found.multiply_adds) == (4338, 28224 + 28224 + 3920 + 200)
    assert found.memory == sum(row.memory for row in found.layers)
    assert found.layers[3].layer == "(3) Conv2d(4, 4, 3, padding=1)"


def test_groups_strides_buffers_and_doubles():
    layer = nn.Conv2d(4, 6, (3, 5), stride=(2, 1), groups=2, bias=False, dtype="float64")
    (row,) = layer.summary((4, 11, 9)).layers
    assert row.output_shape == (6, 5, 5)
    assert row.parameters == 6 * 2 * 3 * 5
    assert row.multiply_adds == (6 * 5 * 5) * (2 * 3 * 5)
    assert row.memory == 8 * (6 * 5 * 5 + 6 * 2 * 3 * 5)
    assert row.layer == repr(layer)
    (row,) = nn.BatchNorm2d(3).summary((3, 4, 4)).layers
    assert (row.parameters, row.multiply_adds, row.memory) == (6, 0, 4 * (48 + 6 + 6))
    (row,) = nn.Affine(4, 2, dtype="float64").summary([4]).layers
    assert (row.output_shape, row.memory) == ((2,), 8 * (2 + 10))


def test_networks_within_networks():
    block = nn.Sequential(nn.Conv2d(2, 3, 3, padding="same"), nn.ReLU())
    found = nn.Sequential(block, nn.Dropout(0.5), nn.Sequential(nn.MaxPool2d(2))).summary((2, 6, 6))
    names = ["(0.0) Conv2d(2, 3, 3, padding='same')", "(0.1) ReLU()", "(1) Dropout()", "(2.0) MaxPool2d(2)"]
    assert [row.layer for row in found.layers] == names
    assert found.layers[-1].output_shape == (3, 3, 3)
    assert found.parameters == 57


def test_json_and_text():
    found = nn.cn_network(seed=0).summary((1, 28, 28))
    given = json.loads(json.dumps(found.as_dict()))
    assert given["input_shape"] == [1, 28, 28]
    assert given["layers"][0] == {
        "layer": "(0) Conv2d(1, 4, 3, padding=1)",
        "output_shape": [4, 28, 28],
        "parameters": 40,
        "multiply_adds": 28224,
        "memory": 4 * (3136 + 40),
        "algorithm": None,
    }
    assert (given["parameters"], given["multiply_adds"], given["memory"]) == (4338, 60568, found.memory)
    lines = str(found).splitlines()
    assert len(lines) == 1 + 1 + 1 + 10 + 1 + 1
    assert lines[3].split("  ")[0] == "(0) Conv2d(1, 4, 3, padding=1)"
    assert lines[3].split()[-9:] == ["4", "x", "28", "x", "28", "40", "28,224", "12.4", "KiB"]
    assert lines[-1].split()[-4:] == ["4,338", "60,568", "52.4", "KiB"]
    ends = {line.rindex("KiB") for line in lines if "KiB" in line}
    assert len(ends) == 1, "aligned"


def test_it_leaves_no_trace():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, seed=0), nn.BatchNorm2d(2), nn.Dropout(0.5, seed=0), nn.Flatten(), nn.Affine(32, 3, seed=1)
    )
    model.layers[2].eval()
    x = np.random.default_rng(0).standard_normal((5, 1, 6, 6)).astype("float32")
    y = model.forward(x)
    kept = {name: array.copy() for name, array in (*model.parameters.items(), *model.buffers.items())}
    model.summary((1, 6, 6))
    assert [layer.training for layer in (model, *model.layers)] == [True, True, True, False, True, True]
    assert all(np.array_equal(kept[name], array) for name, array in (*model.parameters.items(), *model.buffers.items()))
    assert model.backward(np.ones_like(y)).shape == x.shape  # of the call before
    fresh = nn.cn_network(seed=0)
    fresh.summary((1, 28, 28))
    with pytest.raises(RuntimeError, match="expected a forward call first"):
        fresh.backward(np.ones((1, 10), "float32"))


def test_a_matrix_product_counts_its_terms():
    model = nn.Graph(("columns", nn.Transpose((0, 2, 1)), "x"), ("products", nn.MatMul(), "x", "columns"))
    found = model.summary((5, 7)).layers
    assert [(row.output_shape, row.multiply_adds) for row in found] == [((7, 5), 0), ((5, 5), 5 * 5 * 7)]


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        (28, TypeError, r"input_shape: expected the integers \(C, H, W\) or \(J,\), got 28"),
        ((), TypeError, "input_shape: expected the integers"),
        ((1, 28.0, 28), TypeError, r"input_shape\[1\]: expected an integer"),
        ((1, 0, 28), ValueError, r"input_shape\[1\]: expected"),
        ((2, 28, 28), ValueError, "channels"),
        ((1, 2, 2), ValueError, "kernel_size"),
    ],
)
def test_shapes_that_do_not_fit(shape, error, message):
    with pytest.raises(error, match=message):
        nn.cn_network().summary(shape)
