"""What every equation needs: the numbers it runs on, and the loop that turns one element into an array."""

import functools
import inspect
import math

import numpy as np


class IEEE:
    """exp, log, sqrt, erf and kin on floats, as IEEE 754 has them: inf and nan where `math` raises."""

    @staticmethod
    def exp(x):
        try:
            return math.exp(x)
        except OverflowError:
            return math.inf

    @staticmethod
    def expm1(x):
        try:
            return math.expm1(x)
        except OverflowError:
            return math.inf

    @staticmethod
    def log(x):
        if x > 0:
            return math.log(x)
        return -math.inf if x == 0 else math.nan

    @staticmethod
    def log1p(x):
        if x > -1:
            return math.log1p(x)
        return -math.inf if x == -1 else math.nan

    @staticmethod
    def sqrt(x):
        return math.sqrt(x) if x >= 0 else math.nan

    @staticmethod
    def pow(x, exponent):
        """x to a power, for x >= 0."""
        try:
            return math.pow(x, exponent)
        except OverflowError:
            return math.inf
        except ValueError:  # 0 to a negative power, or a negative x
            return math.inf if x == 0 else math.nan

    erfc = staticmethod(math.erfc)


def computes(**elements):
    """Make the array function of a kernel out of its signature and its element functions.

    The signature is the kernel contract: `kernel(inputs, /, outputs, *, numbers)`. `elements` names,
    for each output, the function that computes one element of it:
    `element(*inputs, *index, **numbers)`. The array function loops over every index.

    Inputs become arrays of Python numbers first, so that the equation is computed in double
    precision whatever the dtype of the arrays.
    """

    def decorate(kernel):
        kinds = [p.kind for p in inspect.signature(kernel).parameters.values()]
        inputs_count = kinds.count(inspect.Parameter.POSITIONAL_ONLY)

        @functools.wraps(kernel)
        def array_function(*arrays, **numbers):
            inputs = [array.astype(object) for array in arrays[:inputs_count]]
            with np.errstate(over="ignore", under="ignore"):  # a double too large for float32 is inf
                for output, element in zip(arrays[inputs_count:], elements.values(), strict=True):
                    for index in np.ndindex(output.shape):
                        output[index] = element(*inputs, *index, **numbers)

        array_function.elements = elements
        return array_function

    return decorate
