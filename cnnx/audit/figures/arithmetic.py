"""Sums and products of two arrays, and of matrices."""

from ._figure import Figure

FIGURES = (
    Figure(
        "add",
        "rows and a row",
        "by hand: the row, which is added twice, receives both rows' gradients",
        {"a": [[1, 2], [3, 4]], "b": [10, 20]},
        [[11, 22], [13, 24]],
        [[1, 10], [100, 1000]],
        {"a": [[1, 10], [100, 1000]], "b": [101, 1010]},
    ),
    Figure(
        "add",
        "a column and a row",
        "by hand",
        {"a": [[1], [2]], "b": [10, 20, 30]},
        [[11, 21, 31], [12, 22, 32]],
        [[1, 1, 1], [2, 0, 10]],
        {"a": [[3], [12]], "b": [3, 1, 11]},
    ),
    Figure(
        "multiply",
        "rows and a row",
        "by hand: 1 1 + 1 3 and 1 2 + 2 4 for the row",
        {"a": [[1, 2], [3, 4]], "b": [10, 20]},
        [[10, 40], [30, 80]],
        [[1, 1], [1, 2]],
        {"a": [[10, 20], [10, 40]], "b": [4, 10]},
    ),
    Figure(
        "multiply",
        "a column and a row",
        "by hand: 1 3 + 2 5 and 1 5; 1 1 + 0 2 and 2 1 + 1 2",
        {"a": [[1], [2]], "b": [3, 5]},
        [[3, 5], [6, 10]],
        [[1, 2], [0, 1]],
        {"a": [[13], [5]], "b": [1, 4]},
    ),
    Figure(
        "matmul",
        "two matrices",
        "by hand: 1 5 + 2 8, 1 6 + 2 9, 1 7 + 2 10; 1 5 + 2 7 and 1 8 + 2 10 for a's first row",
        {"a": [[1, 2], [3, 4]], "b": [[5, 6, 7], [8, 9, 10]]},
        [[21, 24, 27], [47, 54, 61]],
        [[1, 0, 2], [0, 1, 0]],
        {"a": [[19, 28], [6, 9]], "b": [[1, 3, 2], [2, 4, 4]]},
    ),
    Figure(
        "matmul",
        "one matrix for two",
        "by hand: b receives 1 1 + 2 3 and 1 2 + 2 4",
        {"a": [[[1, 2]], [[3, 4]]], "b": [[1], [10]]},
        [[[21]], [[43]]],
        [[[1]], [[2]]],
        {"a": [[[1, 10]], [[2, 20]]], "b": [[7], [10]]},
    ),
    Figure(
        "matmul",
        "one matrix for two, from the left",
        "by hand: a receives 1 3 + 10 5 and 1 4 + 10 6",
        {"a": [[1, 2]], "b": [[[3], [4]], [[5], [6]]]},
        [[[11]], [[17]]],
        [[[1]], [[10]]],
        {"a": [[53, 64]], "b": [[[1], [2]], [[10], [20]]]},
    ),
)
