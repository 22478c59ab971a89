"""`cnnx audit` on production shapes: spot checks (`cnnx.audit.spot`), in the place of the ops' own small cases."""

import argparse
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

from cnnx._text import aligned
from cnnx.audit import Result
from cnnx.audit.spot.benchdnn import OPS, Problem, parse, parse_file
from cnnx.audit.spot.networks import NETWORKS, Layer, network
from cnnx.audit.spot.result import Spot
from cnnx.audit.spot.spot import ELEMENTS, command, spot
from cnnx.audit.supervise import Supervisor

from ._refused import refuse
from ._speaker import progress

SHOWN = 20  # discrepancies that are printed; --json has all
OUTPUTS = ("Y", "dZ", "dF", "db")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of spot checks."""
    group = parser.add_argument_group(
        "production shapes",
        "Some elements of the output and of every gradient are held against the reference's equations. --op says what "
        f"a shape is: {', '.join(OPS)} (default {OPS[0]}); --dtype is float32 if it is not given. The grammar is "
        "benchdnn's; python -m pydoc cnnx.audit.spot.benchdnn has it.",
    )
    add = group.add_argument
    add("--shape", action="append", metavar="TEXT", help='a problem, "g1mb8ic64ih56oc64oh56kh3ph1"; may be given again')
    add("--shapes", action="append", metavar="FILE", help="a list of problems, one in a line; may be given again")
    add("--network", action="append", choices=tuple(NETWORKS), help="the layers of a network; may be given again")
    add("--mb", type=int, metavar="N", help="images in the batch (default: what a shape says, else 2)")
    add("--elements", type=int, default=ELEMENTS, metavar="N", help="at least so many of each (default %(default)s)")


def asked(arguments: argparse.Namespace) -> bool:
    """Whether the command line asks for spot checks."""
    return bool(arguments.shape or arguments.shapes or arguments.network)


def refuse_options(arguments: argparse.Namespace) -> None:
    """Raise where an option is given that only shapes can heed."""
    for name, value, default in (("--mb", arguments.mb, None), ("--elements", arguments.elements, ELEMENTS)):
        if value != default:
            raise ValueError(f"{name}: expected --shape, --shapes or --network with it, got none")


def run(arguments: argparse.Namespace, timeout: float | None) -> int:
    """Check, print, and return the exit code. With a timeout the back end runs in a process of its own."""
    layers = list(_layers(arguments))
    dtypes = arguments.dtype or ["float32"]
    found: list[Spot] = []
    code, total = 0, len(layers) * len(dtypes)
    options = {name: getattr(arguments, name) for name in ("backend", "compat", "seed", "elements")}
    try:
        with Supervisor(_work, timeout) if timeout else nullcontext() as supervisor:
            for layer, dtype in itertools.product(layers, dtypes):
                progress(f"{len(found) + 1} of {total}: {layer.problem.case.name}, {dtype}")
                job = (layer.problem.op, "spot", layer.problem, dtype, options)
                one = _work(*job, say=lambda *_: None) if supervisor is None else supervisor.do(*job)
                if isinstance(one, Result):  # it hung or died
                    one = Spot(layer.problem, dtype, discrepancies=one.discrepancies)
                one.layers = layer.count
                found.append(one)
    except KeyboardInterrupt:
        code = 130
    progress("")
    verdict, words = _verdict(found, arguments.backend)
    if code:
        words = f"interrupted after {len(found)} of {total}"
    print(_json(arguments, found, code == 0 and verdict == 0) if arguments.json else _text(arguments, found, words))
    return code or verdict


def _work(
    op: str, check: str, problem: Problem, dtype: str, options: dict[str, Any], *, say: Callable[..., None]
) -> Spot:
    repro = command(problem, dtype, **options)
    return spot(problem, dtype=dtype, say=lambda: say(problem.case.name, dtype, repro), **options)


def _layers(arguments: argparse.Namespace) -> Iterator[Layer]:
    names = (
        "check", "case", "repro", "save", "report", "junit", "verdict", "baseline", "ledger", "budgets", "search",
        "search_cases", "jobs", "isolated",
    )  # fmt: skip
    refuse("shapes", arguments, names, "of which each is a case for the spot check")
    if arguments.against != "reference":
        raise ValueError(f"--against: expected the reference, whose equations shapes need, got {arguments.against!r}")
    for name, value in (("--mb", arguments.mb), ("--elements", arguments.elements)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    for op in arguments.op or ():
        if op not in OPS:
            raise ValueError(f"--op: expected one of {', '.join(OPS)} with shapes, got {op!r}")
    for op in arguments.op or OPS[:1]:
        for text in arguments.shape or ():
            yield Layer(parse(text, op, mb=arguments.mb))
        for path in arguments.shapes or ():
            yield from (Layer(problem) for problem in parse_file(path, op, mb=arguments.mb))
    for name in arguments.network or ():
        layers = network(name, mb=2 if arguments.mb is None else arguments.mb)
        chosen = [layer for layer in layers if not arguments.op or layer.problem.op in arguments.op]
        if not chosen:
            raise ValueError(f"--op: {name} has no layer of {' or '.join(arguments.op)}")
        yield from chosen


def _verdict(found: list[Spot], backend: str) -> tuple[int, str]:
    wrong = sum(bool(one.discrepancies) for one in found)
    if wrong:
        return 1, f"{wrong} of {len(found)} with discrepancies"
    if not any(one.checked for one in found):
        return 3, f"nothing of back end {backend} ran"
    return 0, "all agree"


def _json(arguments: argparse.Namespace, found: list[Spot], ok: bool) -> str:
    head = {"schema": 1, "backend": arguments.backend, "seed": arguments.seed, "ok": ok}
    return json.dumps({**head, "spots": [one.as_dict() for one in found]}, indent=2)


def _text(arguments: argparse.Namespace, found: list[Spot], words: str) -> str:
    ops, kinds = {one.problem.op for one in found}, {one.dtype for one in found}
    rows = []
    for one in found:
        cells = {t.output: f"{t.checked:,} of {t.total:,}" for t in one.tensors}
        rows.append(
            {
                "shape": _clipped(one.problem.case.name),
                **({"op": one.problem.op} if len(ops) > 1 else {}),
                **({"dtype": one.dtype} if len(kinds) > 1 else {}),
                "layers": str(one.layers),
                **{output: cells.get(output, "-") for output in OUTPUTS},
                "budget": f"{one.share:.3f}" if one.tensors else "-",
                "seconds": f"{one.seconds:.1f}",
            }
        )
    dtypes = " and ".join(dict.fromkeys(one.dtype for one in found))
    lines = [f"back end {arguments.backend} against the reference's equations, seed {arguments.seed}, {dtypes}", ""]
    lines += [*aligned([list(rows[0]), *(list(row.values()) for row in rows)]), ""] if rows else []
    lines.append(
        "elements checked of how many, corners and edges first; budget: largest share of the error bound used,"
    )
    lines.append("on real numbers, by the back end's distance from the equation in double precision")
    lines += dict.fromkeys(f"{one.problem.op} {one.problem.text}: {one.note}" for one in found if one.note)
    lacking = {what: why for one in found for what, why in one.lacking.items()}
    lines += [f"not covered: {what}" + (f" ({why})" if why else "") for what, why in lacking.items()]
    lines += _discrepancies(found)
    checked, exact = sum(one.checked for one in found), sum(t.exact for one in found for t in one.tensors)
    tensors = sum(len(one.tensors) for one in found)
    sums = sum(one.layers * one.problem.multiply_adds for one in found if one.problem.op == "conv2d")
    size = f" of layers that take {sums / 1e9:.3g} billion multiply-adds" if sums else ""
    lines += [
        "",
        f"{checked:,} elements of {tensors} outputs{size}, {exact} of them also on integers, exactly: {words}",
    ]
    return "\n".join(lines)


def _discrepancies(found: list[Spot]) -> Iterator[str]:
    """Those of each problem, and the command that finds them again."""
    total = sum(len(one.discrepancies) for one in found)
    left = SHOWN
    for one in found:
        if one.discrepancies and left > 0:
            yield ""
            for d in one.discrepancies[:left]:
                yield f"{d}"
                yield from (f"    {line}".rstrip() for line in d.terms)
            if one.discrepancies[0].repro:
                yield f"  {one.discrepancies[0].repro}"
        left -= len(one.discrepancies)
    if total > SHOWN:
        yield f"... and {total - SHOWN} more (--json has all)"


def _clipped(name: str) -> str:
    return name if len(name) <= 40 else name[:37] + "..."
