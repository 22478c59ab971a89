"""`cnnx audit --order`: in which order back ends sum (`cnnx.audit.order`)."""

import argparse
import importlib.metadata
import json
from collections.abc import Iterator

import cnnx
from cnnx import native
from cnnx._text import aligned
from cnnx.audit import DTYPES
from cnnx.audit.contract import load
from cnnx.audit.order import SummationOrder, summation_order
from cnnx.audit.order.probe import OPS

from ._refused import refuse
from ._speaker import progress

NOTHING_RAN = 3
OTHERS = (
    *("check", "case", "against", "compat", "repro", "search", "search_cases", "no_shrink", "budgets", "timeout"),
    *("isolated", "jobs", "self_test", "no_speed", "ledger", "reproducible", "require", "save", "report"),
    *("junit", "verdict", "baseline"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options about it."""
    add = parser.add_argument
    add(
        "--order",
        action="store_true",
        help=f"show in which order back ends sum ({', '.join(OPS)}), and in what arithmetic; --backend may name "
        "several, with commas; --kernel: those of a file, of float16 and bfloat16 too",
    )
    add("--terms", type=int, metavar="N", help="about how many products a sum has that --order looks at")


def run(arguments: argparse.Namespace) -> int:
    """Reveal, print, and return the exit code: 3 where no back end has any of the ops, else 0."""
    refuse("--order", arguments, OTHERS, "which judges nothing")
    if arguments.terms is not None and arguments.terms < 2:
        raise ValueError(f"--terms: expected at least 2, got {arguments.terms}")
    if arguments.kernel is not None:
        refuse("--kernel", arguments, ("op", "backend", "dtype"), "whose contract says what is asked")
        return _printed(arguments, _of_file(arguments))
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
    return _printed(arguments, found)


def _of_file(arguments: argparse.Namespace) -> list[SummationOrder]:
    """Of the kernels of a file those that have an order."""
    kernels = [kernel for some in load(arguments.kernel).values() for kernel in some]
    found = []
    for kernel in kernels:
        if kernel.op in OPS and not kernel.tail and not kernel.gradients:
            for dtype in kernel.dtypes:
                progress(f"{kernel.op}: {kernel.name}, {dtype}")
                found.append(
                    summation_order(kernel.op, kernel, dtype=dtype, terms=arguments.terms, seed=arguments.seed)
                )
    if not found:
        raise ValueError(f"--order: expected a kernel of {', '.join(OPS)} without a tail, got {arguments.kernel}")
    return found


def _printed(arguments: argparse.Namespace, found: list[SummationOrder]) -> int:
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
