"""What D19 gets wrong (cnnx/equations.md, section 6): one test per row, named after it, as in test_errata.py.

The figures with sigmoid' twice are in test_ox.py, to their digits. That D19's C_T and outputs after 5,000
updates do not belong together can be shown, but not what is right: its six images and its step are not printed.
"""

import numpy as np
import ox
import pytest
from ox import printed

import cnnx


@pytest.fixture(params=["reference", "optimized"])
def backend(request):
    return request.param


def test_d19_zfk_weights(backend):
    F2, b = [[1, -1], [-1, 1]], 0
    o, _ = ox.draw(ox.RING)

    def Z_F(weight):
        return [
            [sum(weight(r, s) * o[0, 0, i + r, j + s] for r in range(2) for s in range(2)) + b for j in range(2)]
            for i in range(2)
        ]

    slide = [[-1, 1], [1, -1]]  # D19's own result
    assert Z_F(lambda r, s: F2[0][0]) == [[3, 3], [3, 3]]  # every weight w_11
    assert Z_F(lambda r, s: F2[r][s]) == slide
    assert cnnx.conv2d(o, np.array([[F2]], float), backend=backend)[0, 0].tolist() == slide


D19_DELTA_O = {"o": (-0.1356, 0.1203), "x": (0.0245, -0.0158)}
D19_DELTA_P = {"o": (-0.0091, 0.1040), "x": (0.0035, -0.0071)}
POOLED = {"o": (0.9820, 0.8808), "x": (0.9526, 0.9526)}


def slope(cost, step=1e-5):
    """The central difference of `cost(t)` at 0."""
    return (cost(step) - cost(-step)) / (2 * step)


def test_d19_sigmoid_prime_twice(backend):
    net, (image, target) = ox.start(), ox.draw(ox.RING)

    def cost(*raised):
        def moved(t):
            Z_F = ox.plain_features(net, image[0, 0].tolist())
            for k, i, j in raised:
                Z_F[k][i][j] += t
            return ox.plain_cost(net, Z_F, target[0])

        return moved

    # Filter 1 has one maximum. Filter 2 has two: raised together they raise the pooled value by as much as each.
    first, second = slope(cost((0, 0, 0))), slope(cost((1, 0, 1), (1, 1, 0)))
    printed(first, -0.00912, 5)
    printed(second, 0.1040, 4)
    assert abs(first) > 50 * 0.1610e-3  # what D19 prints for it
    assert second > 9 * 0.0109
    delta_F = ox.run(net, image, target, backend=backend).delta_F
    np.testing.assert_allclose(delta_F[0, :, 0], [[first, 0], [0, second]], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("image", "ox")
def test_d19_4_factor_and_weights(image, backend):
    """(4) says a'(Z^P) of a pooling whose activation is the identity, and one weight for both terms."""
    delta, w = D19_DELTA_O[image], [[1.5, -4.2], [-2.6, 3.5]]
    by_identity = [delta[0] * w[0][j] + delta[1] * w[1][j] for j in range(2)]  # a' = 1: F3
    by_sigmoid = [by_identity[j] * a * (1 - a) for j, a in enumerate(POOLED[image])]
    np.testing.assert_allclose(by_sigmoid, D19_DELTA_P[image], rtol=0, atol=1e-4)  # so D19 put sigmoid' in
    np.testing.assert_allclose(
        cnnx.affine_backward(np.array([delta]), np.zeros((1, 2)), np.array(w), backend=backend)[0], [by_identity]
    )
    # One weight for both terms, whichever it is, does not give the printed numbers.
    for i, j in np.ndindex(2, 2):
        a = POOLED[image][j]
        assert abs((delta[0] + delta[1]) * w[i][j] * a * (1 - a) - D19_DELTA_P[image][j]) > 1e-3


def test_d19_x_example_delta_o(backend):
    right = [(a - t) * a * (1 - a) for a, t in zip((0.1719, 0.8650), (0, 1), strict=True)]  # (1) of D19's outputs
    np.testing.assert_allclose(right, D19_DELTA_O["x"], rtol=0, atol=1e-4)
    assert np.abs(np.subtract(right, D19_DELTA_O["o"])).min() > 0.1  # what the last slide prints
    printed(ox.run(ox.start(), *ox.draw(ox.CROSS), backend=backend).delta_O, [D19_DELTA_O["x"]], 4)


def test_d19_x_example_weighted_inputs(backend):
    w = [[1.5, -4.2], [-2.6, 3.5]]

    def inputs(image):
        return [sum(w_ij * a for w_ij, a in zip(row, POOLED[image], strict=True)) for row in w]

    slide = [-2.2263, 0.5296]  # beside both images
    np.testing.assert_allclose(inputs("o"), slide, rtol=0, atol=5e-4)
    assert np.abs(np.subtract(inputs("x"), slide)).min() > 0.3
    printed([ox.sigmoid(z + 1) for z in inputs("x")], [0.1719, 0.8650], 4)  # the slide's outputs are the x's
    Z_O = ox.run(ox.start(), *ox.draw(ox.CROSS), backend=backend).Z_O[0]
    np.testing.assert_allclose(Z_O - 1, inputs("x"), rtol=0, atol=5e-4)


def test_d19_after_one_update_costs(backend):
    outputs, targets = np.array([[0.2447, 0.8080], [0.1859, 0.8542]]), np.eye(2)
    for y, t, right, slide in zip(outputs, targets, (0.6117, 0.0279), (0.6267, 0.0254), strict=True):
        printed(((1 - y[t == 1][0]) ** 2 + y[t == 0][0] ** 2) / 2, right, 4)
        C = cnnx.squared_error(y[None], t[None], reduction="sum", backend=backend)
        printed(C, right, 4)
        assert abs(C - slide) > 0.002


def test_d19_after_one_update_weight_sign(backend):
    def output(w_11):
        weight, pooled, bias = [[w_11, -4.17]], [[0.9820, 0.8789]], [1.0333]
        y = cnnx.affine(np.array(pooled), np.array(weight), np.array(bias), backend=backend)
        return cnnx.sigmoid(y, backend=backend).item()

    assert ox.sigmoid(-1.53 * 0.9820 - 4.17 * 0.8789 + 1.0333) < 0.02  # as printed
    assert output(1.53) == pytest.approx(0.2447, abs=1e-3)  # the slide's output
    assert output(-1.53) < 0.02


def test_d19_after_one_update_ct(backend):
    """The C_T printed after one update goes with the C's printed beside it, not with the outputs."""
    rounding = 3 * (2 * 0.00005) + 0.00005
    assert abs(3 * (0.6267 + 0.0254) - 1.9560) <= rounding
    outputs = np.array([[0.2447, 0.8080], [0.1859, 0.8542]])
    C_T = 3 * cnnx.squared_error(outputs, np.eye(2), reduction="sum", backend=backend)
    np.testing.assert_allclose(C_T, 3 * (0.6117 + 0.0279), rtol=0, atol=rounding)
    assert abs(C_T - 1.9560) > 100 * rounding
    # After 5,000 updates the outputs printed do not make the C_T printed, 0.0188, either.
    outputs = np.array([[0.9254, 0.0008], [0.0692, 0.9895]])
    C_T = 3 * cnnx.squared_error(outputs, np.eye(2), reduction="sum", backend=backend)
    np.testing.assert_allclose(C_T, 3 * (0.0746**2 + 0.0008**2 + 0.0692**2 + 0.0105**2) / 2, rtol=1e-12)
    printed(C_T, 0.0157, 4)


def test_d19_filter_update(backend):
    net, images = ox.start(), [ox.draw(ox.RING), ox.draw(ox.CROSS)]

    def cost(name, at):
        def moved(t):
            there = ox.descend(net, net, eta=0)
            getattr(there, name)[at] += t
            return sum(ox.plain_cost(there, ox.plain_features(there, i[0, 0].tolist()), t[0]) for i, t in images)

        return moved

    # Filter 1: its maxima on the x are tied, but over equal pixels, so they stay tied and the cost has a slope.
    right = [[slope(cost("F", (0, 0, r, s))) for s in range(2)] for r in range(2)]
    as_printed = sum(D19_DELTA_O[i][0] * POOLED[i][0] for i in "ox")  # delta^O_1 a_1 of the output layer, summed
    assert np.abs(np.subtract(right, as_printed)).min() > 0.09
    # (9) with delta^P at the one maximum: -0.0091 for the o, 0.0035 for the x.
    np.testing.assert_allclose(right, [[-0.0091, -0.0091 + 0.0035], [-0.0091 + 0.0035, 0]], rtol=0, atol=1.5e-4)
    right_b = slope(cost("b", 0))
    assert abs(right_b - sum(D19_DELTA_O[i][0] for i in "ox")) > 0.09

    gradients = ox.run(net, *ox.draw(ox.RING, ox.CROSS), backend=backend).gradients
    np.testing.assert_allclose(gradients.F[0, 0], right, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(gradients.b[0], right_b, rtol=1e-7)


def test_d19_ct_start(backend):
    assert abs(0.6367 + 0.0239 - 1.9818) > 1  # the two examples shown
    printed(3 * (0.6367 + 0.0239), 1.9818, 4)
    images = [image for image in (ox.RING, ox.CROSS) for _ in range(3)]
    printed(ox.run(ox.start(), *ox.draw(*images), backend=backend).C_T, 1.9818, 4)
