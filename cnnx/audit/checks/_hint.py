"""Where the 1/N lives: a gradient that differs by the number of examples alone follows another convention.

M17 writes 1/N before the gradients of parameters, (5), (6), (18), (19); here it belongs to the cost (equations.md,
section 5). Homework that follows M17 to the letter fails by that factor and by nothing else.
"""

import numpy as np

from ..data import Array
from ..trace import KernelCall

# Gradients that sum over the examples of their first input; M17's equation of each.
PARAMETERS = {
    "conv2d_grad_weight": "M17 (5)",
    "conv2d_grad_bias": "M17 (6)",
    "affine_grad_weight": "M17 (18)",
    "affine_grad_bias": "M17 (19)",
    "conv_transpose2d_grad_weight": "",
}
RULE = "here the 1/N belongs to the cost, and layers sum (cnnx equations M17)"


def of_examples(call: KernelCall, got: Array, expected: Array) -> str:
    """Words to go on with, where a result is the right one but for a factor N or 1/N; else ""."""
    if call.kernel in PARAMETERS:
        N = len(call.inputs[0])
        if _alike(got * float(N), expected, N):
            printed = f", as {PARAMETERS[call.kernel]} has it" if PARAMETERS[call.kernel] else ""
            return f"; all of it is 1/N of what is expected, N = {N}{printed}: {RULE}"
    elif "divisor" in call.numbers:
        N = int(call.numbers["divisor"])
        if _alike(got / float(N), expected, N):
            return f'; all of it is N times what is expected, N = {N}: reduction="mean" has a 1/N, and {RULE}'
        if _alike(got * float(N), expected, N):
            return f"; all of it is 1/N of what is expected, N = {N}: the 1/N comes in twice; {RULE}"
    return ""


def _alike(a: Array, b: Array, factor: int) -> bool:
    """Whether they are the same but for rounding, and would not be without the factor."""
    size = float(np.abs(b).max(initial=0.0))
    return factor > 1 and size > 0 and bool(np.allclose(a, b, 1e-4, 1e-5 * size))
