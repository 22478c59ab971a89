"""Lines of the real files that are an equation, compute it or test it: whole functions, found by the keys they cite.

Nothing is copied here: the reference's elements, the kernels' functions and the tests are cut from their files when a
site is built, by what `places` reads from docstrings and comments. A kernel's innermost loop serves many equations and
cites few: those are named in `INNER`.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import places

# Equation -> functions that do the work within its kernels: file below cnnx/optimized, function.
_BLOCK = ("microkernel/multiply_accumulate.pxd", "register_block")
INNER: dict[str, tuple[tuple[str, str], ...]] = {
    "C1": (("conv/blocks.pxd", "multiply_row_block"), _BLOCK),
    "C3": (("microkernel/grad_weight.pxd", "over_channels"), ("microkernel/grad_weight.pxd", "over_positions")),
    "C4": (("conv/grad_bias.pxd", "db_task"),),
    "C5": (("conv/grad_input.pxd", "phase_sums"), _BLOCK),
    "F1": (_BLOCK,),
    "F2": (_BLOCK,),
    "F3": (_BLOCK,),
    "J3": (_BLOCK,),
    "J4": (_BLOCK,),
    "J5": (_BLOCK,),
    "A3": (("softmax_rows.pxd", "partitions"),),
    "A4": (("softmax_rows.pxd", "partitions"),),
    "P2": (("pool/grad_input.pxd", "gather_single"), ("pool/scatter.pxd", "add_any")),
}
FORMULAS = {"A1": "_phi", "A2": "_prime"}  # how the names of an activation's two functions end
_START = re.compile(r"^(?:cdef |cpdef |def )[^=]*?(\w+)\(")


@dataclass(frozen=True)
class Excerpt:
    """A function's lines. `cited`: the lines in it that cite the equation."""

    path: str
    first: int
    lines: tuple[str, ...]
    name: str
    cited: tuple[int, ...] = ()

    @property
    def numbered(self) -> list[tuple[int, str]]:
        """The lines by their number in the file."""
        return list(enumerate(self.lines, self.first))

    @property
    def body(self) -> list[tuple[int, str]]:
        """A Python function's lines behind its docstring; its first line too."""
        node = ast.parse("\n".join(_dedented(self.lines))).body[0]
        assert isinstance(node, ast.FunctionDef)
        said = node.body[0]
        skip = range(said.lineno, (said.end_lineno or 0) + 1) if ast.get_docstring(node) is not None else range(0)
        return [(self.first + i - 1, line) for i, line in enumerate(self.lines, 1) if i not in skip]


@dataclass(frozen=True)
class Code:
    """All that stands for one equation."""

    reference: tuple[Excerpt, ...]
    optimized: tuple[Excerpt, ...]
    tests: tuple[Excerpt, ...]


@cache
def code(key: str) -> Code:
    """The functions that are an equation, compute it and test it; without a clone there are no tests."""
    tests = _index("tests").get(key, {})
    reference = [_python(places.ROOT, *p) for p in _sorted(_index("reference").get(key, {}) | _elements(key))]
    if key in FORMULAS:
        reference = [*_named("cnnx/reference/activation.py", FORMULAS[key]), *reference]
    return Code(
        tuple(reference),
        tuple(dict.fromkeys(_kernels(key))),
        tuple(dict.fromkeys(_python(places.clone() or places.ROOT, *place) for place in _sorted(tests))),
    )


def _sorted(found: dict[tuple[str, int], str]) -> list[tuple[str, int]]:
    """Tests of the sources first, and in them those of a function before those of a whole file."""
    return sorted(found, key=lambda place: (place[1] == 1, not place[0].startswith("tests/sources"), place))


def _elements(key: str) -> dict[tuple[str, int], str]:
    return places.elements_of(key)


# ------------------------------------------------------------------------------------------- citations


@cache
def _index(kind: str) -> dict[str, dict[tuple[str, int], str]]:
    """What cites each key in the files of a kind: read once."""
    root: Path | None = places.ROOT
    folder, pattern, said = {
        "reference": ("cnnx/reference", "*.py", places.functions),
        "optimized": ("cnnx/optimized", "*.p[yx][xd]", places.comments),
        "tests": ("tests", "*.py", places.tests_of),
    }[kind]
    if kind == "tests":
        root = places.clone()
    found: dict[str, dict[tuple[str, int], str]] = {}
    if root is None:
        return found
    for path in sorted((root / folder).rglob(pattern)):
        text = path.read_text(encoding="utf-8")
        if not places.cited(text):  # most files: they need not be taken apart
            continue
        for line, words, name in said(text):
            for key in places.cited(words):
                found.setdefault(key, {})[path.relative_to(root).as_posix(), line] = name
    return found


def _kernels(key: str) -> Iterator[Excerpt]:
    """The kernels that compute an equation, the functions whose comments cite it, and their innermost loops."""
    if key in FORMULAS:
        path = "cnnx/optimized/activation_formulas.pxd"
        yield from (cython(path, name) for name in _functions(path) if name.endswith(FORMULAS[key]))
    cites: dict[tuple[str, str], list[int]] = {}
    for path, line in sorted(_index("optimized").get(key, {})):
        name = _enclosing(path, line)
        if name:
            cites.setdefault((path, name), []).append(line)
    for (path, _), name in sorted(places.twins(key).items()):
        yield cython(path, name, tuple(cites.pop((path, name), ())))
    for (path, name), lines in cites.items():
        yield cython(path, name, tuple(lines))
    for path, name in INNER.get(key, ()):
        yield cython(f"cnnx/optimized/{path}", name)


# -------------------------------------------------------------------------------------------- cutting


@cache
def _text(root: Path, path: str) -> tuple[str, ...]:
    return tuple((root / path).read_text(encoding="utf-8").splitlines())


@cache
def _functions(path: str) -> dict[str, tuple[int, int]]:
    """The functions of a Cython file: name -> first line and last, counted from 1."""
    lines = _text(places.ROOT, path)
    found: dict[str, tuple[int, int]] = {}
    for i, line in enumerate(lines):
        start = _START.match(line)
        if start is None or line.startswith("cdef extern"):
            continue
        j = i
        while j < len(lines) and not lines[j].split("#")[0].rstrip().endswith(":"):  # a signature of several lines
            j += 1
        end = j + 1
        while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
            end += 1
        while end > i and not lines[end - 1].strip():
            end -= 1
        found[start[1]] = i + 1, end
    return found


def _enclosing(path: str, line: int) -> str | None:
    """The function of a Cython file that a line is in, or that it stands above."""
    for name, (first, last) in _functions(path).items():
        if first <= line <= last:
            return name
    return None


@cache
def cython(path: str, name: str, cited: tuple[int, ...] = ()) -> Excerpt:
    """A function of a Cython file.

    Raises
    ------
    ValueError
        The file has no such function.
    """
    if name not in _functions(path):
        raise ValueError(f"{path}: expected a function {name}, found {', '.join(_functions(path))}")
    first, last = _functions(path)[name]
    return Excerpt(path, first, _text(places.ROOT, path)[first - 1 : last], name, cited)


@cache
def _python(root: Path, path: str, line: int) -> Excerpt:
    """The function of a Python file that begins at a line; of line 1 the file's docstring."""
    lines = _text(root, path)
    if line == 1:
        node = ast.parse("\n".join(lines)).body[0]
        return Excerpt(path, 1, lines[: node.end_lineno], Path(path).name)
    first, last, name = _nodes(root, path)[line]
    return Excerpt(path, first, lines[first - 1 : last], name)


@cache
def _nodes(root: Path, path: str) -> dict[int, tuple[int, int, str]]:
    """The functions of a Python file by the line of their `def`: from the first decorator to the last line."""
    tree = ast.parse("\n".join(_text(root, path)))
    return {
        node.lineno: (min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno or 0, node.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }


def _named(path: str, ending: str) -> Iterator[Excerpt]:
    """The functions of a Python file of the package whose names end so."""
    for first, last, name in _nodes(places.ROOT, path).values():
        if name.endswith(ending):
            yield Excerpt(path, first, _text(places.ROOT, path)[first - 1 : last], name)


def test(name: str) -> Excerpt | None:
    """A test of the sources by its name; None outside a clone."""
    root = places.clone()
    if root is None:
        return None
    for path in sorted((root / "tests" / "sources").glob("test_*.py")):
        where = path.relative_to(root).as_posix()
        for first, last, found in _nodes(root, where).values():
            if found == name:
                return Excerpt(where, first, _text(root, where)[first - 1 : last], name)
    raise ValueError(f"tests/sources: expected a test {name}")


def _dedented(lines: tuple[str, ...]) -> list[str]:
    indent = len(lines[0]) - len(lines[0].lstrip())
    return [line[indent:] for line in lines]
