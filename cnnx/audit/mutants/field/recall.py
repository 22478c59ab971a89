"""Which bugs of the field an audit names, and which `allclose` on one random input would.

named.json has the answers, with the case that names each bug; `python -m cnnx.audit.mutants.field.recall --write
docs/recall.md` renews it and the page that is made of it, which takes minutes.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ....ops import OPS, Case, Op
from ...checks import CHECKS
from ...data import draw, draw_like
from ...report.result import Discrepancy
from ...run import DTYPES
from ...search.corners import Corners
from ...search.draws import NARROW
from ...search.search import SHARE, Step, standing, steps
from ...sides import Sides
from ...trace import backward_arguments, first, forward_arguments, gradients, traced
from ...trial import Check
from ...work import judge
from .._mutant import CORRECT, installed
from . import FIELD, FieldBug
from .page import page, summary
from .usual import USUAL

FILE = Path(__file__).with_name("named.json")
TOLERANCE = 1e-3  # of the test that people write, absolute and relative
QUICK = ("exact", "bound", "special", "search")  # tried before the others, which hold a back end against itself
BY_NAME = {op.name: op for op in OPS}


class Named(NamedTuple):
    """Where an audit names a bug, of several checks the first in QUICK: the check, the case, the dtype and the kernel's
    output ("": the whole op)."""

    check: str
    case: str
    dtype: str
    where: str


def cases(check: Check, op: Op) -> Iterator[Step]:
    """The cases of a plain audit: the op's own, the standing ones, and those that it draws."""
    if check.draws:
        yield from chain(standing(op, DTYPES), islice(steps(op, 0, DTYPES, NARROW, Corners(op, DTYPES)), SHARE))
        return
    for case in check.cases(op):
        for dtype in check.dtypes or DTYPES:
            yield Step(case, dtype)


def named(bug: FieldBug) -> Named | None:
    """Where a plain audit of the bug's op, `cnnx audit --op OP`, names it; None if it does not."""
    op = BY_NAME[bug.op]
    with installed(bug) as name:
        for check in sorted(CHECKS.values(), key=lambda check: check.name not in QUICK):
            if check.why_not(op) or check.why_not_of(name):
                continue
            for case, dtype in cases(check, op):
                for found in judge(op, check, case, dtype, Sides(name), 0).failing:
                    if of(bug, found):
                        return Named(check.name, case.name, dtype, f"{found.kernel} {found.output}".strip())
    return None


def names_again(bug: FieldBug, where: Named) -> bool:
    """Whether that one case, by itself, names the bug."""
    op, check = BY_NAME[bug.op], CHECKS[where.check]
    case = next(case for case, dtype in cases(check, op) if (case.name, dtype) == (where.case, where.dtype))
    with installed(bug) as name:
        return any(of(bug, found) for found in judge(op, check, case, where.dtype, Sides(name), 0).failing)


def of(bug: FieldBug, found: Discrepancy) -> bool:
    """Whether a discrepancy is at one of the bug's kernels, or says of none where it is."""
    return found.kernel in ("", *bug.kernels)


def usual_test(bug: FieldBug, case: Case) -> bool:
    """Whether `allclose` at 1e-3 on one random float32 input of a case, forward and backward, would find it."""
    op = BY_NAME[bug.op]
    rng = np.random.default_rng([*bug.name.encode()])
    arrays = draw(op, case, "float32", "real", rng)
    with installed(bug) as name, np.errstate(all="ignore"):
        ours, theirs = (traced(op.forward, forward_arguments(op, case, arrays), b).result for b in (name, CORRECT))
        delta = np.empty(0) if op.cost else draw_like(first(theirs), "float32", "real", rng)
        arguments = backward_arguments(op, case, arrays, delta, theirs)
        mine, other = (gradients(op, case, traced(op.backward, arguments, b).result) for b in (name, CORRECT))
    pairs = [(first(ours), first(theirs)), *((mine[k], other[k]) for k in mine)]
    return not all(np.allclose(got, expected, TOLERANCE, TOLERANCE) for got, expected in pairs)


def usual_tests(bug: FieldBug) -> dict[str, bool]:
    """The same with the setting that the report names, and without."""
    return {"allclose": usual_test(bug, bug.usual), "untold": usual_test(bug, USUAL[bug.op])}


def computed(bugs: Iterable[FieldBug] = FIELD) -> dict[str, dict[str, Any]]:
    """What `named` and `usual_tests` come to, by the bug's name."""
    found = {}
    for bug in bugs:
        where = named(bug)
        found[bug.name] = {"named": where and where._asdict(), **usual_tests(bug)}
    return found


def recorded() -> dict[str, dict[str, Any]]:
    """The same as it was when the file was written."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Compute it, print what changed, and write the file and the page if asked to."""
    parser = argparse.ArgumentParser(description="which bugs of the field an audit names")
    parser.add_argument("--write", metavar="PAGE", help="write named.json, and this page")
    arguments = parser.parse_args()
    found, before = computed(), recorded() if FILE.exists() else {}
    for name, row in found.items():
        if row != before.get(name):
            print(f"{name}: {before.get(name)} -> {row}")
    if arguments.write:
        FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        Path(arguments.write).write_text(page(found), encoding="utf-8")
    print(summary(found))


if __name__ == "__main__":
    main()
