"""The page of the field's bugs: docs/recall.md."""

from collections.abc import Mapping
from typing import Any

from . import FIELD

ABOUT = """\
# Bugs that libraries had: what the audit names

Each row is a bug that a library of the field had and fixed, rebuilt from its report as a kernel of our own
(`cnnx/audit/mutants/field`); no code was copied. Two questions are asked of each:

- Does a plain `cnnx audit --op OP` name it, at the kernel that has it? The table says by which check, and in which case
  first.
- Would the test that people write, `numpy.allclose` with `rtol=1e-3, atol=1e-3` on one random float32 input of an
  ordinary shape, forward and backward? Once as it comes, and once told the setting that the report names (groups, a
  stride, a padding by side, an alpha below 0). Where a library reads memory that it never wrote, the test finds NaN
  there.

What was taken: bugs of operators that cnnx has, whose report says what was computed wrongly; no crashes, no shapes, no
speed. Where a report leaves open which numbers came out, the kernel's docstring says what it takes. When this was first
run, the audit named 50 of 58: what it missed were {missed}.

`python -m cnnx.audit.mutants.field.recall --write docs/recall.md` makes this page; a test judges each bug again in the
case that is named.

"""

MISSED = (
    "padding that is wider below or at the right than before (twice), a slope below 0, rows of logits that all lie far "
    "from 0, whole factors of resizing that are rounded up, and three of many channels (16 of a depthwise convolution "
    "with a stride, 32 of a convolution with one, 320 of a pooling); cases and data of these kinds came of it"
)


def summary(found: Mapping[str, Mapping[str, Any]]) -> str:
    """How many of how many, in a line."""
    named, told, untold = (sum(bool(row[key]) for row in found.values()) for key in ("named", "allclose", "untold"))
    return (
        f"{named} of {len(found)} named by a plain audit; by allclose at 1e-3 on one random input {untold}, "
        f"and {told} where the input has the setting that the report names"
    )


def _close(row: Mapping[str, Any]) -> str:
    return "finds it" if row["untold"] else "finds it, told the setting" if row["allclose"] else "passes"


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    lines = [ABOUT.format(missed=MISSED) + f"**{summary(found)}.**\n"]
    op = ""
    for bug in sorted(FIELD, key=lambda bug: [b.op for b in FIELD].index(bug.op)):
        if bug.op != op:
            op = bug.op
            lines += [f"\n## {op}\n", "| report | what was wrong | named by | allclose |", "| --- | --- | --- | --- |"]
        row = found[bug.name]
        where = row["named"]
        by = f"{where['check']}: {where['case']} ({where['dtype']})" if where else "**not named**"
        lines.append(f"| {bug.seen} | {bug.bug} | {by} | {_close(row)} |")
    return "\n".join(lines) + "\n"
