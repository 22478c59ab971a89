"""Affine layers, flatten, dropout, batch normalisation."""

import numpy as np

from ._figure import Figure

# sigmoid(z) = 1/(1 + exp(-z)) for z = 4, 3, 2, to more digits than D19 prints: what its pooling hands on.
S4, S3, S2 = 0.98201379, 0.95257413, 0.88079708

FIGURES = (
    Figure(
        "affine",
        "D19's output layer",
        "D19, table of section 7, with biases of 1; grad_output is its delta^O, the gradients by hand from its digits",
        {"x": [[S4, S2], [S3, S3]], "weight": [[1.5, -4.2], [-2.6, 3.5]], "bias": [1, 1]},
        [[-1.2263, 1.5296], [-1.5720, 1.8573]],
        [[-0.1356, 0.1203], [0.0245, -0.0158]],
        {
            "x": [[-0.5162, 0.9906], [0.0778, -0.1582]],
            # -0.1356 * 0.98201 + 0.0245 * 0.95257, ...
            "weight": [[-0.1098, -0.0961], [0.1031, 0.0909]],
            "bias": [-0.1111, 0.1045],
        },
        places=4,
    ),
    Figure(
        "affine",
        "digits",
        "by hand",
        {"x": [[1, 2], [3, 4]], "weight": [[1, 10], [100, 1000], [-1, 1]], "bias": [0.5, 0, -2]},
        [[21.5, 2100, -1], [43.5, 4300, -1]],
        [[1, 2, 3], [4, 5, 6]],
        {"x": [[198, 2013], [498, 5046]], "weight": [[13, 18], [17, 24], [21, 30]], "bias": [5, 7, 9]},
    ),
    Figure(
        "flatten",
        "order",
        "M17 2.5: j = (c H + h) W + w",
        {"x": [[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]]},
        [[1, 2, 3, 4, 5, 6, 7, 8]],
        [[8, 7, 6, 5, 4, 3, 2, 1]],
        {"x": [[[[8, 7], [6, 5]], [[4, 3], [2, 1]]]]},
    ),
    Figure(
        "dropout",
        "three of four dropped",
        "by hand: 1/(1 - 3/4) = 4",
        {"x": [1, 2, -3], "mask": np.array([True, False, True])},
        [4, 0, -12],
        [1, 2, 3],
        {"x": [4, 0, 12]},
        {"rate": 0.75},
    ),
    Figure(
        "batch_norm2d",
        "training",
        "by hand: channel 1 has mean 6, variance 16, sqrt(16 + 9) = 5, Zh = -0.8, 0.8; channel 2 is constant",
        {"x": [[[[2]], [[7]]], [[[10]], [[7]]]], "weight": [5, 3], "bias": [1, -2]},
        [[[[-3]], [[-2]]], [[[5]], [[-2]]]],
        [[[[1]], [[4]]], [[[2]], [[2]]]],
        {"x": [[[[-0.18]], [[1]]], [[[0.18]], [[-1]]]], "weight": [0.8, 0], "bias": [3, 6]},
        {"training": True, "eps": 9.0},
        places=5,
    ),
    Figure(
        "batch_norm2d",
        "inference",
        "by hand: sqrt(3 + 1) = 2, Zh = (5 - 1)/2 = 2, (-3 - 1)/2 = -2",
        {"x": [[[[5, -3]]]], "weight": [3], "bias": [1], "running_mean": [1], "running_var": [3]},
        [[[[7, -5]]]],
        [[[[4, 2]]]],
        {"x": [[[[6, 3]]]], "weight": [4], "bias": [6]},
        {"eps": 1.0},
        places=5,
    ),
    Figure(
        "local_response_norm",
        "three channels",
        "by hand: S = 1 + 1 + 4, 1 + 1 + 4 + 9, 1 + 4 + 9; Delta Z/S^2 = 1, 2, 3, so 6 - 2 1 3, 15 - 2 2 6, 14 - 2 3 5",
        {"x": [[1, 2, 3]]},
        [[0.166667, 0.133333, 0.214286]],
        [[36, 225, 196]],
        {"x": [[0, -9, -16]]},
        {"size": 3, "alpha": 3.0, "beta": 1.0},
        places=5,
    ),
    Figure(
        "local_response_norm",
        "an even size",
        "by hand, c and c + 1: S = 1 + 1 + 4, 1 + 4 + 9, 1 + 9; 6 - 2 1 1, 14 - 2 2 (1 + 2), 10 - 2 3 (2 + 3)",
        {"x": [[1, 2, 3]]},
        [[0.166667, 0.142857, 0.3]],
        [[36, 196, 100]],
        {"x": [[4, 2, -20]]},
        {"size": 2, "alpha": 2.0, "beta": 1.0},
        places=5,
    ),
    Figure(
        "local_response_norm",
        "a root",
        "by hand: S = 4 + 1 + 4, its root 3, and 4; Delta Z/27 = 1, 2, so 27/3 - 1 3, 27/3 - 2 3; 2/2, 4/2",
        {"x": [[[1, 0], [2, 0]]]},
        [[[0.333333, 0], [0.666667, 0]]],
        [[[27, 2], [27, 4]]],
        {"x": [[[6, 1], [3, 2]]]},
        {"size": 3, "alpha": 3.0, "beta": 0.5, "k": 4.0},
        places=5,
    ),
)
