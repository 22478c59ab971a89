"""The docstrings of the activations: one text for all, with the words of each."""

from collections.abc import Mapping

_FORWARD_DOC = """{title}, elementwise: Y = phi(Z), phi(z) = {phi}

    A1: M17 (15). phi: {source}. NaN in gives NaN out.

    Parameters
    ----------
    x : array of any shape, float32 or float64
    {options}backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError
        x is no array or of another dtype{type_error}.
    ValueError
        {error}An unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.{name}(np.array([-1.0, 0.0, 2.0]){arguments})
    {forward_example}
    """

_BACKWARD_DOC = """Gradient of a cost through `{name}`: dZ = Delta phi'(Z), phi'(z) = {phi_prime}

    A2: M17 (16). phi': {source}. At a kink phi' is the slope on the left.

    Parameters
    ----------
    grad_output, x : arrays of one shape and dtype
    {options}{output}backend : str or None
        As in the forward call.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `{name}` does; ValueError also for a grad_output{or_output} of another shape than x's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.{name}_backward(np.ones(3), np.array([-1.0, 0.0, 2.0]){arguments})
    {backward_example}
    """


_OUTPUT = """output : array of x's shape and dtype, or None
        What the forward call gave: it need not be computed again, and x's numbers are not read. As far as
        the rounded output allows: where it is 1 (tanh: float32 from |z| = 9, float64 from 19 on; sigmoid: from
        z = 17, 37 on), phi' is 0. Without it phi' is right to some ulp wherever it is a number.
    """


def docstrings(
    words: dict[str, str], examples: tuple[str, str], options: Mapping[str, str], by_output: bool
) -> tuple[str, str]:
    """Of an activation's forward and backward functions.

    words: its name, title, phi, phi_prime and source, when its options are ValueErrors and what those of the examples
    are; examples: what these give; options: the numbers that it takes, "names : types", and their meaning; by_output:
    whether the backward function takes the forward one's output.
    """
    names = " or ".join(name.partition(" :")[0].replace(", ", " or ") for name in options)
    words = words | {
        "options": "".join(f"{name}\n        {meaning}\n    " for name, meaning in options.items()),
        "type_error": f", or {names} is no number" if options else "",
        "error": f"{words['error']}. " if words["error"] else "",
        "output": _OUTPUT if by_output else "",
        "or_output": " or output" if by_output else "",
    }
    forward = _FORWARD_DOC.format(**words, forward_example=examples[0])
    return forward, _BACKWARD_DOC.format(**words, backward_example=examples[1])
