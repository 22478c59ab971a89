"""D19's network for o and x to the digits printed (cnnx/equations.md, section 7), in both back ends.

The expected numbers are D19's own, but where a comment says otherwise.
"""

import numpy as np
import ox
import pytest
from ox import printed


@pytest.fixture(params=["reference", "optimized"])
def backend(request):
    return request.param


@pytest.fixture
def start(backend):
    """The network before any update, on one o and one x, by the chain rule."""
    return ox.run(ox.start(), *ox.draw(ox.RING, ox.CROSS), backend=backend, ties="all")


# --------------------------------------------------------------------------------------------- forward


def test_convolution_without_bias(start):
    o, x = start.Z_F - 1  # both biases are 1
    assert o.tolist() == [[[3, 1], [1, 1]], [[-1, 1], [1, -1]]]
    assert x.tolist() == [[[0, 2], [2, 0]], [[2, -2], [-2, 2]]]


def test_feature_maps(start):
    o, x = start.a_F
    printed(o, [[[0.9820, 0.8808], [0.8808, 0.8808]], [[0.5000, 0.8808], [0.8808, 0.5000]]], 4)
    printed(x, [[[0.7311, 0.9526], [0.9526, 0.7311]], [[0.9526, 0.2689], [0.2689, 0.9526]]], 4)


def test_pooled(start):
    printed(start.a_P, [[0.9820, 0.8808], [0.9526, 0.9526]], 4)


def test_weighted_inputs_of_the_output_units(start):
    # D19 repeats the o's for the x; the x's follow from its pooled values: 1.5 * .9526 - 4.2 * .9526 = -2.5720, ...
    printed(start.Z_O - 1, [[-2.2263, 0.5296], [-2.5720, 0.8573]], 4)


def test_outputs(start):
    printed(start.a_O, [[0.2268, 0.8219], [0.1719, 0.8650]], 4)


@pytest.mark.parametrize(("image", "C"), [(ox.RING, 0.6367), (ox.CROSS, 0.0239)])
def test_costs(image, C, backend):
    printed(ox.run(ox.start(), *ox.draw(image), backend=backend).C_T, C, 4)


# -------------------------------------------------------------------------------------------- backward


def test_delta_O(start):
    # The x's: D19's slide of its output layer; the last slide repeats the o's.
    printed(start.delta_O, [[-0.1356, 0.1203], [0.0245, -0.0158]], 4)


def maxima(o1, o2, x1, x2):
    """Delta^F of o and x: one number per feature map, at its maxima (all of them), 0 elsewhere."""
    return [[[[o1, 0], [0, 0]], [[0, o2], [o2, 0]]], [[[0, x1], [x1, 0]], [[x2, 0], [0, x2]]]]


def test_delta_F_has_sigmoid_prime_once(start):
    # D19 prints these four as delta^P, whose (4) holds the factor already.
    printed(start.delta_F, maxima(-0.0091, 0.1040, 0.0035, -0.0071), 4)
    # One digit more, of the errata: (a - t) a' w a' in double precision.
    printed(start.delta_F, maxima(-0.00912, 0.10400, 0.00351, -0.00714), 5)


def test_delta_F_as_printed_has_sigmoid_prime_twice(backend):
    twice = ox.run(ox.start(), *ox.draw(ox.RING, ox.CROSS), backend=backend, ties="all", squared=True)
    # D19 prints 0.1568e-3 for the third: two digits swapped.
    expected = np.array(maxima(-0.1610e-3, 0.0109, 0.1586e-3, -0.3225e-3))
    for at, digits in ((0, 0), 7), ((0, 1), 4), ((1, 0), 7), ((1, 1), 7):
        printed(twice.delta_F[at], expected[at], digits)
    assert not np.allclose(twice.delta_F[1, 0], np.array(maxima(0, 0, 0.1568e-3, 0))[1, 0], rtol=0, atol=1e-6)


def test_first_of_tied_maxima_takes_all(backend):
    first = ox.run(ox.start(), *ox.draw(ox.RING, ox.CROSS), backend=backend, ties="first").delta_F
    expected = np.array(maxima(-0.0091, 0.1040, 0.0035, -0.0071))
    expected[0, 1, 1, 0] = expected[1, 0, 1, 0] = expected[1, 1, 1, 1] = 0  # later in row-major order
    printed(first, expected, 4)


# --------------------------------------------------------------------------- on from here, as D19 prints it


@pytest.fixture
def printed_update(backend):
    """The network after one update with D19's squared factor, all ties, eta 0.1 and the six examples."""
    six = ox.draw(ox.RING, ox.RING, ox.RING_DAMAGED, ox.CROSS, ox.CROSS, ox.CROSS_DAMAGED)
    before = ox.run(ox.start(), *six, backend=backend, ties="all", squared=True)
    printed(before.C_T, 1.9818, 4)
    return ox.descend(ox.start(), before.gradients, eta=0.1)


def test_printed_update_of_the_output_layer(printed_update):
    printed(printed_update.b_O, [1.0333, 0.9686], 4)
    printed(printed_update.w, [[1.53, -4.17], [-2.63, 3.47]], 2)  # D19 has a minus before 1.53


def test_printed_update_of_the_filters(printed_update):
    expected = [[[[1.00005, 0.99996], [0.99996, -1.00000]]], [[[0.99470, -1.00218], [-1.00327, 0.99470]]]]
    np.testing.assert_allclose(printed_update.F, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(printed_update.b, [0.99996, 0.99470], rtol=0, atol=1e-5)


def test_printed_update_outputs(printed_update, backend):
    after = ox.run(printed_update, *ox.draw(ox.RING, ox.CROSS), backend=backend)
    printed(after.a_O, [[0.2447, 0.8080], [0.1859, 0.8542]], 4)


def test_printed_update_feature_maps(printed_update, backend):
    after = ox.run(printed_update, *ox.draw(ox.RING, ox.CROSS), backend=backend)
    o, x = after.a_F
    printed(o, [[[0.9820, 0.8808], [0.8808, 0.8808]], [[0.4960, 0.8789], [0.8788, 0.4960]]], 4)
    printed(x, [[[0.7311, 0.9526], [0.9526, 0.7311]], [[0.9519, 0.2668], [0.2668, 0.9519]]], 4)
    # D19 rounds these loosely: 0.9872 to 0.98, -2.0055 to -2.006.
    o, x = after.Z_F - printed_update.b[:, None, None]
    np.testing.assert_allclose(o, [[[2.99, 1], [1, 0.99]], [[-1.01, 0.98], [0.98, -1.01]]], rtol=0, atol=0.01)
    expected = [[[0.0001, 1.999], [1.999, 0.0001]], [[1.989, -2.006], [-2.006, 1.989]]]
    np.testing.assert_allclose(x, expected, rtol=0, atol=0.001)


# ---------------------------------------------------------------------- on from here, by the chain rule once


@pytest.mark.parametrize(("ties", "last"), [("all", 0.0024), ("first", 0.0029)])
def test_5000_updates_by_the_chain_rule(ties, last):
    """The last costs are not D19's, which belong to another step: a program without cnnx gave them."""
    images, targets = ox.draw(ox.RING, ox.RING, ox.RING, ox.CROSS, ox.CROSS, ox.CROSS)
    net = ox.start()
    for update in range(5000):
        now = ox.run(net, images, targets, backend="optimized", ties=ties)
        if update == 0:
            printed(now.C_T, 1.9818, 4)
        net = ox.descend(net, now.gradients, eta=0.1)
    end = ox.run(net, images, targets, backend="optimized")
    printed(end.C_T, last, 4)
    assert end.a_O.argmax(axis=1).tolist() == targets.argmax(axis=1).tolist()  # told apart


def test_two_examples_are_a_third_of_six(backend):
    """D19 sums over the examples (E2): three equal ones weigh three times."""
    two = ox.run(ox.start(), *ox.draw(ox.RING, ox.CROSS), backend=backend)
    six = ox.run(ox.start(), *ox.draw(ox.RING, ox.RING, ox.RING, ox.CROSS, ox.CROSS, ox.CROSS), backend=backend)
    # delta^O of the o (D19) is the gradient of the biases it adds; likewise the x's.
    printed(two.gradients.b_O, [-0.1356 + 0.0245, 0.1203 - 0.0158], 3)
    for name, gradient in vars(two.gradients).items():
        np.testing.assert_allclose(getattr(six.gradients, name), 3 * gradient, rtol=1e-13, atol=1e-15)
