"""`cnnx audit --self-test field`: bugs that libraries had, and what the audit says of each."""

import argparse
import json
import textwrap

from cnnx.audit.mutants.field import FIELD
from cnnx.audit.mutants.field.page import summary
from cnnx.audit.mutants.field.recall import Named, names_again, recorded, usual_tests

from ._speaker import progress


def run(arguments: argparse.Namespace) -> int:
    """Judge each bug in the case in which a plain audit names it, print, and return the exit code."""
    if arguments.seed:
        raise ValueError("--seed: expected none with --self-test field, whose cases are those on record")
    found, before = {}, recorded()
    for bug in FIELD:
        progress(f"self-test: {bug.name}")
        where = before[bug.name]["named"]
        named = where if where and names_again(bug, Named(**where)) else None
        found[bug.name] = {"named": named, **usual_tests(bug)}
    progress("")
    changed = [name for name, row in found.items() if row != before[name]]
    if arguments.json:
        rows = [{"name": b.name, "op": b.op, "bug": b.bug, "seen": b.seen, **found[b.name]} for b in FIELD]
        print(json.dumps({"schema": 1, "ok": not changed, "changed": changed, "bugs": rows}, indent=2))
    else:
        print(text(found, changed))
    return 1 if changed else 0


def text(found: dict[str, dict[str, object]], changed: list[str]) -> str:
    """A line for each bug, and how many there are of which."""
    lines = ["bugs that libraries had and fixed, each rebuilt from its report (docs/recall.md)", ""]
    width = max(len(bug.seen) for bug in FIELD)
    for bug in FIELD:
        row = found[bug.name]
        where = row["named"]
        by = where["check"] if isinstance(where, dict) else "NOT NAMED"
        close = "allclose too" if row["untold"] else "allclose*" if row["allclose"] else ""
        lines += textwrap.wrap(
            f"{bug.seen:<{width}}  {by:<9}  {close:<12}  {bug.op}: {bug.bug}", 120, subsequent_indent=" " * (width + 27)
        )
    lines += ["", "allclose*: told the setting that the report names", summary(found)]
    return "\n".join([*lines, *(f"{name}: no longer what named.json has" for name in changed)])
