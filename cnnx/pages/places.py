"""Where an equation stands: what cites its key in the reference, the kernels, the ops and a clone's tests.

Nothing is listed by hand: citations are read from docstrings and comments, and a kernel stands for the keys that the
reference's elements of its outputs cite.
"""

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import cnnx
from cnnx import backend
from cnnx._text import aligned
from cnnx.audit import CHECKS
from cnnx.ops import OPS

ROOT = Path(cnnx.__file__).parent.parent
_CITED = re.compile(r"\b([A-Z])(\d)(?:(?:-| to )\1(\d))?\b")
_PROSE = re.compile(r'^""".*?"""|#[^\n]*', re.DOTALL | re.MULTILINE)  # of a Cython file
_WIDTH = 80  # of what a line says

Places = dict[tuple[str, int], str]  # what stands at a line of a file
Said = Callable[[str], Iterator[tuple[int, str, str]]]  # of a file: line, words that may cite, what to call them


def cited(text: str | None) -> set[str]:
    """The keys of equations in a text: C1, and C3 to C6 of "C3-C6"."""
    ranges = _CITED.findall(text or "")
    return {f"{letter}{n}" for letter, first, last in ranges for n in range(int(first), int(last or first) + 1)}


def found(key: str) -> dict[str, Places]:
    """Where a key is cited, by kind; "tests" is empty outside a clone."""
    here = clone()
    return {
        "reference": _citations(ROOT, "cnnx/reference", "*.py", functions, key) | elements_of(key),
        "optimized": twins(key) | _citations(ROOT, "cnnx/optimized", "*.p[yx][xd]", comments, key),
        "ops": _citations(ROOT, "cnnx/ops", "*.py", functions, key),
        "tests": _citations(here, "tests", "*.py", tests_of, key) if here else {},
    }


def places(key: str) -> Iterator[str]:
    """The lines that `cnnx equations` prints of a key."""
    yield f"Where {key} stands, below {ROOT}:"
    rows = []
    for kind, lines in found(key).items():
        for i, ((path, line), what) in enumerate(sorted(lines.items())):
            rows.append(["" if i else kind, f"{path}:{line}", textwrap.shorten(what, _WIDTH, placeholder=" ...")])
    yield from (line.rstrip() for line in aligned(rows, 3))
    here = clone()
    if here is None:
        yield "tests      not installed; call this within a clone of the repository to see them"
    elif here != ROOT:
        yield f"           tests are those of the clone {here}"
    judged = _judged(key)
    for checks, ops in judged.items():
        yield f"audit      cnnx audit {' '.join(ops)}: {checks}"
    if not judged:
        yield "audit      no op has this equation, and the audit judges ops: see the tests"


# -------------------------------------------------------------------------------------- who cites a key


def elements_of(key: str) -> Places:
    """The reference's functions of one element, also those that are made when it is imported."""
    codes = [element.__code__ for elements in citing(key).values() for element in elements]
    return {_place(code): code.co_name for code in codes}


def _place(code: CodeType) -> tuple[str, int]:
    return Path(code.co_filename).relative_to(ROOT).as_posix(), code.co_firstlineno


def twins(key: str) -> Places:
    """The Cython functions of the kernels whose elements cite a key."""
    kernels = citing(key)
    twins: Places = {}
    for path in (ROOT / "cnnx" / "optimized").rglob("*.pyx"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            name = re.match(r"def (\w+)\(", line)
            if name and name[1] in kernels:
                twins[path.relative_to(ROOT).as_posix(), number] = name[1]
    return twins


def citing(key: str) -> dict[str, list[Callable[..., object]]]:
    """The kernels that compute an equation, each with the elements that cite it."""
    elements = {kernel: backend.equations(kernel).values() for kernel in backend.kernel_names("reference")}
    citing = {kernel: [e for e in some if key in cited(e.__doc__)] for kernel, some in elements.items()}
    return {kernel: some for kernel, some in citing.items() if some}


def _judged(key: str) -> dict[str, list[str]]:
    """The ops of a key, by the checks that judge them."""
    judged: dict[str, list[str]] = {}
    for op in OPS:
        if key in cited(op.equations):
            checks = ", ".join(check.name for check in CHECKS.values() if not check.why_not(op))
            judged.setdefault(checks, []).append(op.name)
    return judged


# ---------------------------------------------------------------------------------------------- sources


def clone() -> Path | None:
    """The clone of the repository that this runs in: the one that is imported, else around the current folder."""
    here = Path.cwd()
    folders = (ROOT, here, *here.parents)
    return next((f for f in folders if (f / "cnnx" / "equations.md").exists() and (f / "tests").is_dir()), None)


def _citations(root: Path, folder: str, pattern: str, said: Said, key: str) -> Places:
    """What cites a key in the files below a folder."""
    citations: Places = {}
    for path in (root / folder).rglob(pattern):
        text = path.read_text(encoding="utf-8")
        if key not in cited(text):  # most files: they need not be taken apart
            continue
        for line, words, name in said(text):
            if key in cited(words):
                citations.setdefault((path.relative_to(root).as_posix(), line), name)
    return citations


def functions(text: str) -> Iterator[tuple[int, str, str]]:
    """The functions of a Python file, by their docstrings."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            yield node.lineno, ast.get_docstring(node) or "", node.name


def comments(text: str) -> Iterator[tuple[int, str, str]]:
    """The lines of a Cython file's docstring and comments."""
    for prose in _PROSE.finditer(text):
        first = text.count("\n", 0, prose.start()) + 1
        for number, line in enumerate(prose[0].splitlines(), first):
            yield number, line, line.strip('#" ')


def tests_of(text: str) -> Iterator[tuple[int, str, str]]:
    """The functions of a test file, by their docstrings and comments; the file, by its own docstring."""
    tree = ast.parse(text)
    title = ast.get_docstring(tree) or ""
    yield 1, title, title.partition("\n")[0]
    comments = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type == tokenize.COMMENT]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            within = [t.string for t in comments if node.lineno <= t.start[0] <= (node.end_lineno or 0)]
            yield node.lineno, "\n".join([ast.get_docstring(node) or "", *within]), node.name
