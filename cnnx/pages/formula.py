"""Formulas in LaTeX as MathML, which browsers draw without a script (latex2mathml, extra `report`)."""

from functools import cache

from markupsafe import Markup

from . import sheet

try:
    from latex2mathml.converter import convert
except ImportError as error:
    message = f"cnnx pages needs latex2mathml: python -m pip install 'cnnx[report]' ({error})"
    raise ModuleNotFoundError(message, name="latex2mathml") from error


@cache
def mathml(latex: str, *, block: bool = False) -> Markup:
    """A formula as a `math` element."""
    return Markup(convert(latex, display="block" if block else "inline"))


def formulas(key: str) -> tuple[list[Markup], list[Markup]]:
    """The formulas of one of the sheet's keys; of a convolution's the general ones too."""
    special, *general = sheet.latex()[key]
    return [mathml(one, block=True) for one in special], [mathml(one, block=True) for some in general for one in some]
