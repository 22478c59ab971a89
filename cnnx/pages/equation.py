"""The page of one equation: what it says, its picture and terms, its lines, its errata, its budget, an exercise."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from markupsafe import Markup

import cnnx

from .. import backend as _backend
from ..audit._signature import signature
from ..lang import ENGLISH, text
from ..lang import keys as text_keys
from . import picture, sheet
from .code import Excerpt, code
from .demo import OF, demos
from .formula import mathml
from .worked import IMAGE, WEIGHTS, Held, held

GROUPS = {"convolution": "CTW", "activation": "A", "pooling": "PR", "layer": "FJDNS", "cost": "EG"}
SOURCES = ("M17", "W15", "U19", "D19", "CN")
_SOURCE = re.compile(rf"\b({'|'.join(SOURCES)})\b([^;\n]*)")
SYMBOLS = {
    "Delta": r"\Delta",
    "P_max": r"P_{\max}",
    "P_min": r"P_{\min}",
    "eps": r"\epsilon",
    "groups": r"\mathit{groups}",
    "mean": r"\mu",
    "rate": r"\mathit{rate}",
    "rho": r"\rho",
    "var": r"\sigma^2",
    "w_column": "w",
    "w_weight": "w",
}


@cache
def every_key() -> tuple[str, ...]:
    """The sheet's equations by group, in the sheet's order within each."""
    return tuple(sorted(sheet.latex(), key=lambda key: next(i for i, g in enumerate(GROUPS.values()) if key[0] in g)))


# --------------------------------------------------------------------------------------- what it stands in


def sources(key: str) -> list[tuple[str, str]]:
    """Where the sources have it: the source's key, and with it its own number or name for the equation."""
    blocks = sheet.Sheet(sheet.sheet()).parts()[key].split("\n\n")[1:]
    found = [(source, f"{source}{_named(rest)}") for block in blocks for source, rest in _SOURCE.findall(block)]
    return list(dict.fromkeys(found))


def _named(rest: str) -> str:
    """Of ", one channel and many" nothing; of " (8), (9), which follow" the numbers; of " z_ij, u_ij" all."""
    numbers = re.match(
        r"(?: table \d| 2\.\d| footnote \d)?(?:,? \(\d+\)(?:-\(\d+\))?)+|(?: table \d| 2\.\d| footnote \d)", rest
    )
    names = re.match(r"(?:,? \S*_\S+?(?=,|$))+", rest.strip(".").rstrip())
    return numbers[0] if numbers else names[0] if names else ""


@dataclass(frozen=True)
class Symbol:
    """A symbol of an equation: its formula, what it means, and the lines of the reference that have it."""

    name: str
    formula: Markup
    meaning: str
    lines: tuple[tuple[str, int], ...]


def symbols(key: str, lang: str) -> list[Symbol]:
    """The symbols in the reference's lines, each with the first lines that have it, as anchor and number."""
    found: dict[str, list[tuple[str, int]]] = {}
    for i, excerpt in enumerate(code(key).reference):
        weights = bool(re.search(r"\bw\[", "\n".join(excerpt.lines)))
        for number, line in excerpt.body:
            for word in dict.fromkeys(re.findall(r"[A-Za-z]\w*", line.split("#")[0])):
                name = {True: "w_weight", False: "w_column"}[weights] if word == "w" else word
                if name in meanings(lang):
                    found.setdefault(name, []).append((f"r{i}-{number}", number))
    order = list(meanings(lang))
    return [
        Symbol(name, mathml(SYMBOLS.get(name, name)), meanings(lang)[name], tuple(found[name][:6]))
        for name in sorted(found, key=order.index)
    ]


@cache
def meanings(lang: str) -> dict[str, str]:
    """What every symbol means."""
    names = [
        k.removeprefix("pages_symbol.meaning.") for k in text_keys(ENGLISH) if k.startswith("pages_symbol.meaning")
    ]
    return {name: text(f"pages_symbol.meaning.{name}", lang) for name in names}


@cache
def budget(key: str) -> list[tuple[str, Held]]:
    """The figures about a key's outputs, by kernel."""
    return [
        (f"{kernel} {demo.output}", one)
        for demo in demos(key)
        for kernel in demo.kernels
        for one in held(OF.get(kernel, kernel), kernel, demo.output)
    ]


def exercise(key: str) -> str:
    """A program in which a line is missing, for the reader's own audit to judge; "" where no op has the equation."""
    kernel = next((demo.kernels[0] for demo in demos(key) if demo.kernels[0] in OF), "")
    if not kernel:
        return ""
    function = _backend.reference_kernel(kernel)
    signed = inspect.signature(function)
    head = f"def {kernel}{signed}:"
    outputs = _backend.equations(kernel)
    body = []
    for output, element in outputs.items():
        inputs = sum(p.kind is p.POSITIONAL_ONLY for p in signed.parameters.values())
        index = [n for n, p in signature(element).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD][inputs:]
        names = ", ".join(index)
        at = names if len(index) > 1 else f"{names}," if index else "()"
        body += [
            f"    for {at} in np.ndindex({output}.shape):" if index else "    if True:",
            f"        {output}[{names or '0'}] = 0  # ...",
        ]
    said = f'    """{function.__doc__}"""'
    return "\n".join([
        "import numpy as np",
        "",
        "import cnnx",
        "from cnnx.audit import audit",
        "",
        "",
        head,
        said,
        *body,
        "",
        "",
        f'cnnx.register_backend("mine", {{"{kernel}": {kernel}}})',
        'CHECKS = ["exact", "bound", "worked"]',
        f'report = audit(["{OF[kernel]}"], backend="mine", checks=CHECKS, measure=False, shrink=5)',
        'print(next(report.discrepancies(), "right: no discrepancy"))',
    ])  # fmt: skip


def excerpts(found: tuple[Excerpt, ...], most: int) -> tuple[list[Excerpt], list[Excerpt]]:
    """Those that are shown, and those that are only named."""
    return list(found[:most]), list(found[most:])


EXTENTS = ((7, 3, 1, 0), (7, 3, 2, 0), (8, 3, 2, 0), (7, 3, 2, 1), (5, 3, 1, 1), (9, 2, 3, 0))  # H, R, u, padding


def drawings(key: str, lang: str) -> Iterator[tuple[Markup, str]]:
    """What a page draws beside its formulas: windows in a row for C2, functions for A1 and A2, a tile for W1 to W3."""
    if key == "C2":
        for H, R, u, padding in EXTENTS:
            image, window = np.zeros((1, 1, H, 1)), np.zeros((1, 1, R, 1))
            rows = cnnx.conv2d(image, window, stride=(u, 1), padding=(padding, 0), backend="reference").shape[2]
            values = dict(rows=H, window=R, stride=u, padding=padding, outputs=rows)
            said = text("pages.equation.windows", lang, **values)
            yield picture.windows(H, R, u, padding, rows, said), said
    if key in ("A1", "A2"):
        for demo in demos("A1"):
            for kernel, call in zip(demo.kernels, demo.calls, strict=True):
                yield picture.curve(_phi(kernel, call.kernel.numbers), kernel), kernel
    for name, plane in _tile(key):
        rows, columns = plane.shape
        said = text("pages.equation.input_plane", lang, name=name, rows=rows, columns=columns, marked="-")
        yield picture.svg(picture.Plane(name, (), plane), said), name


def drawings_said(key: str, lang: str) -> str:
    """What is said of all drawings of a page together."""
    return text("pages.equation.curve", lang) if key in ("A1", "A2") else ""


def _tile(key: str) -> Iterator[tuple[str, Any]]:
    """Winograd's algorithm for one tile of 2 x 2 outputs, step by step, and what C1 gives."""
    if key not in ("W1", "W2", "W3"):
        return
    A, B, G = (np.array(matrix, float) for matrix in _backend.winograd_matrices(2, 3))
    F, d = np.array(WEIGHTS, float), np.array(IMAGE, float)
    U, V = G @ F @ G.T, B.T @ d @ B
    if key == "W1":
        yield from (("F", F), ("G", G), ("U = G F Gᵀ", U))
    elif key == "W2":
        yield from (("d", d), ("Bᵀ", B.T), ("V = Bᵀ d B", V))
    else:
        C1 = cnnx.conv2d(d[None, None], F[None, None], backend="reference")[0, 0]
        yield from (("U", U), ("V", V), ("U ⊙ V", U * V), ("Y = Aᵀ (U ⊙ V) A", A.T @ (U * V) @ A), ("C1", C1))


def _phi(kernel: str, numbers: Mapping[str, float]) -> dict[str, Callable[[float], float]]:
    """An activation and its slope as functions of a number, by the reference's elements."""
    (phi,), (prime,) = (_backend.equations(name).values() for name in (kernel, f"{kernel}_grad_input"))
    return {
        "phi": lambda z: phi(np.array([z]), 0, **numbers),
        "slope": lambda z: prime(np.array([1.0]), np.array([z]), 0, **numbers),
    }
