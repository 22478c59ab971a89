"""Reports as HTML pages that need no network and no script (extra `report`: jinja2)."""

from functools import cache
from typing import Any

from .._text import clean

try:
    import jinja2
except ImportError as error:
    message = f"HTML pages need jinja2: python -m pip install 'cnnx[report]' ({error})"
    raise ModuleNotFoundError(message, name="jinja2") from error


@cache
def _environment() -> Any:
    """Templates are compiled once, however many pages a process writes."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("cnnx", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """A page by its template, a path below cnnx; what reports share is in `_html/base.html.j2`.

    Returns
    -------
    str
        A whole document. All text is escaped, and characters that no document may hold are replaced.
    """
    return clean(_environment().get_template(template).render(**values))
