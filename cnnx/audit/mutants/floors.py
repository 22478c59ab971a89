"""Budgets are tight: what share of them the correct back end uses, kept in floors.json, and that wider ones are seen.

A budget that is too wide passes what is wrong, and a mutant of a kernel shows it only where its error is of that size.
So of each kernel's output the largest share is known that the correct back end uses on the first cases of a search, on
real numbers: a floor, which has to be reached but for a factor (`APART`). A looser bound stays below it, and so does an
easier data set. `python -m cnnx.audit.mutants.floors --write` renews the file.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from ... import native
from ...ops import OPS, Op
from ..checks import CHECKS
from ..run import DTYPES
from ..sides import Sides
from ..truth.winograd_bound import KERNELS as WINOGRAD
from ..work import judge
from ._mutant import CORRECT

FILE = Path(__file__).with_name("floors.json")
APART = 3.0  # of instruction sets and compilers, which add in other orders, the shares are apart by less
WIDER = 100.0

Shares = dict[str, dict[str, float]]  # by kernel and output, and by dtype

# What would make budgets too wide: a name, the op that shows it, and the numbers that become a hundred times as large.
BUDGETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sums": ("affine", ("spot.element.SUM",)),
    "functions": ("sigmoid", ("spot.element.FUNCTION", "truth.error_bound.FUNCTION")),
    "Winograd's roundings": ("conv2d", ("truth.winograd_bound.ROUNDINGS",)),
    "doubles": ("batch_norm2d", ("spot.element.DOUBLE_EPS",)),
}


def known() -> Shares:
    """The floors."""
    floors: Shares = json.loads(FILE.read_text(encoding="utf-8"))
    return floors


def used(op: Op, seed: int = 0) -> Shares:
    """The largest shares of an op's outputs in the first cases of a search, in the correct back end.

    Without those of doubles where no multiply-add is fused, but for Winograd's: they have the roundings of their truth.
    """
    found: Shares = {}
    for case in CHECKS["search"].cases(op):
        for dtype in DTYPES:
            for (what, kind), share in judge(op, CHECKS["search"], case, dtype, Sides(CORRECT), seed).shares.items():
                shares = found.setdefault(f"{op.name}: {what}", {})
                shares[kind] = max(shares.get(kind, 0.0), share)
    if not native.has_fma():
        for what, shares in found.items():
            if what.partition(": ")[2].split()[0] not in WINOGRAD:
                shares.pop("float64", None)
    return found


def below(found: Mapping[str, Mapping[str, float]], floors: Mapping[str, Mapping[str, float]]) -> list[str]:
    """In words, which of an op's shares are below their floors; and which are not known."""
    words = []
    for what, shares in found.items():
        for dtype, share in shares.items():
            floor = floors.get(what, {}).get(dtype)
            if floor is None:
                words.append(f"{what}, {dtype}: it has no floor (python -m cnnx.audit.mutants.floors --write)")
            elif share * APART < floor:
                words.append(
                    f"{what}, {dtype}: uses {share:.2g} of its budget and is known to use {floor:.2g}: the budget has "
                    "become wider, or the data easier"
                )
    return words


@contextmanager
def wider(names: tuple[str, ...]) -> Iterator[None]:
    """The numbers of that name a hundred times as large, for the block."""
    with ExitStack() as stack:
        for name in names:
            where, _, attribute = name.rpartition(".")
            module = __import__(f"cnnx.audit.{where}", fromlist=[attribute])
            stack.enter_context(patch.object(module, attribute, getattr(module, attribute) * WIDER))
        yield


def unseen() -> list[str]:
    """The budgets of BUDGETS that could be a hundred times as wide and nothing would show it."""
    floors, ops = known(), {op.name: op for op in OPS}
    missed = []
    for name, (op, numbers) in BUDGETS.items():
        with wider(numbers):
            if not below(used(ops[op]), floors):
                missed.append(name)
    return missed


def main() -> None:
    """Print the floors, or write them."""
    parser = argparse.ArgumentParser(description="Floors under the shares of the error budgets that are used.")
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name} anew")
    write = parser.parse_args().write
    found = {what: shares for op in OPS if op.kernels for what, shares in used(op).items()}
    rounded = {what: {kind: float(f"{share:.2g}") for kind, share in shares.items()} for what, shares in found.items()}
    lines = [f"  {json.dumps(what)}: {json.dumps(shares)}" for what, shares in sorted(rounded.items())]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    if write:
        FILE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
