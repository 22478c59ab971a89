"""One element of a kernel's output, explained: its equation, and the same equation with the element's own numbers.

No op has a formula here: the reference's element function runs on numbers that remember where they came from
(`expression`). What padding removes is found by running it once more on an image that goes on beyond its edges.
"""

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ... import backend as _backend
from .._signature import signature
from ..data import Array
from . import expression as _r
from .explanation import Explanation, Factor, Part, Term
from .recorded import Recorded


def explain(
    kernel: str, output: str, inputs: Iterable[Array], index: tuple[int, ...], numbers: Mapping[str, float]
) -> Explanation:
    """Explain one element that a kernel computes.

    Parameters
    ----------
    kernel, output : str
        Names, as in `cnnx.reference`: "conv2d_grad_weight", "dF".
    inputs : arrays
        The kernel's inputs, in its order.
    index : tuple of int
        Which element of the output; within it, which is the caller's to see to.
    numbers : mapping
        The kernel's number arguments.

    Returns
    -------
    Explanation

    Examples
    --------
    D19's first filter on the upper left corner of an o:

    >>> import numpy as np
    >>> from cnnx.audit import explain
    >>> Z, F, b = np.ones((1, 1, 3, 3)), np.array([[[[1.0, 1.0], [1.0, -1.0]]]]), np.array([1.0])
    >>> Z[0, 0, 1, 1] = 0
    >>> stride_1 = dict(u=1, v=1, p_h=0, p_w=0, d_h=1, d_w=1, groups=1)
    >>> explanation = explain("conv2d", "Y", [Z, F, b], (0, 0, 0, 0), stride_1)
    >>> explanation.value
    4.0
    >>> [term.numbers for term in explanation.terms]
    ['1', '1 * 1', '1 * 1', '1 * 1', '(-1) * 0']
    """
    arrays, index = tuple(inputs), tuple(int(i) for i in index)
    element = _backend.equations(kernel)[output]
    names = list(signature(element).parameters)[: len(arrays)]
    root, read = _run(element, {n: Recorded(n, a) for n, a in zip(names, arrays, strict=True)}, index, numbers)
    writer = _r.Writer()
    peeled, frame, frame_numbers = _peel(root, writer)
    terms, looked_at = _terms(peeled), read
    beyond = _beyond_the_edge(element, dict(zip(names, arrays, strict=True)), output, index, numbers)
    if beyond is not None:
        extended, looked_at = _peel(beyond[0], writer)[0], beyond[1]
        if isinstance(extended, _r.Sum):  # a maximum is no sum, and has its term already
            terms = extended.terms()
    used = {(e.array, e.index) for term in terms for e in _r.elements(term)}
    equation, source, notes = _docstring(element)
    return Explanation(
        kernel=kernel,
        output=output,
        index=index,
        equation=equation,
        source=source,
        notes=notes,
        numbers=dict(numbers),
        terms=tuple(_term(term, writer) for term in terms),
        parts=tuple(_parts(writer)),
        frame=frame,
        frame_numbers=frame_numbers,
        value=root.value,
        looked_at=tuple(_factor(e, writer) for e in looked_at if (e.array, e.index) not in used),
    )


# ------------------------------------------------------------------------------------------ running


def _run(
    element: Callable[..., Any],
    arrays: Mapping[str, Recorded],
    index: tuple[int, ...],
    numbers: Mapping[str, float],
) -> tuple[_r.Node, list[_r.Element]]:
    """The element as an expression, and the elements that were read on the way."""
    named = {k: _r.Number(k, v) if isinstance(v, float) else v for k, v in numbers.items()}
    extra = {"m": _r.RecordedMath()} if "m" in signature(element).parameters else {}
    root = _r.node(element(*arrays.values(), *index, **named, **extra))
    return root, [e for array in arrays.values() for e in array.read.values()]


def _beyond_the_edge(
    element: Callable[..., Any],
    arrays: Mapping[str, Array],
    output: str,
    index: tuple[int, ...],
    numbers: Mapping[str, float],
) -> tuple[_r.Node, list[_r.Element]] | None:
    """The same on an image without an edge, for an equation whose windows may leave it; else None.

    Going forward, and for the kernel's gradient, the windows leave Z: it goes on beyond its edges, and the padding is
    0 with its corner as far in. A convolution's gradient with respect to Z goes to outputs, and some of those that its
    kernel would reach lie beyond the edge of Delta.
    """
    if "p_h" not in numbers or element.__name__.startswith("conv_transpose2d"):  # whose padding cuts its outputs
        return None
    numbers, recorded = dict(numbers), {name: Recorded(name, a) for name, a in arrays.items()}
    if "Z" in arrays and output != "dZ":
        corner = int(numbers["p_h"]), int(numbers["p_w"])
        numbers |= dict(p_h=0, p_w=0)
        beyond = -math.inf if element.__name__.startswith("max_pool2d") else 0.0
        recorded["Z"] = Recorded("Z", arrays["Z"], corner=corner, beyond=beyond)
    elif "F" in arrays:
        # As many more rows of outputs as a window has rows: more than reach any pixel.
        rows, columns = (n * int(numbers.get(d, 1)) for n, d in zip(arrays["F"].shape[2:], ("d_h", "d_w"), strict=True))
        recorded["Delta"] = Recorded("Delta", arrays["Delta"], corner=(rows, columns))
        n, c, h, w = index
        index = n, c, h + rows * int(numbers.get("u", 1)), w + columns * int(numbers.get("v", 1))
    else:
        return None
    return _run(element, recorded, index, numbers)


# ------------------------------------------------------------------------------------ taking apart


def _peel(root: _r.Node, writer: _r.Writer) -> tuple[_r.Node, str, str]:
    """The sum within an expression and what is done with it: root = f(sum), written in names and in values."""
    here, names, values = root, "{sum}", "{sum}"
    while not isinstance(here, _r.Sum):
        inner = [part for part in here.parts if any(True for _ in _r.elements(part))]
        if len(inner) != 1 or here.parts[0] is not inner[0]:
            return root, "{sum}", "{sum}"
        if isinstance(here, _r.Function):
            around = [f"{here.name}({{sum}})"] * 2
        elif isinstance(here, (_r.Quotient, _r.Power)):
            sign = " / " if isinstance(here, _r.Quotient) else "^"
            around = [f"{{sum}}{sign}{here.part(writer, 1, _r.ATOM, values=v)}" for v in (False, True)]
            if here is not root:
                around = [f"({text})" for text in around]
        else:
            return root, "{sum}", "{sum}"
        names, values = (text.replace("{sum}", a) for text, a in zip((names, values), around, strict=True))
        here = inner[0]
    return here, names, values


def _terms(root: _r.Node) -> list[_r.Node]:
    """What an expression adds up; nothing for one that holds no element."""
    if isinstance(root, _r.Sum):
        return root.terms()
    return [root] if any(True for _ in _r.elements(root)) else []


def _term(node: _r.Node, writer: _r.Writer) -> Term:
    factors = tuple(_factors(node, writer))
    brackets = "({})" if isinstance(node, _r.Sum) else "{}"
    return Term(
        text=brackets.format(writer.names(node)),
        numbers=brackets.format(writer.values(node)),
        factors=factors,
        product=node.value,
        removed=any(f.outside for f in factors),
    )


def _factors(node: _r.Node, writer: _r.Writer) -> Iterator[Factor]:
    """What a term multiplies; a divisor is a factor 1/d."""
    if isinstance(node, _r.Product):
        for part in node.parts:
            yield from _factors(part, writer)
    elif isinstance(node, _r.Quotient):
        yield from _factors(node.parts[0], writer)
        divisor = node.parts[1].value
        yield Factor(f"1 / {node.part(writer, 1, _r.ATOM, values=False)}", 1 / divisor if divisor else math.nan)
    elif isinstance(node, _r.Negative):
        yield Factor("-1", -1)
        yield from _factors(node.parts[0], writer)
    else:
        yield _factor(node, writer)


def _factor(node: _r.Node, writer: _r.Writer) -> Factor:
    if isinstance(node, _r.Element):
        return Factor(writer.names(node), node.value, node.array, node.index, node.outside)
    # A function of a pixel beyond the edge, |Z~|^rho, is one too.
    outside = isinstance(node, (_r.Function, _r.Power)) and any(e.outside for e in _r.elements(node))
    return Factor(writer.names(node), node.value, outside=outside)


def _parts(writer: _r.Writer) -> Iterator[Part]:
    for i, total in enumerate(writer.sums):  # it grows: a sum's terms may hold sums
        terms = total.terms()
        shown = [writer.names(term) for term in (*terms[: _r.INLINE], terms[-1])]
        middle = " + " if len(terms) == len(shown) else " + ... + "
        text = f"{' + '.join(shown[:-1])}{middle}{shown[-1]}"
        yield Part(f"S{i + 1}", text.replace(" + -", " - "), len(terms), total.value)


def _docstring(element: Callable[..., Any]) -> tuple[str, str, str]:
    """Equation, source and notes: a docstring's first paragraph, its last, and what stands between them.

    Where it names no source, its module's first sentence does.
    """
    if sys.flags.optimize > 1:
        return "(the equation is a docstring, and python -OO removes those)", "See cnnx equations.", ""
    first, *rest = (" ".join(p.split()) for p in inspect.cleandoc(element.__doc__ or "").split("\n\n"))
    if rest:
        return first, rest[-1], " ".join(rest[:-1])
    module = inspect.cleandoc(sys.modules[element.__module__].__doc__ or "")
    return first, " ".join(module.split("\n\n")[0].split()), ""
