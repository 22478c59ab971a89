"""Say whether every op gives the bits that this release gives everywhere: SHA-256 by op, dtype and direction.

Exit code 0: all the same; 1: some differ; 2: usage; 3: nothing of the back end could be computed.
"""

import argparse
import json
from typing import Any

import cnnx
from cnnx import backend
from cnnx.audit.digest import FMA, LINES, Line, computed, expected, kind, short, write

from ._speaker import progress

SAME, DIFFERS, NEW, LACKING = "same", "differs", "not recorded", "not covered"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx digest`."""
    add = parser.add_argument
    add("--op", action="append", choices=LINES, metavar="NAME", help="an op, or training; may be given again")
    add("--backend", default="optimized", metavar="NAME", help="whose results (default optimized)")
    add("--json", action="store_true", help="print JSON")
    add("--write", action="store_true", help="for developers: record what came as what is expected, in the package")


def run(arguments: argparse.Namespace) -> int:
    """Compute, compare, print, and return the exit code."""
    if arguments.write and (arguments.op or arguments.backend != "optimized"):
        raise ValueError("--write: expected neither --op nor --backend with it: all lines of optimized are recorded")
    with backend.use_backend(arguments.backend):
        pass  # an unknown name is an error now
    found: list[Line] = []
    for op in dict.fromkeys(arguments.op or LINES):
        progress(f"digest: {op}")
        found += computed(op, arguments.backend)
    progress("")
    which = kind(arguments.backend)
    if arguments.write:
        write(which, {line.name: line.digest for line in found}, short(), cnnx.__version__)
    known = expected(which)["lines"]
    states = [_state(line, known) for line in found]
    if arguments.json:
        print(json.dumps(_as_dict(arguments.backend, which, found, states, known), indent=2))
    else:
        print("\n".join(_text(arguments.backend, which, found, states)))
    if all(state == LACKING for state in states):
        return 3
    return 1 if {DIFFERS, NEW} & {*states} else 0


def _state(line: Line, known: dict[str, str]) -> str:
    if line.missing:
        return LACKING
    if line.name not in known:
        return NEW
    return SAME if known[line.name] == line.digest else DIFFERS


def _text(name: str, which: str, found: list[Line], states: list[str]) -> list[str]:
    kernels = "" if which == FMA else f" with {which}: others than with one"
    rows = [["op", "dtype", "direction", "SHA-256", ""]]
    for line, state in zip(found, states, strict=True):
        rows.append([line.op, line.dtype, line.direction, line.digest[:16] or line.missing, state])
    width = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, width, strict=False)), row[4]]) for row in rows]
    counts = [f"{states.count(state)} {state}" for state in (SAME, DIFFERS, NEW, LACKING) if state in states]
    return [
        f"back end {name} beside what cnnx {cnnx.__version__} gives{kernels}",
        "",
        *(line.rstrip() for line in lines),
        "",
        ", ".join(counts),
    ]


def _as_dict(name: str, which: str, found: list[Line], states: list[str], known: dict[str, str]) -> dict[str, Any]:
    """For JSON. Schema version 1."""
    return {
        "schema": 1,
        "cnnx": cnnx.__version__,
        "backend": name,
        "kind": which,
        "lines": [
            {**line._asdict(), "expected": known.get(line.name, ""), "state": state}
            for line, state in zip(found, states, strict=True)
        ],
    }
