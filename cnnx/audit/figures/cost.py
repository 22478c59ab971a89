"""Costs."""

import numpy as np

from ._figure import LN2, LN5, Figure

FIGURES = (
    Figure(
        "squared_error",
        "D19's o",
        "D19, table of section 7; its dC/da = a - t",
        {"y": [[0.2268, 0.8219]], "target": [[1, 0]]},
        0.6367,
        None,
        {"y": [[-0.7732, 0.8219]]},
        {"reduction": "sum"},
        places=4,
    ),
    Figure(
        "squared_error",
        "D19's x",
        "D19, table of section 7",
        {"y": [[0.1719, 0.8650]], "target": [[0, 1]]},
        0.0239,
        None,
        {"y": [[0.1719, -0.1350]]},
        {"reduction": "sum"},
        places=4,
    ),
    Figure(
        "squared_error",
        "mean of two",
        "by hand: (3^2 + 4^2)/2/2; (a - t)/2",
        {"y": [[4, -2], [0, 1]], "target": [[1, 2], [0, 1]]},
        6.25,
        None,
        {"y": [[1.5, -2], [0, 0]]},
    ),
    Figure(
        "cross_entropy",
        "class indices, mean of two",
        "by hand: softmax gives 1/8, 2/8, 5/8; (ln 4 + ln 8)/2 = 5/2 ln 2; (y - t)/2",
        {"logits": [[0, LN2, LN5], [0, LN2, LN5]], "target": np.array([1, 0])},
        1.732868,
        None,
        {"logits": [[0.0625, -0.375, 0.3125], [-0.4375, 0.125, 0.3125]]},
        places=6,
    ),
    Figure(
        "cross_entropy",
        "probabilities, mean of two",
        "by hand: (ln 8)/2 + (ln 4)/4 + (ln 8 - ln 5)/4 = 11/4 ln 2 - (ln 5)/4 and ln 4; (y - t)/2",
        {"logits": [[0, LN2, LN5], [0, LN2, LN5]], "target": [[0.5, 0.25, 0.25], [0, 1, 0]]},
        1.445045,
        None,
        {"logits": [[-0.1875, 0, 0.1875], [0.0625, -0.375, 0.3125]]},
        places=6,
    ),
    Figure(
        "cross_entropy",
        "weights, sum",
        "by hand: 2 ln 8; the weights sum to 2, so 2 y - t",
        {"logits": [[0, LN2, LN5]], "target": [[2, 0, 0]]},
        4.158883,
        None,
        {"logits": [[-1.75, 0.5, 1.25]]},
        {"reduction": "sum"},
        places=6,
    ),
)
