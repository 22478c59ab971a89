"""What a search drew, and which corners of its space no case was in, in words."""

import textwrap
from collections.abc import Iterable, Iterator

from .coverage import together
from .result import Result, Searched

FEW = 20  # values that no case had, which are named in a summary
FEW_PAIRS = 200  # pairs of an op that never met, which are named in the ledger


def summary(results: Iterable[Result], seed: int) -> list[str]:
    """In a few lines: how many cases of how many ops, how many settings met in pairs, and the values that none had."""
    found = dict(_of_ops(results))
    if not found:
        return []
    cases = sum(searched.cases for searched, _ in found.values())
    elements = sum(count for _, count in found.values())
    met, possible = (sum(searched.pairs[i] for searched, _ in found.values()) for i in (0, 1))
    each = {searched.cases for searched, _ in found.values()}
    of_each = f", {min(each):,} of each" if len(each) == 1 and len(found) > 1 else ""
    ops = f"{len(found)} op{'s' * (len(found) != 1)}"
    lines = [
        f"search: {cases:,} cases of {ops}{of_each}, seed {seed}, {elements:,} elements; "
        f"{met:,} of {possible:,} pairs of settings"
    ]
    unseen = {op: searched.unseen for op, (searched, _) in found.items() if searched.unseen}
    count = sum(len(values) for missing in unseen.values() for values in missing.values())
    if count > FEW:
        lines.append(f"never drawn: {count:,} values of settings (--ledger names them; --search SECONDS goes on)")
    else:
        for op, missing in unseen.items():
            lines += _wrapped(f"never drawn: {op}: {_words(missing)}")
    return lines


def text(results: Iterable[Result]) -> list[str]:
    """For each op how many cases had each value of each setting, and which values of two never met."""
    lines = []
    for op, (searched, elements) in _of_ops(results):
        met, possible = searched.pairs
        lines.append(
            f"{op}: {searched.cases:,} cases, {elements:,} elements; {met:,} of {possible:,} pairs of settings "
            "(some of which no call can have)"
        )
        for axis, values in searched.axes.items():
            lines += _wrapped(f"  {axis}: " + ", ".join(f"{v} {n or 'NEVER'}" for v, n in values.items()))
        apart = [((a, v), (b, w)) for (a, b), pairs in searched.apart.items() for v, w in pairs]
        if len(apart) > FEW_PAIRS:
            lines.append(f"  {len(apart):,} pairs never met, though each value was drawn (--json names them)")
        else:
            lines += [line for words in together(apart) for line in _wrapped(f"  never met: {words}")]
    return ["search: how many cases had each setting", *lines] if lines else []


def _of_ops(results: Iterable[Result]) -> Iterator[tuple[str, tuple[Searched, int]]]:
    for result in results:
        if result.searched is not None:
            yield result.op, (result.searched, result.elements)


def _words(missing: dict[str, list[str]]) -> str:
    return "; ".join(f"{axis} {', '.join(values)}" for axis, values in missing.items())


def _wrapped(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, 120, subsequent_indent=indent)
