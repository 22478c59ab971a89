"""Figures that no code of cnnx computed: the sources' printed ones and sums done by hand, a few for each op.

`places` is how many decimals are given: the result has to round to them. None: the result has to be equal. Weights
such as 1 10 / 100 1000 show in a result's digits which pixel met which weight.
"""

from . import activation, arithmetic, convolution, cost, layer, pooling
from ._figure import Figure as Figure

FIGURES: tuple[Figure, ...] = (
    *convolution.FIGURES,
    *pooling.FIGURES,
    *activation.FIGURES,
    *layer.FIGURES,
    *arithmetic.FIGURES,
    *cost.FIGURES,
)
