"""Convolution."""

from ._figure import Figure

# D19's network for o and x (equations.md section 7).
RING = [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
FILTERS = [[[[1, 1], [1, -1]]], [[[1, -1], [-1, 1]]]]

FIGURES = (
    Figure(
        "conv2d",
        "D19's o",
        "D19, table of section 7; the gradients by hand, for a delta at the maxima",
        {"x": [[RING]], "weight": FILTERS, "bias": [0, 0]},
        [[[[3, 1], [1, 1]], [[-1, 1], [1, -1]]]],
        [[[[1, 0], [0, 0]], [[0, 2], [2, 0]]]],
        {
            "x": [[[[1, 3, -2], [3, -5, 2], [-2, 2, 0]]]],
            "weight": [[[[1, 1], [1, 0]]], [[[4, 2], [2, 4]]]],
            "bias": [1, 4],
        },
    ),
    Figure(
        "conv2d",
        "D19's x",
        "D19, table of section 7, with its biases of 1; the gradients by hand, for a delta at the maxima",
        {"x": [[CROSS]], "weight": FILTERS, "bias": [1, 1]},
        [[[[1, 3], [3, 1]], [[3, -1], [-1, 3]]]],
        [[[[0, 1], [1, 0]], [[2, 0], [0, 2]]]],
        # Filter 1 once each at (0,1) and (1,0), filter 2 twice each at (0,0) and (1,1).
        {
            "x": [[[[2, -1, 1], [-1, 6, -3], [1, -3, 2]]]],
            "weight": [[[[0, 2], [2, 0]]], [[[4, 0], [0, 4]]]],
            "bias": [2, 4],
        },
    ),
    Figure(
        "conv2d",
        "stride, padding by side",
        "by hand: one row of padding at the top, one column at the right",
        {"x": [[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], "weight": [[[[1, 10], [100, 1000]]]], "bias": [0]},
        [[[[2100, 3200, 300], [8754, 9865, 906]]]],
        [[[[1, 2, 3], [4, 5, 6]]]],
        {
            "x": [[[[100, 1200, 2300], [4, 45, 56], [400, 4500, 5600]]]],
            "weight": [[[[77, 50], [136, 85]]]],
            "bias": [21],
        },
        {"stride": (2, 1), "padding": ((1, 0), (0, 1))},
    ),
    Figure(
        "conv2d",
        "groups, dilation, two images",
        "by hand: 1 + 10 3 + 1/2 and 100 4 + 1000 6 - 1/4, and for the second image, twice the first",
        {
            "x": [[[[1, 2, 3]], [[4, 5, 6]]], [[[2, 4, 6]], [[8, 10, 12]]]],
            "weight": [[[[1, 10]]], [[[100, 1000]]]],
            "bias": [0.5, -0.25],
        },
        [[[[31.5]], [[6399.75]]], [[[62.5]], [[12799.75]]]],
        [[[[2]], [[3]]], [[[1]], [[-1]]]],
        {
            "x": [[[[2, 0, 20]], [[300, 0, 3000]]], [[[1, 0, 10]], [[-100, 0, -1000]]]],
            "weight": [[[[4, 12]]], [[[4, 6]]]],
            "bias": [3, 2],
        },
        {"groups": 2, "dilation": (1, 2)},
    ),
    Figure(
        "conv2d",
        "three input channels",
        "by hand: 1 + 10 2 + 100 3 + 1/2",
        {"x": [[[[1]], [[2]], [[3]]]], "weight": [[[[1]], [[10]], [[100]]]], "bias": [0.5]},
        [[[[321.5]]]],
        [[[[2]]]],
        {"x": [[[[2]], [[20]], [[200]]]], "weight": [[[[2]], [[4]], [[6]]]], "bias": [2]},
    ),
    Figure(
        "conv2d",
        "Winograd's algorithm",
        "by hand: the pixel at (1,1) of each window and twice the one at (2,2)",
        {
            "x": [[[[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]]],
            "weight": [[[[0, 0, 0], [0, 1, 0], [0, 0, 2]]]],
            "bias": [0],
        },
        [[[[28, 31], [40, 43]]]],
        [[[[1, 2], [3, 4]]]],
        {
            "x": [[[[0, 0, 0, 0], [0, 1, 2, 0], [0, 3, 6, 4], [0, 0, 6, 8]]]],
            "weight": [[[[44, 54, 64], [84, 94, 104], [124, 134, 144]]]],
            "bias": [10],
        },
        {"algorithm": "winograd"},
        places=3,
    ),
)
