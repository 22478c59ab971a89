"""The same bits from kernels of every instruction set with fused multiply-adds; sums that more images go on with."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

import cnnx
from cnnx import native

sys.path.insert(0, str(Path(__file__).parents[1]))
import bits

GEOMETRIES = [  # K, C, H, W, R, S, stride, padding, groups: over channels, over positions, in parts, in turns
    (1, 1, 5, 7, 3, 3, 1, 1, 1),
    (3, 1, 14, 33, 1, 3, 2, 0, 2),
    (8, 5, 40, 33, 3, 3, 1, 1, 1),
    (16, 16, 14, 14, 3, 3, 1, 1, 1),
    (40, 16, 5, 7, 3, 1, 1, 0, 2),
    (6, 1, 28, 28, 5, 5, 1, 0, 1),
    (20, 3, 40, 40, 3, 3, 2, 1, 1),
]


@pytest.mark.skipif(
    len([isa for isa in native.instruction_sets() if native.has_fma(isa)]) < 2,
    reason="one instruction set with FMA runs here",
)
@pytest.mark.parametrize("seed", [1, 2])
def test_of_instruction_sets(seed: int) -> None:
    found = bits.by_instruction_set(1500, seed)
    first, *others = found
    assert len(found[first]) == 1500
    assert sum("refused" in line for line in found[first]) < 150
    for isa in others:
        different = [pair for pair in zip(found[first], found[isa], strict=True) if pair[0] != pair[1]]
        assert different == [], f"{first} and {isa}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_more_images_go_on_where_fewer_end(geometry: tuple[int, ...], dtype: str) -> None:
    """Images whose gradient is 0 add nothing to the gradient of weights: it has the bits that it has without them."""
    K, C, H, W, R, S, stride, padding, groups = geometry
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, C * groups, H, W)).astype(dtype)
    weight = rng.standard_normal((K * groups, C, R, S)).astype(dtype)
    options = {"stride": stride, "padding": padding, "groups": groups}
    y = cnnx.conv2d(x, weight, **options)
    for images, all_images in itertools.product((1, 2, 7, 19), (20, 33, 40)):
        delta = rng.standard_normal((all_images, *y.shape[1:])).astype(dtype)
        delta[images:] = 0
        whole = cnnx.conv2d_backward(delta, x[:all_images], weight, **options)[1]
        part = cnnx.conv2d_backward(delta[:images], x[:images], weight, **options)[1]
        np.testing.assert_array_equal(whole, part)
        assert np.count_nonzero(part) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [6, 31, 64])
@pytest.mark.parametrize("window", [2, (2, 3), 3])
def test_sums_of_nothing_but_minus_0(window: int | tuple[int, int], width: int, dtype: str) -> None:
    """P2 and P4 begin with 0, so that a gradient of -0 gives 0, in vectors and in what is left over."""
    x = np.random.default_rng(0).standard_normal((2, 3, 6, width)).astype(dtype)
    for forward, backward in (
        (cnnx.max_pool2d, cnnx.max_pool2d_backward),
        (cnnx.avg_pool2d, cnnx.avg_pool2d_backward),
    ):
        y = forward(x, window, stride=2)
        grad = backward(np.full_like(y, -0.0), x, window, stride=2)
        assert not np.signbit(grad).any()
