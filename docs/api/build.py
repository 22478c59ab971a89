"""Write the reference of cnnx's public names into a folder, by Sphinx: python docs/api/build.py DIR

Pages follow from `__all__`: one for each part of the package, one for each name, one with what the commands say by
--help. Warnings are errors. `cnnx pages DIR/..` then links each equation to the ops that compute it; `tox -e docs` does
both.
"""

import importlib
import inspect
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODULES = ("cnnx", "cnnx.nn", "cnnx.data", "cnnx.io", "cnnx.audit", "cnnx.plot", "cnnx.sklearn", "cnnx.experiments")
WIDTH = 80  # of what commands say
DATA = {  # public names that are no functions and no classes
    "cnnx.audit.CHECKS": "The checks of an audit, by name.",
    "cnnx.audit.DTYPES": "The dtypes that an audit asks about, where nothing else is said: float32 and float64.",
}


def names(module: str) -> dict[str, Any]:
    """The public names of a part, with what they are."""
    part = importlib.import_module(module)
    return {name: getattr(part, name) for name in part.__all__}


def groups(module: str) -> dict[str, list[str]]:
    """A part's names under headings."""
    found = names(module)
    if module == "cnnx":
        from cnnx import backend, native
        from cnnx.ops import OPS

        ops = [n for op in OPS for n in (op.name, f"{op.name}_backward")]
        others = [n for n in found if n not in (*ops, *backend.__all__, *native.__all__)]
        return {
            "Ops, forward and backward": [n for n in ops if n in found] + others,
            "Back ends": list(backend.__all__),
            "Threads": list(native.__all__),
        }
    if module == "cnnx.nn":
        from cnnx import nn

        kinds = {"Networks of layers": nn.Graph, "Layers": nn.Layer, "Costs": nn.Cost, "Optimisers": nn.Optimizer}
        sorted_: dict[str, list[str]] = {kind: [] for kind in kinds} | {"Networks, training, the rest": []}
        for name, what in sorted(found.items(), key=lambda item: item[0].lower()):
            of = (kind for kind, base in kinds.items() if isinstance(what, type) and issubclass(what, base))
            sorted_[next(of, "Networks, training, the rest")].append(name)
        return sorted_
    return {"": sorted(found, key=str.lower)}


def directive(module: str, name: str) -> list[str]:
    """What documents a name of a part."""
    what = names(module)[name]
    if inspect.isclass(what):
        foreign = [member for member in dir(what) if re.fullmatch(r"set_\w+_request", member)]  # scikit-learn's
        lines = [f".. autoclass:: {module}.{name}", "   :members:"]
        lines += [f"   :exclude-members: {', '.join(foreign)}"] if foreign else []
        return [*lines, "", *inherited(module, what)]
    if callable(what):
        return [f".. autofunction:: {module}.{name}"]
    return [f".. py:data:: {name}", "", f"   {DATA[f'{module}.{name}']}"]


def inherited(module: str, what: type) -> Iterator[str]:
    """What a class has of a public one, as links."""
    for base in what.__mro__[1:]:
        if names(module).get(base.__name__) is base:
            found = [n for n in vars(base) if not n.startswith("_") and n not in vars(what)]
            links = ", ".join(f":py:obj:`{n} <{module}.{base.__name__}.{n}>`" for n in found)
            yield from (f".. rubric:: As in :py:obj:`{base.__name__} <{module}.{base.__name__}>`", "", links, "")


def page(title: str, *blocks: list[str]) -> str:
    """A page in reStructuredText."""
    lines = [title, "=" * len(title), ""]
    for block in blocks:
        lines += [*block, ""]
    return "\n".join(lines)


def module_page(module: str) -> str:
    """A part: what it is for, and tables of its names."""
    blocks = [[f".. py:module:: {module}"], [first_line(module)]]
    for heading, some in groups(module).items():
        if heading:
            blocks.append([heading, "-" * len(heading)])
        blocks.append([".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in some)])
    pages = [f"   {module}.{name}" for some in groups(module).values() for name in some]
    blocks.append([".. toctree::", "   :hidden:", "", *pages])
    return page(module, *blocks)


def first_line(module: str) -> str:
    """What a part says of itself first."""
    return (inspect.getdoc(importlib.import_module(module)) or "").partition("\n")[0]


def commands_page() -> str:
    """What every command says of itself."""
    from cnnx import cli

    blocks = [["What each says by ``--help``."]]
    for name, said in help_texts(cli.COMMANDS):
        title = f"cnnx {name}"
        blocks.append([title, "-" * len(title), "", ".. code-block:: text", "", *(f"   {line}" for line in said)])
    return page("Commands", *blocks)


def help_texts(commands: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """The lines of each command's --help, no wider than a page."""
    import argparse

    for name in commands:
        module = importlib.import_module(f"cnnx.cli.{name}")
        parser = argparse.ArgumentParser(
            prog=f"cnnx {name}",
            description=module.__doc__.partition("\n")[0],
            formatter_class=lambda prog: argparse.HelpFormatter(prog, width=WIDTH),
        )
        module.add_arguments(parser)
        lines = parser.format_help().rstrip().splitlines()
        long = {"width": WIDTH, "subsequent_indent": " " * 8, "break_on_hyphens": False}
        yield name, [part for line in lines for part in (textwrap.wrap(line, **long) or [""])]


def write(folder: Path) -> None:
    """All pages as Sphinx takes them."""
    parts = [f":doc:`{module}`\n    {first_line(module)}" for module in MODULES]
    parts.append(":doc:`commands`\n    What each command says by ``--help``.")
    contents = [".. toctree::", "   :hidden:", "", *(f"   {module}" for module in MODULES), "   commands"]
    text = (
        "Every public name, from its docstring. `The equations <../index.html>`__ have a site of their own around this."
    )
    (folder / "index.rst").write_text(page("cnnx: reference", [text], parts, contents))
    (folder / "commands.rst").write_text(commands_page())
    for module in MODULES:
        (folder / f"{module}.rst").write_text(module_page(module))
        for name in names(module):
            path = folder / f"{module}.{name}.rst"
            path.write_text(page(name, [f".. currentmodule:: {module}"], directive(module, name)))


def main(target: Path) -> int:
    """Sphinx's exit code: not 0 where something is warned of."""
    from sphinx.cmd.build import build_main

    with tempfile.TemporaryDirectory() as sources:
        write(Path(sources))
        options = ["-q", "-W", "--keep-going", "-d", f"{sources}/.doctrees", "-c", str(HERE)]
        return build_main([*options, "-b", "html", sources, str(target)])


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
