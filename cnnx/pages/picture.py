"""Arrays as pictures: SVG grids whose marked cells say which elements meet in one element of an output.

A term of the equation has a letter; the cells of its factors carry it, so that a pixel and the weight that lies on it
are found without colours too.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from ..audit import Explanation

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
ROW, EDGE = 32, 16  # heights of a cell and of the line of indices
_NAMED = re.compile(r"(\w+)(~?)\[([-\d,]+)\]")

Place = tuple[int, ...]


@dataclass
class Mark:
    """What is said of a cell: `used` in the sum, `beyond` the edge, `seen` but not added, or the `out`put itself."""

    kind: str
    letters: str = ""


@dataclass
class Plane:
    """The last two axes of an array at one index of the others, as a grid."""

    name: str
    leading: Place
    values: Any  # of two axes
    marks: dict[tuple[int, int], Mark] = field(default_factory=dict)
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)
    beyond: str = "0"  # what lies beyond the edge

    @property
    def title(self) -> str:
        """Z[0,1]: which plane it is."""
        return f"{self.name}[{','.join(map(str, self.leading))}]" if self.leading else self.name


def short(value: Any) -> str:
    """A number in a cell: four digits of it."""
    number = float(value) + 0.0  # not -0
    if math.isnan(number) or math.isinf(number):
        return {True: "NaN"}.get(math.isnan(number), "∞" if number > 0 else "−∞")
    return f"{number:.4g}".replace("e-0", "e-").replace("-", "−")


def planes(explanation: Explanation, names: Iterable[str], arrays: Iterable[Any]) -> list[Plane]:
    """The inputs of an element: their planes in which something is marked, else the first one."""
    letters = _letters(explanation)
    found = []
    for name, array in zip(names, arrays, strict=True):
        grid = _as_planes(np.asarray(array))
        marked: dict[Place, dict[tuple[int, int], Mark]] = {}
        for (of, index), mark in letters.items():
            if of == name:
                *others, r, c = _placed(index, np.ndim(array))
                marked.setdefault(tuple(others), {})[r, c] = mark
        for leading in sorted(marked) or [(0,) * (grid.ndim - 2)]:
            beyond = "−∞" if explanation.kernel.startswith("max_pool2d") else "0"
            shown = leading if np.ndim(array) > 2 else ()
            found.append(Plane(name, shown, grid[leading], marked.get(leading, {}), beyond=beyond))
    return found


def output_plane(name: str, array: Any, at: Place, links: Mapping[Place, str]) -> Plane:
    """The output, its element at an index marked, and each that has a page of its own as a link."""
    *leading, r, c = _placed(at, np.ndim(array))
    grid = _as_planes(np.asarray(array))
    here = {}
    for index, link in links.items():
        *others, row, column = _placed(index, np.ndim(array))
        if others == leading:
            here[row, column] = link
    shown = tuple(leading) if np.ndim(array) > 2 else ()
    return Plane(name, shown, grid[tuple(leading)], {(r, c): Mark("out")}, here)


def _letters(explanation: Explanation) -> dict[tuple[str, Place], Mark]:
    """The cells to be marked, by array and index."""
    marks: dict[tuple[str, Place], Mark] = {}
    for factor in explanation.looked_at:
        if factor.array is not None and factor.index is not None:
            marks[factor.array, factor.index] = Mark("beyond" if factor.outside else "seen")
    several = len(explanation.terms) > 1
    texts = [(term.text, LETTERS[i % len(LETTERS)] if several else "") for i, term in enumerate(explanation.terms)]
    texts += [(part.text, "") for part in explanation.parts]
    for text, letter in texts:
        for name, tilde, index in _NAMED.findall(text):
            place = name, tuple(int(i) for i in index.split(","))
            kind = "beyond" if tilde else "used"
            mark = marks.get(place)
            if mark is None or mark.kind == "seen":
                marks[place] = Mark(kind, letter)
            elif letter and letter not in mark.letters:
                mark.letters += letter
    return marks


def _as_planes(array: Any) -> Any:
    """At least two axes; a vector is a row."""
    return array.reshape((1,) * (2 - array.ndim) + array.shape)


def _placed(index: Place, axes: int) -> Place:
    """An index as one of at least two axes."""
    return (0,) * (2 - axes) + tuple(index)


# ------------------------------------------------------------------------------------------------ SVG


def svg(plane: Plane, description: str, *, write: Callable[[Any], str] = short) -> Markup:
    """A plane as an SVG element, as large as it needs to be; `write` makes a cell's text of its number."""
    rows, columns = plane.values.shape
    r0 = min([0, *(r for r, _ in plane.marks)])
    r1 = max([rows, *(r + 1 for r, _ in plane.marks)])
    c0 = min([0, *(c for _, c in plane.marks)])
    c1 = max([columns, *(c + 1 for _, c in plane.marks)])
    texts = {(r, c): write(plane.values[r, c]) for r in range(rows) for c in range(columns)}
    width = max(32, 12 + 8 * max([len(t) for t in texts.values()] or [1]))
    left, top = EDGE, EDGE
    size = left + (c1 - c0) * width + 2, top + (r1 - r0) * ROW + 2
    role = "group" if plane.links else "img"
    parts = [
        f'<svg class="plane" width="{size[0]}" height="{size[1]}" viewBox="0 0 {size[0]} {size[1]}" role="{role}" '
        f'aria-label="{escape(description)}">'
    ]

    def corner(r: int, c: int) -> tuple[int, int]:
        return left + (c - c0) * width + 1, top + (r - r0) * ROW + 1

    parts += [f'<text class="i" x="{corner(0, c)[0] + width // 2}" y="11">{c}</text>' for c in range(columns)]
    parts += [f'<text class="i" x="7" y="{corner(r, 0)[1] + 20}">{r}</text>' for r in range(rows)]
    x, y = corner(0, 0)
    parts.append(f'<path class="grid" d="{_grid(x, y, rows, columns, width)}"/>')
    for (r, c), mark in sorted(plane.marks.items()):
        x, y = corner(r, c)
        if mark.kind == "beyond" and (r, c) not in texts:
            texts[r, c] = plane.beyond
        parts.append(
            f'<rect class="{mark.kind}" x="{x + 1}" y="{y + 1}" width="{width - 2}" height="{ROW - 2}" rx="3"/>'
        )
        if mark.letters:
            said = mark.letters if len(mark.letters) <= 3 else f"{mark.letters[:2]}…"
            parts.append(f'<text class="l" x="{x + 4}" y="{y + 11}">{said}</text>')
    for (r, c), said in texts.items():
        x, y = corner(r, c)
        seen = plane.marks.get((r, c))
        kind = f"n {seen.kind}" if seen else "n"
        lower = 24 if seen and seen.letters else 21
        cell = f'<text class="{kind}" x="{x + width // 2}" y="{y + lower}">{said}</text>'
        if (r, c) in plane.links:
            box = f'<rect class="go" x="{x}" y="{y}" width="{width}" height="{ROW}"/>'
            name = escape(f"{plane.name}[{','.join(map(str, (*plane.leading, r, c)))}] = {said}")
            here = ' aria-current="true"' if seen else ""
            cell = f'<a href="#{plane.links[r, c]}" aria-label="{name}"{here}>{box}{cell}</a>'
        parts.append(cell)
    return Markup("".join([*parts, "</svg>"]))


def _grid(x: int, y: int, rows: int, columns: int, width: int) -> str:
    lines = [f"M{x} {y + r * ROW}h{columns * width}" for r in range(rows + 1)]
    return "".join([*lines, *(f"M{x + c * width} {y}v{rows * ROW}" for c in range(columns + 1))])


def curve(functions: Mapping[str, Any], description: str, low: float = -4.0, high: float = 4.0) -> Markup:
    """Functions of one number as curves, one class for each: `c0`, `c1`."""
    width, height, steps = 220, 140, 160
    places = [low + (high - low) * i / steps for i in range(steps + 1)]
    values = {name: [float(f(z)) for z in places] for name, f in functions.items()}
    least = min(-1.2, *(v for vs in values.values() for v in vs))
    most = max(1.2, *(v for vs in values.values() for v in vs))
    least, most = max(least, -2.2), min(most, 3.2)

    def at(z: float, v: float) -> str:
        return f"{(z - low) / (high - low) * width:.1f} {(most - v) / (most - least) * height:.1f}"

    parts = [f'<svg class="curve" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(description)}">']
    parts.append(f'<path class="axis" d="M{at(low, 0)}L{at(high, 0)}M{at(0, least)}L{at(0, most)}"/>')
    for i, vs in enumerate(values.values()):
        # Where a function jumps, so does the pen.
        drawn, pen = [], "M"
        for j, (z, v) in enumerate(zip(places, vs, strict=True)):
            if not least <= v <= most or (j and abs(v - vs[j - 1]) > 0.4):
                pen = "M"
            if least <= v <= most:
                drawn.append(f"{pen}{at(z, v)}")
                pen = "L"
        parts.append(f'<path class="c{i}" d="{"".join(drawn)}"/>')
    return Markup("".join([*parts, "</svg>"]))


def windows(extent: int, window: int, stride: int, padding: int, outputs: int, description: str) -> Markup:
    """A row of pixels with its padding, and below it the windows that fit; rows that are left over are dashed."""
    side, total = 26, extent + 2 * padding
    width, height = total * side + 2, (outputs + 1) * 14 + side + 6
    parts = [
        f'<svg class="windows" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(description)}">'
    ]
    reached = stride * (outputs - 1) + window
    for i in range(total):
        pixel = 0 <= i - padding < extent
        kind = "left" if i >= reached else "pixel" if pixel else "pad"
        parts.append(f'<rect class="{kind}" x="{i * side + 1}" y="1" width="{side}" height="{side}"/>')
        if pixel:
            parts.append(f'<text x="{i * side + side // 2 + 1}" y="18">{i - padding}</text>')
    for p in range(outputs):
        y = side + 6 + 14 * p
        parts.append(
            f'<rect class="window" x="{p * stride * side + 3}" y="{y}" width="{window * side - 4}" height="11" rx="3"/>'
            f'<text x="{p * stride * side + window * side // 2 + 1}" y="{y + 9}">{p}</text>'
        )
    return Markup("".join([*parts, "</svg>"]))


LEVELS = 8  # of strength that a picture tells apart


def heat(values: Any, description: str, side: int) -> Markup:
    """Numbers as squares, the stronger the farther from 0: `plus` and `minus` by their sign."""
    rows, columns = values.shape
    largest = float(np.abs(values).max()) or 1.0
    squares: dict[tuple[str, int], list[str]] = {}
    for (r, c), value in np.ndenumerate(values):
        level = round(LEVELS * abs(float(value)) / largest)
        if level:
            squares.setdefault(("plus" if value > 0 else "minus", level), []).append(f"M{c} {r}h1v1h-1z")
    paths = [
        f'<path class="{kind}" fill-opacity="{level / LEVELS:g}" d="{"".join(drawn)}"/>'
        for (kind, level), drawn in sorted(squares.items())
    ]
    return Markup(
        f'<svg class="heat" width="{columns * side}" height="{rows * side}" viewBox="0 0 {columns} {rows}" role="img" '
        f'aria-label="{escape(description)}">{"".join(paths)}</svg>'
    )
