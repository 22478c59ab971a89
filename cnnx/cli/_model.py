"""`cnnx audit --model`: a deployed ONNX network, node by node (`cnnx.audit.model`)."""

import argparse
import json

from . import _reports
from ._refused import refuse
from ._speaker import progress

BACKEND = "onnxruntime"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of models."""
    group = parser.add_argument_group(
        "a deployed model",
        "Each node of an ONNX model is held against its equation, on the inputs that it really got: alone, and in the "
        f"engine's optimised whole. --backend is {BACKEND} if it is not given, or openvino, or any back end; --against "
        "a second one, judged beside it.",
    )
    add = group.add_argument
    add("--model", metavar="FILE.onnx", help="the model to judge")
    add("--input", metavar="FILE", help="what goes in: .npz, .npy, or a folder of pictures (needs Pillow); else random")
    add("--size", nargs="+", type=int, metavar="N", help="of random input, what the graph leaves open: rows, columns")
    add(
        "--nodes", action="append", metavar="GLOB", help="names or operators to judge; may be given again; default: all"
    )
    add(
        "--isolated",
        action="store_true",
        help="with --model: only each node alone, not the engine's whole. Else: run the back end in a process of "
        "its own that never holds the truth, on memory with guard pages, and ask one check more, isolation",
    )
    add(
        "--precision",
        choices=("model", "engine"),
        default="model",
        help="what the engine computes in: the model's type, or what it takes by itself, held to the model's too",
    )


def refuse_options(arguments: argparse.Namespace) -> None:
    """Raise where an option is given that only models can heed."""
    for name in ("input", "nodes", "size"):
        if getattr(arguments, name):
            raise ValueError(f"--{name}: expected --model with it, got none")
    if arguments.precision != "model":
        raise ValueError("--precision: expected --model with it, got none")


def run(arguments: argparse.Namespace, timeout: float | None) -> int:
    """Audit, print, and return the exit code. With a timeout engines run in processes of their own."""
    _refuse(arguments)
    _reports.check(arguments)
    from cnnx.audit.model import audit_model
    from cnnx.audit.model.text import text

    report = audit_model(
        arguments.model,
        inputs=arguments.input,
        backend=arguments.backend or BACKEND,
        against=arguments.against,
        nodes=arguments.nodes or (),
        elements=arguments.elements,
        in_place=not arguments.isolated,
        exact=arguments.precision == "model",
        timeout=timeout,
        seed=arguments.seed,
        size=arguments.size or (),
        progress=progress,
    )
    progress("")
    try:
        print(json.dumps(report.as_dict(), indent=2) if arguments.json else text(report))
    finally:  # even where nobody reads the output to its end
        _reports.write_model(report, arguments)
    return report.verdict.code


def _refuse(arguments: argparse.Namespace) -> None:
    names = (
        "kernel", "op", "check", "case", "dtype", "compat", "repro", "save", "budgets", "ledger", "no_shrink",
        "no_speed", "reproducible", "require", "self_test", "shape", "shapes", "network", "mb", "search",
        "search_cases", "jobs", "verdict", "baseline", "order", "terms",
    )  # fmt: skip
    refuse("--model", arguments, names, "whose nodes are what is judged")
    if arguments.elements < 1:
        raise ValueError(f"--elements: expected at least 1, got {arguments.elements}")
