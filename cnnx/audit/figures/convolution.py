"""Convolution and transposed convolution."""

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
    Figure(
        "conv2d",
        "Winograd's algorithm, 5x5",
        "by hand: the pixel at (2,2) of a window, twice the one at (4,4); the weights' is 10 x[r,s] + 2 1 + 3 6 + 4 7",
        {
            "x": [[[list(range(6 * row + 1, 6 * row + 7)) for row in range(6)]]],
            "weight": [[[[0] * 5, [0] * 5, [0, 0, 1, 0, 0], [0] * 5, [0, 0, 0, 0, 2]]]],
            "bias": [0],
        },
        [[[[15 + 2 * 29, 16 + 2 * 30], [21 + 2 * 35, 22 + 2 * 36]]]],
        [[[[1, 2], [3, 4]]]],
        {
            "x": [[[[0] * 6, [0] * 6, [0, 0, 1, 2, 0, 0], [0, 0, 3, 4, 0, 0], [0, 0, 0, 0, 2, 4], [0, 0, 0, 0, 6, 8]]]],
            "weight": [
                [
                    [
                        [58, 68, 78, 88, 98],
                        [118, 128, 138, 148, 158],
                        [178, 188, 198, 208, 218],
                        [238, 248, 258, 268, 278],
                        [298, 308, 318, 328, 338],
                    ]
                ]
            ],
            "bias": [10],
        },
        {"algorithm": "winograd"},
        places=3,
    ),
    Figure(
        "conv_transpose2d",
        "two pixels",
        "by hand: the kernel once at the first pixel's place, twice at the second's, one column on",
        {"x": [[[[1, 2]]]], "weight": [[[[1, 10, 100]]]], "bias": [0.5]},
        [[[[1.5, 12.5, 120.5, 200.5]]]],
        [[[[1, 2, 3, 4]]]],
        # 1 1 + 10 2 + 100 3 and the same of 2, 3, 4; 1 1 + 2 2, 1 2 + 2 3 and 1 3 + 2 4
        {"x": [[[[321, 432]]]], "weight": [[[[5, 8, 11]]]], "bias": [10]},
    ),
    Figure(
        "conv_transpose2d",
        "stride, padding by side, output padding",
        "by hand: rows two apart, of which the first is cut and one is added, where the bias stands alone",
        {"x": [[[[1, 2], [3, 4]]]], "weight": [[[[1, 10], [100, 1000]]]], "bias": [7]},
        [[[[107, 1207, 2007], [10, 41, 47], [307, 3407, 4007], [7, 7, 7]]]],
        [[[[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]]],
        {
            "x": [[[[2100, 3200], [8754, 9865]]]],
            "weight": [[[[3 * 4 + 4 * 5, 3 * 5 + 4 * 6], [1 + 4 + 21 + 32, 2 + 6 + 24 + 36]]]],
            "bias": [78],
        },
        {"stride": (2, 1), "padding": ((1, 0), (0, 0)), "output_padding": (1, 0)},
    ),
    Figure(
        "conv_transpose2d",
        "groups, dilation, two images",
        "by hand: each of two channels by a kernel of its own, whose columns lie two apart; image 2 is twice the first",
        {
            "x": [[[[1, 2]], [[3, 4]]], [[[2, 4]], [[6, 8]]]],
            "weight": [[[[1, 10]]], [[[100, 1000]]]],
            "bias": [0.5, -0.25],
        },
        [
            [[[1.5, 2.5, 10.5, 20.5]], [[299.75, 399.75, 2999.75, 3999.75]]],
            [[[2.5, 4.5, 20.5, 40.5]], [[599.75, 799.75, 5999.75, 7999.75]]],
        ],
        [[[[1, 2, 3, 4]], [[5, 6, 7, 8]]], [[[0, 0, 1, 0]], [[0, 1, 0, 0]]]],
        {
            "x": [[[[31, 42]], [[7500, 8600]]], [[[10, 0]], [[0, 100]]]],
            "weight": [[[[5, 13]]], [[[47, 53]]]],
            "bias": [11, 27],
        },
        {"groups": 2, "dilation": (1, 2)},
    ),
)
