"""How Sphinx makes the reference of the public names: see build.py. Nothing is fetched, and no page needs a network."""

import re
from typing import Any

import cnnx
from cnnx.ops import OPS
from cnnx.pages.places import cited

project = "cnnx"
author = copyright = "The cnnx developers"
version = release = cnnx.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
root_doc = "index"
default_role = "py:obj"
autosummary_generate = False  # build.py writes every page
autodoc_typehints = "none"  # the docstrings say more: shapes, ranges
autodoc_inherit_docstrings = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
smartquotes = False
suppress_warnings = ["ref.python"]  # `parameters` is a member of many classes, and is left without a link
html_theme = "furo"
html_title = f"cnnx {release}"
html_show_sphinx = html_show_copyright = html_copy_source = html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}

EQUATIONS = "../en/{}.html"  # of the site that `cnnx pages` writes around this reference
_OPS = {name: op for op in OPS for name in (op.name, f"{op.name}_backward")}


_CODE = re.compile(r"(``.+?``|`.+?`)")
_MEANING = re.compile(r"(\w[\w, ]*) : (.+)")


def as_restructured_text(app: Any, what: str, name: str, what_object: object, options: Any, lines: list[str]) -> None:
    """Docstrings are written to be read as they are: what would be markup is none, and equations stand indented."""
    done: list[str] = []
    section, within = "", False
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        section = line if re.fullmatch("-{3,}", below) else section
        equation = not section and line.startswith("    ") and (within or not (done and done[-1].strip()))
        meaning = _MEANING.fullmatch(line) if not section else None
        if equation and not within:
            done += [".. code-block:: text", ""]
        if line.strip():
            within = equation
        if meaning:  # "name : what it means", outside of a section
            done += [meaning[1], f"    {_literal(meaning[2])}"]
        else:
            done.append(line if equation or section == "Examples" else _literal(line))
    lines[:] = done + _equations(name)


def _literal(line: str) -> str:
    """|x| is no substitution, and *shape no emphasis."""
    parts = _CODE.split(line)
    parts[::2] = [re.sub(r"(?<![*\w\\])\*(?=\w)", r"\*", part.replace("|", r"\|")) for part in parts[::2]]
    return "".join(parts)


def _equations(name: str) -> list[str]:
    """Links to the pages of the equations that an op computes."""
    module, _, short = name.rpartition(".")
    op = _OPS.get(short) if module == "cnnx" else None
    keys = sorted(cited(op.equations)) if op else []
    links = [f"`{key} <{EQUATIONS.format(key.lower())}>`__" for key in keys]
    return ["", ".. rubric:: Equations", "", ", ".join(links)] if links else []


def setup(app: Any) -> None:
    """Before numpydoc takes a docstring apart."""
    app.connect("autodoc-process-docstring", as_restructured_text, priority=100)
