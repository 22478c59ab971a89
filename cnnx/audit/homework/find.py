"""The layers of a homework file: run it, and see which of its classes and functions stand for an op."""

import ast
import contextlib
import importlib.util
import inspect
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ..._text import expected_one_of
from . import roles
from .unit import OPTIONS, WINDOW, Unit

MAPPING = "CNNX"  # the variable of a file that says which op its names stand for
BACKWARD = ".backward"


def loaded(path: str) -> ModuleType:
    """Run a homework file, without what it prints, and give its module.

    Raises
    ------
    ValueError
        There is no such file.
    ImportError
        It raises something; the message has its words and its line.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"FILE: expected a Python file, got {path!r}, which is no file")
    spec = importlib.util.spec_from_file_location(f"cnnx_homework_{file.stem}", file.resolve())
    if spec is None or spec.loader is None:
        raise ValueError(f"FILE: expected a Python file, got {path!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # for what stands beside it
    os.environ.setdefault("MPLBACKEND", "Agg")  # no window waits to be closed
    try:
        with silent():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        line = getattr(error, "lineno", None) or _line(error, str(file.resolve()))
        at = f":{line}" if line else ""
        words = " ".join(str(error).split())
        raise ImportError(f"{path}{at}: cannot be run: {type(error).__name__}: {words}") from error
    return module


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """A block in which what homework prints is not seen, and in which it is told nothing."""
    before, sys.stdin = sys.stdin, io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        sys.stdin = before


def _line(error: BaseException, file: str) -> int | None:
    lines, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return lines[-1] if lines else None


def units(module: ModuleType, mapping: Iterable[str] = ()) -> list[Unit]:
    """What of a module stands for ops, in its order.

    Parameters
    ----------
    module : module
    mapping : iterable of str
        "conv2d=MyConv", "conv2d.backward=my_grad"; before what the file itself says in `CNNX`, before names.

    Raises
    ------
    ValueError
        A mapping is none, or names what is not there.
    """
    said = _said(module, mapping)
    file = str(Path(str(module.__file__)))
    lines = {
        node.name: node.lineno
        for node in ast.parse(Path(file).read_bytes()).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    }
    found = [_mapped(op, both, lines, file) for op, both in said.items()]
    taken = {id(thing) for both in said.values() for thing in both.values()}
    mine = [(n, v) for n, v in vars(module).items() if n in lines and id(v) not in taken]
    found += _classes(mine, set(said), lines, file)
    found += _functions(mine, set(said), lines, file)
    for unit in found:
        unit.options = _options(unit)
    return sorted(found, key=lambda unit: unit.line)


def _said(module: ModuleType, mapping: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The things that a mapping names, by op and direction."""
    own = getattr(module, MAPPING, {})
    if not isinstance(own, Mapping):
        raise ValueError(f"{MAPPING}: expected a dict such as {{'conv2d': MyConv}}, got {type(own).__name__}")
    pairs = [(MAPPING, str(key), value) for key, value in own.items()]
    for words in mapping:
        key, equals, value = words.partition("=")
        if not equals or not value:
            raise ValueError(f"--map: expected an op and a name, such as conv2d=MyConv, got {words!r}")
        pairs.append(("--map", key.strip(), value.strip()))
    found: dict[str, dict[str, Any]] = {}
    for where, key, value in pairs:
        op = key.removesuffix(BACKWARD)
        if op not in roles.OP_NAMES:
            raise ValueError(f"{where}: {expected_one_of(roles.OP_NAMES, op)}")
        if isinstance(value, str):
            names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
            if value not in vars(module):
                raise ValueError(f"{where}: {expected_one_of(names, value)}")
            value = getattr(module, value)
        if not callable(value):
            raise ValueError(f"{where}: expected a class or a function, got {type(value).__name__}")
        if op in roles.MODAL and not inspect.isclass(value):
            raise ValueError(f"{where}: expected a class for {op}, which keeps something from call to call")
        found.setdefault(op, {})["back" if key.endswith(BACKWARD) else "fore"] = value
    return found


def _mapped(op: str, both: Mapping[str, Any], lines: Mapping[str, int], file: str) -> Unit:
    fore, back = both.get("fore"), both.get("back")
    thing = fore if fore is not None else back
    name = getattr(thing, "__name__", type(thing).__name__)
    if inspect.isclass(fore):
        return Unit(op, name, lines.get(name, 0), file, kind=fore)
    return Unit(op, name, lines.get(name, 0), file, fore=fore, back=back)


def _classes(things: Iterable[tuple[str, Any]], but: set[str], lines: Mapping[str, int], file: str) -> Iterator[Unit]:
    for name, thing in things:
        if inspect.isclass(thing) and callable(getattr(thing, "forward", None)):
            said = roles.op_of(name)
            if said is not None and said[0] not in but:
                yield Unit(said[0], name, lines[name], file, kind=thing)


def _functions(things: Iterable[tuple[str, Any]], but: set[str], lines: Mapping[str, int], file: str) -> list[Unit]:
    """Functions by op: each forward one with the backward one whose name is most like its own."""
    named = [(n, v, said) for n, v in things if inspect.isfunction(v) and (said := roles.op_of(n)) is not None]
    named = [(n, v, (op, back)) for n, v, (op, back) in named if op not in (*but, *roles.MODAL)]
    backs = [(n, v, op) for n, v, (op, back) in named if back]
    found: list[Unit] = []
    used: set[str] = set()
    fores = [(n, v, op) for n, v, (op, back) in named if not back]
    for name, function, op in fores:
        like = [(_alike(n, name), n, v) for n, v, other in backs if other == op]
        back: Callable[..., Any] | None = None
        if like:
            _, chosen, back = max(like, key=lambda one: one[0])
            used.add(chosen)
        if op in roles.COSTS and back is None:
            continue  # a value alone, of what: probabilities or scores?
        found.append(Unit(op, name, lines[name], file, fore=function, back=back))
    found += [Unit(op, n, lines[n], file, back=v) for n, v, op in backs if n not in used]
    return found


def _alike(a: str, b: str) -> int:
    """How many characters two names have in common, from their start."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _options(unit: Unit) -> tuple[str, ...]:
    """The options of its op that it takes."""
    things = [t for t in (unit.kind, unit.fore, unit.back) if t is not None]
    names = {roles.role_of(n, unit.op) for t in things for n in _parameters(t)}
    if "settings" in names:
        return OPTIONS.get(unit.op, ())
    if names & WINDOW:
        names.add("kernel_size")
    return tuple(name for name in OPTIONS.get(unit.op, ()) if name in names)


def _parameters(thing: Any) -> Iterable[str]:
    try:
        return inspect.signature(thing).parameters
    except (TypeError, ValueError):
        return ()
