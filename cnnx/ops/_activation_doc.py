"""The docstrings of the activations: one text for all, with the words of each."""

_FORWARD_DOC = """{title}, elementwise: Y = phi(Z), phi(z) = {phi}

    A1: M17 (15). phi: {source}. NaN in gives NaN out.

    Parameters
    ----------
    x : array of any shape, float32 or float64
    {option}backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array of x's shape and dtype

    Raises
    ------
    TypeError
        x is no array or of another dtype{option_type_error}.
    ValueError
        {option_error}An unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.{name}(np.array([-1.0, 0.0, 2.0]))
    {forward_example}
    """

_BACKWARD_DOC = """Gradient of a cost through `{name}`: dZ = Delta phi'(Z), phi'(z) = {phi_prime}

    A2: M17 (16). phi': {source}. At a kink phi' is the slope on the left.

    Parameters
    ----------
    grad_output, x : arrays of one shape and dtype
    {option}{output}backend : str or None
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
    >>> cnnx.{name}_backward(np.ones(3), np.array([-1.0, 0.0, 2.0]))
    {backward_example}
    """


_OUTPUT = """output : array of x's shape and dtype, or None
        What the forward call gave: it need not be computed again, and x's numbers are not read. As far as
        the rounded output allows: where it is 1 (tanh: float32 from |z| = 9, float64 from 19 on; sigmoid: from
        z = 17, 37 on), phi' is 0. Without it phi' is right to some ulp wherever it is a number.
    """


def docstrings(
    words: dict[str, str], examples: tuple[str, str], option: tuple[str, str] | None, by_output: bool
) -> tuple[str, str]:
    """Of an activation's forward and backward functions.

    words: its name, title, phi, phi_prime and source; examples: what those in the texts give; option: the name and the
    meaning of its number, if it takes one; by_output: whether the backward one takes the forward one's output.
    """
    words = words | {"option": "", "option_type_error": "", "option_error": "", "output": "", "or_output": ""}
    if option is not None:
        words["option"] = f"{option[0]} : float\n        {option[1]}\n    "
        words["option_type_error"] = f", or {option[0]} is no number"
        words["option_error"] = f"{option[0]} is not finite. "
    if by_output:
        words |= {"output": _OUTPUT, "or_output": " or output"}
    forward = _FORWARD_DOC.format(**words, forward_example=examples[0])
    return forward, _BACKWARD_DOC.format(**words, backward_example=examples[1])
