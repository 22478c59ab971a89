"""`cnnx audit --order`: in which order back ends sum (`cnnx.audit.order`)."""

import argparse
import importlib.metadata
import json
from collections.abc import Iterator

import cnnx
from cnnx import native
from cnnx._text import aligned
from cnnx.audit import DTYPES
from cnnx.audit.order import SummationOrder, summation_order
from cnnx.audit.order.probe import OPS

from ._refused import refuse
from ._speaker import progress

NOTHING_RAN = 3
OTHERS = (
    *("check", "case", "against", "compat", "repro", "search", "search_cases", "no_shrink", "budgets", "timeout"),
    *("kernel", "isolated", "jobs", "self_test", "no_speed", "ledger", "reproducible", "require", "save", "report"),
    *("junit", "verdict", "baseline"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about it."""
    add = parser.add_argument
    add(
        "--order",
        action="store_true",
        help=f"show in which order back ends sum ({', '.join(OPS)}), and in what arithmetic; --backend may name "
        "several, with commas",
    )
    add("--terms", type=int, metavar="N", help="about how many products a sum has that --order looks at")


def run(arguments: argparse.Namespace) -> int:
    """Reveal, print, and return the exit code: 3 where no back end has any of the ops, else 0."""
    refuse("--order", arguments, OTHERS, "which judges nothing")
    if arguments.terms is not None and arguments.terms < 2:
        raise ValueError(f"--terms: expected at least 2, got {arguments.terms}")
    names = tuple(dict.fromkeys((arguments.backend or "optimized").split(",")))
    for name in names:
        with cnnx.use_backend(name):
            pass  # an unknown name is an error before anything is asked
    found = []
    for op in arguments.op or OPS:
        for dtype in arguments.dtype or DTYPES:
            for name in names:
                progress(f"{op}: {name}, {dtype}")
                found.append(summation_order(op, name, dtype=dtype, terms=arguments.terms, seed=arguments.seed))
    progress("")
    if arguments.json:
        print(json.dumps([{**one.as_dict(), "version": version(one.backend)} for one in found], indent=2))
    else:
        print("\n".join(_lines(found)))
    return NOTHING_RAN if all(one.lacking for one in found) else 0


def version(backend: str) -> str:
    """What a back end's figures are of."""
    if backend == "optimized":
        return f"cnnx {cnnx.__version__}, {native.instruction_set()}"
    if backend == "reference":
        return f"cnnx {cnnx.__version__}"
    try:
        return f"{backend} {importlib.metadata.version(backend)}"
    except importlib.metadata.PackageNotFoundError:
        return backend


def _lines(found: list[SummationOrder]) -> Iterator[str]:
    for kind in dict.fromkeys((one.op, one.dtype) for one in found):
        some = [one for one in found if (one.op, one.dtype) == kind]
        axes = ", ".join(f"{name} {extent}" for name, extent in some[0].axes.items())
        yield f"{kind[0]}, {kind[1]}: sums over {axes}{' and a bias' if some[0].bias else ''}"
        rows = [[f"  {version(one.backend)}", one.words()] for one in some]
        yield from aligned(rows, left=2)
        for one in some:
            yield from (f"  {one.backend}: {tree}" for tree in one.trees())
        yield ""
    yield "from sums of ones with M and -M among them (arXiv 2411.00442); what a line says gives the bits of sums of"
    yield "random numbers, or the line says that it does not"
