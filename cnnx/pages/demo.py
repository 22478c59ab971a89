"""What a page draws of an equation: its outputs in worked calls, each element with its picture and its terms."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup, escape

from .. import backend as _backend
from ..audit import Explanation
from ..audit._signature import signature
from ..lang import text, translated
from ..ops import OPS
from . import picture, places
from .worked import Element, Index, Worked, worked

# Kernels that compute what another one does, by another way or from what was kept: not drawn a second time.
SAME = ("conv2d_winograd", "conv2d_winograd_grad_input", "max_pool2d_winners", "max_pool2d_grad_input_winners")
# Equations without a kernel of their own: drawn where another one uses them.
WITHIN = {"R1": "R3", "R2": "R3", "R4": "R5", "T4": "T1", "G4": "G1"}
LONG = 36  # characters of a term
SHOWN = 16  # terms that a state writes out
CALLS = 7  # worked calls of one output
FIGURES = "figures"  # the texts that name figures
OF = {kernel: op.name for op in reversed(OPS) for kernel in (*op.kernels, *op.frozen_kernels)}


@dataclass(frozen=True)
class Demo:
    """One output of the equation, in several worked calls."""

    number: int
    output: str
    kernels: tuple[str, ...]
    calls: tuple[Worked, ...]

    @property
    def title(self) -> str:
        """Which part of a text's `equation` names the direction."""
        if not self.output.startswith("d"):
            return "forward"
        return "of_input" if self.output in ("dZ", "dA", "dB") else "of_weight"

    def anchor(self, call: int, index: Index = ()) -> str:
        """Where one element of a call is on the page."""
        return "-".join(["s", str(self.number), str(call), *map(str, index)])


@cache
def demos(key: str) -> tuple[Demo, ...]:
    """What the page of a key draws: each output whose element cites it; all activations are one."""
    outputs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    key = WITHIN.get(key, key)
    for kernel, elements in places.citing(key).items():
        for output, element in _backend.equations(kernel).items():
            if element in elements and kernel not in SAME and not kernel.endswith("_output"):
                family = "" if key in ("A1", "A2") else kernel
                outputs.setdefault((family, output), []).append((kernel, output))
    found = []
    for number, some in enumerate(sorted(outputs.values(), key=lambda some: some[0][1].startswith("d"))):
        calls = [w for kernel, output in some for w in _calls(kernel, output)]
        if len(some) > 1:  # of each activation the one with most to see
            calls = [max(_calls(*pair), key=lambda w: len(w.elements)) for pair in some]
        if calls:
            found.append(Demo(number, some[0][1], tuple(k for k, _ in some), tuple(calls)))
    return tuple(found)


def _calls(kernel: str, output: str) -> list[Worked]:
    """Worked calls, those with elements to choose from first."""
    return list(worked(OF.get(kernel, kernel), kernel, output))[:CALLS]


@dataclass(frozen=True)
class State:
    """One element of one call, ready to be shown.

    first : it is what a page shows of its call before any choice.
    long : its terms need the whole width.
    """

    first: bool
    long: bool
    anchor: str
    name: str
    picture: Markup
    terms: Markup


def states(demo: Demo, lang: str) -> Iterator[tuple[str, str, list[State]]]:
    """Of each call: its anchor, what it is, and its elements."""
    for i, call in enumerate(demo.calls):
        links = {e.index: demo.anchor(i, e.index) for e in call.elements}
        most = max((_much(e.explanation) for e in call.elements), default=0)
        first = next((e.index for e in call.elements if _much(e.explanation) == most), ())
        shown = [
            State(
                e.index == first,
                is_long(e.explanation),
                links[e.index],
                e.explanation.name,
                _drawn(call, e, links, lang),
                _terms(e.explanation, lang),
            )
            for e in call.elements
        ]
        if not shown:
            continue
        yield demo.anchor(i), label(call, lang, several=len(demo.kernels) > 1), shown


def is_long(e: Explanation) -> bool:
    """Whether its terms are too long to stand beside a picture."""
    return any(len(term.text) > LONG for term in e.terms)


def _much(e: Explanation) -> int:
    """How much there is to see: terms that count."""
    return len(e.terms) - e.removed


def label(call: Worked, lang: str, *, several: bool = False) -> str:
    """What a call is about: in words, or its options."""
    if call.call.label:
        return text(f"pages.call.{call.call.label}", lang)
    options = call.call.numbers
    if several:
        return f"{call.call.op}({options})" if options else call.call.op
    if call.call.figure is None:
        return options or call.call.op
    name = translated(call.call.figure.name, FIGURES, lang)
    return f"{name}: {options}" if options else name


def _drawn(call: Worked, element: Element, links: dict[Index, str], lang: str) -> Markup:
    kernel = call.kernel
    names = list(signature(_backend.reference_kernel(kernel.kernel)).parameters)[: len(kernel.inputs)]
    inputs = picture.planes(element.explanation, names, kernel.inputs)
    parts = [_figure(plane.title, picture.svg(plane, _said(plane, lang))) for plane in inputs]
    if call.array.ndim <= 4:
        plane = picture.output_plane(call.output, call.array, element.index, links)
        rows, columns = plane.values.shape
        said = text("pages.equation.output_plane", lang, name=plane.title, rows=rows, columns=columns)
        parts.append(_figure(plane.title, picture.svg(plane, said)))
    return Markup('<div class="planes">{}</div>').format(Markup("").join(parts))


def _said(plane: picture.Plane, lang: str) -> str:
    rows, columns = plane.values.shape
    places_ = ", ".join(f"{r},{c}" for r, c in sorted(plane.marks)[:SHOWN])
    marked = places_ or text("pages.equation.nothing_marked", lang)
    return text("pages.equation.input_plane", lang, name=plane.title, rows=rows, columns=columns, marked=marked)


def _figure(title: str, drawn: Markup) -> Markup:
    return Markup('<div><p class="name"><code>{}</code></p>{}</div>').format(title, drawn)


def _terms(e: Explanation, lang: str) -> Markup:
    """The element's terms as a table, and what is done with their sum."""

    def said(part: str, **values: Any) -> str:
        return text(f"pages.equation.{part}", lang, **values)

    rows = []
    long = is_long(e)  # the numbers below the names, not beside them
    for i, term in enumerate(e.terms[:SHOWN]):
        letter = picture.LETTERS[i % len(picture.LETTERS)] if len(e.terms) > 1 else ""
        head = f'<td class="letter">{letter}</td><th scope="row"><code>{escape(_pretty(term.text))}</code>'
        if term.removed:
            beyond = any(f.outside and f.array == "Delta" for f in term.factors)
            why = said("removed_beyond" if beyond else "removed_padding")
            rows.append(f'<tr class="removed">{head}</th><td colspan="2">{escape(why)}</td></tr>')
        else:
            numbers, product = escape(_pretty(term.numbers)), picture.short(term.product)
            there = f'<br><span class="numbers">{numbers}</span></th>' if long else f"</th><td>{numbers}</td>"
            rows.append(f"<tr>{head}{there}<td>{product}</td></tr>")
    if len(e.terms) > SHOWN:
        more = said("more_terms", count=len(e.terms) - SHOWN)
        rows.append(f'<tr><td></td><td colspan="3">{escape(more)}</td></tr>')
    parts = []
    if rows:
        names = ("term", "product") if long else ("term", "numbers", "product")
        columns = "".join(f'<th scope="col">{escape(said(name))}</th>' for name in names)
        parts.append(
            f'<table class="terms"><caption>{escape(said("terms", element=e.name))}</caption>'
            f"<thead><tr><td></td>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        )
    elif e.output.startswith("d"):
        lost = e.kernel.startswith("max_pool2d") and e.looked_at
        parts.append(f"<p>{escape(said('no_win' if lost else 'no_terms'))}</p>")
    if e.frame != "{sum}":
        frame = _pretty(e.frame.replace("{sum}", f"({said('sum')})"))
        parts.append(f'<p class="frame"><code>{escape(e.name)} = {escape(frame)}</code></p>')
    parts += [
        f'<p class="frame"><code>{escape(p.name)} = {escape(_pretty(p.text))} = {picture.short(p.value)}</code></p>'
        for p in e.parts
    ]
    parts.append(f'<p class="total"><code>{escape(e.name)}</code> = <strong>{_exact(e.value)}</strong></p>')
    seen = [f for f in e.looked_at if f.array is not None and not f.outside]
    if seen:
        named = ", ".join(f"{f.text} = {picture.short(f.value)}" for f in seen[:SHOWN])
        parts.append(f'<p class="soft">{escape(said("read_too"))} <code>{escape(named)}</code></p>')
    return Markup('<div class="sum">' + "".join(parts) + "</div>")


def _pretty(expression: str) -> str:
    """An expression with a times and a minus sign."""
    return expression.replace(" * ", " × ").replace("-", "−")


def _exact(value: Any) -> str:
    return f"{float(value):.6g}".replace("-", "−")
