"""What is known of one element of a kernel's output, as data and in words."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..._text import aligned
from ...lang import text as said
from ...lang import translated
from .expression import INLINE, named, written

SHOWN = 12  # terms that `Explanation.text` writes out unless asked for all
OUTSIDE = {"Z": "explain.in_padding", "Delta": "explain.beyond_output"}  # texts, by array


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
        return named(self.output, self.index)

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


def _written(e: Explanation, most: int) -> Iterator[str]:
    numbers = "".join(f", {name} = {written(value)}" for name, value in e.numbers.items())
    yield said("explain.element", name=e.name, kernel=e.kernel, numbers=numbers)
    yield ""
    yield f"  {translated(e.equation, 'elements')}"
    if e.notes:
        yield f"  {translated(e.notes, 'elements')}"
    yield f"  {translated(e.source, 'elements')}"
    yield ""
    indent = " " * len(e.name)
    if len(e.terms) == 1 and e.frame == "{sum}" and not e.removed:
        (term,) = e.terms
        yield f"  {e.name} = {term.text}"
        if term.numbers != written(e.value):
            yield f"  {indent} = {term.numbers}"
        yield f"  {indent} = {written(e.value)}"
    elif not e.terms:
        yield f"  {e.name} = {written(e.value)}"
    else:
        removed = said("explain.removed", count=e.removed) if e.removed else ""
        total = said("explain.sum_in_brackets")
        framed = "" if e.frame == "{sum}" else f"{e.frame.replace('{sum}', total)}, "
        terms = said("explain.terms" if len(e.terms) != 1 else "explain.one_term", count=len(e.terms))
        yield f"  {e.name} = {framed}{terms}{removed}"
        yield from (f"    {line}" for line in _table(e.terms, most))
        if e.frame != "{sum}":
            yield f"  {indent} = {e.frame_numbers.replace('{sum}', total)}"
        yield f"  {indent} = {written(e.value)}"
    if e.parts:
        yield ""
        for part in e.parts:
            count = said("explain.count", count=part.count) if part.count > INLINE + 1 else ""
            yield f"  {part.name} = {part.text}{count} = {written(part.value)}"
    if e.looked_at:
        yield ""
        yield f"  {said('explain.read_too' if e.terms else 'explain.read')}"
        shown = e.looked_at[:most]
        yield from (f"    {f.text} {_outside(f) or f'= {written(f.value)}'}" for f in shown)
        if len(shown) < len(e.looked_at):
            yield f"    {said('explain.more', count=len(e.looked_at) - len(shown))}"


def _table(terms: tuple[Term, ...], most: int) -> Iterator[str]:
    """The terms, one in a line, in columns; the middle of a long sum is left out."""
    tail = 2 if len(terms) > most else 0
    head = terms[: most - tail] if tail else terms
    rows = []
    for i, term in enumerate((*head, *terms[len(terms) - tail :])):
        text, numbers, product = term.text, term.numbers, written(term.product)
        sign = "+" if i else " "
        if i and text.startswith("-"):
            sign, text, numbers, product = "-", text[1:], numbers.removeprefix("-"), written(-term.product)
        if term.removed:
            rows.append((f"{sign} {text}", next(filter(None, map(_outside, term.factors))), ""))
        else:
            rows.append((f"{sign} {text}", f"= {numbers}", "" if numbers == product else f"= {product}"))
    for i, line in enumerate(aligned(rows, left=3)):
        if tail and i == len(head):
            yield f"  {said('explain.more_terms', count=len(terms) - len(rows))}"
        yield line


def _outside(factor: Factor) -> str:
    """What to say of a factor beyond an edge; nothing of others."""
    return said(OUTSIDE[factor.array or "Z"]) if factor.outside else ""
