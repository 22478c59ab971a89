"""One element of a kernel's output, explained: its equation, and the same equation with the element's own numbers.

No op has a formula here: the reference's element function runs on numbers that remember where they came from
(`recording`). What padding removes is found by running it once more on an image that goes on beyond its edges.
"""

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import backend as _backend
from . import recording as _r
from .data import Array

SHOWN = 12  # terms that `Explanation.text` writes out unless asked for all
OUTSIDE = {"Z": "removed by padding", "Delta": "beyond the output"}  # in words, by array


@dataclass(frozen=True)
class Factor:
    """One factor of a term; an element of an array has its name and index. `outside`: beyond its array's edge."""

    text: str
    value: float
    array: str | None = None
    index: tuple[int, ...] | None = None
    outside: bool = False


@dataclass(frozen=True)
class Term:
    """One term of the sum. `removed`: a factor lies in the padding, and the equation leaves the term out."""

    text: str
    numbers: str
    factors: tuple[Factor, ...]
    product: float
    removed: bool


@dataclass(frozen=True)
class Part:
    """A sum within the terms, which they call S1, S2, ...; `text` has its first terms, and its last."""

    name: str
    text: str
    count: int
    value: float


@dataclass(frozen=True)
class Explanation:
    """An element of a kernel's output and how it comes about.

    equation, source, notes : from the docstring of the reference's element function.
    numbers : the kernel's number arguments.
    frame, frame_numbers : what is done with the sum of the terms, "{sum} / 9", in names and in values.
    value : in double precision, as the reference computes it.
    looked_at : elements that the equation compared or tested, but that are not in its terms.
    """

    kernel: str
    output: str
    index: tuple[int, ...]
    equation: str
    source: str
    notes: str
    numbers: dict[str, float]
    terms: tuple[Term, ...]
    parts: tuple[Part, ...]
    frame: str
    frame_numbers: str
    value: float
    looked_at: tuple[Factor, ...]

    @property
    def name(self) -> str:
        """The element in words: Y[0,0,1,2]."""
        return _r.named(self.output, self.index)

    @property
    def removed(self) -> int:
        """How many terms padding removes."""
        return sum(term.removed for term in self.terms)

    def text(self, *, every: bool = False) -> str:
        """The explanation in words; long sums are cut short unless `every` term is asked for."""
        return "\n".join(_written(self, SHOWN if not every else sys.maxsize))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""

        def factor(f: Factor) -> dict[str, Any]:
            index = None if f.index is None else list(f.index)
            return {"text": f.text, "value": f.value, "array": f.array, "index": index, "outside": f.outside}

        return {
            "kernel": self.kernel,
            "output": self.output,
            "index": list(self.index),
            "equation": self.equation,
            "source": self.source,
            "notes": self.notes,
            "numbers": dict(self.numbers),
            "frame": self.frame,
            "value": self.value,
            "terms": [
                {
                    "text": t.text,
                    "factors": [factor(f) for f in t.factors],
                    "product": t.product,
                    "removed": t.removed,
                }
                for t in self.terms
            ],
            "parts": [{"name": p.name, "text": p.text, "count": p.count, "value": p.value} for p in self.parts],
            "looked_at": [factor(f) for f in self.looked_at],
        }


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
    names = list(inspect.signature(element).parameters)[: len(arrays)]
    root, read = _run(element, {n: _r.Recorded(n, a) for n, a in zip(names, arrays, strict=True)}, index, numbers)
    writer = _r.Writer()
    peeled, frame, frame_numbers = _peel(root, writer)
    terms, looked_at = _terms(peeled), read
    beyond = _beyond_the_edge(element, dict(zip(names, arrays, strict=True)), output, index, numbers)
    if beyond is not None:
        extended, looked_at = beyond
        if isinstance(peeled, _r.Sum) or not terms:
            terms = _terms(_peel(extended, writer)[0])
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
    arrays: Mapping[str, _r.Recorded],
    index: tuple[int, ...],
    numbers: Mapping[str, float],
) -> tuple[_r.Node, list[_r.Element]]:
    """The element as an expression, and the elements that were read on the way."""
    named = {k: _r.Number(k, v) if isinstance(v, float) else v for k, v in numbers.items()}
    extra = {"m": _r.RecordedMath()} if "m" in inspect.signature(element).parameters else {}
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
    if "p_h" not in numbers:
        return None
    numbers, recorded = dict(numbers), {name: _r.Recorded(name, a) for name, a in arrays.items()}
    if "Z" in arrays and output != "dZ":
        corner = int(numbers["p_h"]), int(numbers["p_w"])
        numbers |= dict(p_h=0, p_w=0)
        beyond = -math.inf if element.__name__.startswith("max_pool2d") else 0.0
        recorded["Z"] = _r.Recorded("Z", arrays["Z"], corner=corner, beyond=beyond)
    elif "F" in arrays:
        # As many more rows of outputs as a window has rows: more than reach any pixel.
        rows, columns = (n * int(numbers.get(d, 1)) for n, d in zip(arrays["F"].shape[2:], ("d_h", "d_w"), strict=True))
        recorded["Delta"] = _r.Recorded("Delta", arrays["Delta"], corner=(rows, columns))
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
    return Term(
        text=writer.names(node),
        numbers=writer.values(node),
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
    first, *rest = (" ".join(p.split()) for p in inspect.cleandoc(element.__doc__ or "").split("\n\n"))
    if rest:
        return first, rest[-1], " ".join(rest[:-1])
    module = inspect.cleandoc(sys.modules[element.__module__].__doc__ or "")
    return first, " ".join(module.split("\n\n")[0].split()), ""


# ----------------------------------------------------------------------------------------- in words


def _written(e: Explanation, most: int) -> Iterator[str]:
    numbers = "".join(f", {name} = {_r.written(value)}" for name, value in e.numbers.items())
    yield f"{e.name} of kernel {e.kernel}{numbers}"
    yield ""
    yield f"  {e.equation}"
    if e.notes:
        yield f"  {e.notes}"
    yield f"  {e.source}"
    yield ""
    indent = " " * len(e.name)
    if len(e.terms) == 1 and e.frame == "{sum}" and not e.removed:
        (term,) = e.terms
        yield f"  {e.name} = {term.text}"
        if term.numbers != _r.written(e.value):
            yield f"  {indent} = {term.numbers}"
        yield f"  {indent} = {_r.written(e.value)}"
    elif not e.terms:
        yield f"  {e.name} = {_r.written(e.value)}"
    else:
        removed = f", {e.removed} of them removed" if e.removed else ""
        plural = "s" * (len(e.terms) != 1)
        framed = "" if e.frame == "{sum}" else f"{e.frame.replace('{sum}', '(sum)')}, "
        yield f"  {e.name} = {framed}sum of {len(e.terms):,} term{plural}{removed}"
        yield from (f"    {line}" for line in _table(e.terms, most))
        if e.frame != "{sum}":
            yield f"  {indent} = {e.frame_numbers.replace('{sum}', '(sum)')}"
        yield f"  {indent} = {_r.written(e.value)}"
    if e.parts:
        yield ""
        for part in e.parts:
            count = f" ({part.count:,} terms)" if part.count > _r.INLINE + 1 else ""
            yield f"  {part.name} = {part.text}{count} = {_r.written(part.value)}"
    if e.looked_at:
        yield ""
        yield "  read as well, but not added:" if e.terms else "  read:"
        shown = e.looked_at[:most]
        yield from (f"    {f.text} {_outside(f) or f'= {_r.written(f.value)}'}" for f in shown)
        if len(shown) < len(e.looked_at):
            yield f"    ... {len(e.looked_at) - len(shown):,} more"


def _table(terms: tuple[Term, ...], most: int) -> Iterator[str]:
    """The terms, one in a line, in columns; the middle of a long sum is left out."""
    tail = 2 if len(terms) > most else 0
    head = terms[: most - tail] if tail else terms
    rows = []
    for i, term in enumerate((*head, *terms[len(terms) - tail :])):
        text, numbers, product = term.text, term.numbers, _r.written(term.product)
        sign = "+" if i else " "
        if i and text.startswith("-"):
            sign, text, numbers, product = "-", text[1:], numbers.removeprefix("-"), _r.written(-term.product)
        if term.removed:
            rows.append((f"{sign} {text}", next(filter(None, map(_outside, term.factors))), ""))
        else:
            rows.append((f"{sign} {text}", f"= {numbers}", "" if numbers == product else f"= {product}"))
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    for i, (text, numbers, product) in enumerate(rows):
        if tail and i == len(head):
            yield f"  ... {len(terms) - len(rows):,} more terms"
        yield f"{text.ljust(widths[0])}  {numbers.ljust(widths[1])}  {product}".rstrip()


def _outside(factor: Factor) -> str:
    """What to say of a factor beyond an edge; nothing of others."""
    return OUTSIDE[factor.array or "Z"] if factor.outside else ""
