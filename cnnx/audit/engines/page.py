"""The audits as a page of Markdown: python -m cnnx.audit.engines.page docs/engines > docs/engines.md."""

import sys
from collections.abc import Iterator
from pathlib import Path

from ..field.engines import ENGINES
from .record import Failing, Record
from .words import Fault, faults, others

HEAD = """\
# The audit of other engines

Written by `python -m cnnx.audit.engines.page docs/engines` from the files of that folder: an engine's own by
`python -m cnnx.audit.engines ENGINE --write docs/engines`, and `faults.toml` with words for each check that fails.
Each engine is a back end of `cnnx audit`, forward, and backward where it has gradients; its kernels are held against
the equations by the conventions that the engine goes by ([conventions.md](conventions.md)).

Numbers are shares of the error budget that the equation itself gives, forward and backward: up to 1 is right, beyond
it no order of sums and roundings explains the error. **Bold** is what failed, *italic* where it is a convention that no
option of cnnx has; what it is stands below the engine's table. Checks: `exact` on integers, `bound` on real numbers,
`special` on NaN and infinities where the conventions keep them, `adjoint` of both directions, `worked` on figures
worked by hand, `threads` on one, two and more, `search` on cases that are drawn. "-": no such kernel, or not the
check's; the reasons stand behind each table.
"""
BUDGETED = ("bound", "search")


def records(folder: Path) -> list[Record]:
    """The folder's audits, in the order of the table of conventions."""
    found = {path.stem: Record.read(path) for path in folder.glob("*.json")}
    return [found[name] for name in ENGINES if name in found]


def page(folder: Path) -> str:
    """The page's text."""
    lines = _lines(records(folder), faults(folder))
    return "\n".join([*lines, "\n## Not judged\n", *(f"- {words}" for words in others(folder))]) + "\n"


def _lines(found: list[Record], known: list[Fault]) -> Iterator[str]:
    yield HEAD
    yield "| engine | version | conventions | dtypes | cases | checks that failed | judged on |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for one in found:
        checks = [row for op in one.results.values() for row in op.values()]
        failed = f"{sum('found' in row for row in checks)} of {sum('found' in row or row['ran'] > 0 for row in checks)}"
        computed = {dtype for row in checks for dtype in row.get("share", ())}
        dtypes = ", ".join(dtype for dtype in one.dtypes if dtype in computed)
        cells = [f"[{one.engine}](#{one.engine})", one.version, one.compat, dtypes, _much(one), failed]
        yield f"| {' | '.join([*cells, one.date])} |"
    for count in sorted({one.count for one in found} - {0}):
        names = ", ".join(one.engine for one in found if one.count == count)
        yield f"\nSome: where each shape means another compilation, {count} cases of each op a check ({names})."
    for processor in dict.fromkeys(one.processor for one in found):
        names = ", ".join(one.engine for one in found if one.processor == processor)
        yield f"\nProcessor: {processor} ({names})."
    yield "\n## The budget used in float32, by op\n"
    yield from _overview(found, known)
    for one in found:
        yield from _engine(one, [fault for fault in known if one.engine in fault.engines])


def _much(one: Record) -> str:
    return f"{one.ran}, some" if one.count else f"{one.ran}"


def _overview(found: list[Record], known: list[Fault]) -> Iterator[str]:
    yield f"| op | {' | '.join(one.engine for one in found)} |"
    yield f"| --- |{' --- |' * len(found)}"
    for op in dict.fromkeys(op for one in found for op in one.results):
        yield f"| {op} | {' | '.join(_cell(one, op, BUDGETED, known, 'float32') for one in found)} |"


def _cell(one: Record, op: str, checks: tuple[str, ...], known: list[Fault], dtype: str = "") -> str:
    """The largest share, of a dtype if it is given; without any, whether something failed or, of all dtypes, ran."""
    rows = [one.results[op][check] for check in checks if check in one.results.get(op, {})]
    shares = [
        float(share)
        for row in rows
        for kind, share in row.get("share", {}).items()
        if dtype in ("", kind) and share is not None
    ]
    failing = [f for f in one.failing() if f.op == op and f.check in checks and dtype in ("", f.dtype or dtype)]
    if failing:
        largest = max((float(f.found["share"]) for f in failing if "share" in f.found), default=0.0)
        mark = "*" if all(_means(one.engine, f, known) for f in failing) else "**"
        return f"{mark}{largest:.2g}{mark}" if largest > 1 else f"{mark}fails{mark}"
    if shares:
        return f"{max(shares):.2g}"
    return "ok" if not dtype and any(row.get("ran") for row in rows) else "-"


def _means(engine: str, failing: Failing, known: list[Fault]) -> bool:
    """Whether all that is known of it are conventions."""
    return all(fault.convention for fault in known if fault.about(engine, failing))


def _engine(one: Record, known: list[Fault]) -> Iterator[str]:
    yield f"\n## {one.engine}\n"
    yield f"{one.about}. Judged by the conventions of {one.compat}.\n"
    checks = list(dict.fromkeys(check for row in one.results.values() for check in row))
    ran = {op: row for op, row in one.results.items() if any("share" in r or "found" in r for r in row.values())}
    yield f"| op | {' | '.join(checks)} |"
    yield f"| --- |{' --- |' * len(checks)}"
    for op in ran:
        yield f"| {op} | {' | '.join(_cell(one, op, (check,), known) for check in checks)} |"
    yield from _failing(one, known)
    yield from _lacking(one)


def _failing(one: Record, known: list[Fault]) -> Iterator[str]:
    failing = [*one.failing()]
    said = [(fault, [f for f in failing if fault.about(one.engine, f)]) for fault in known]
    said = [(fault, found) for fault, found in said if found or not fault.kernels]
    if not said:
        yield "\nNothing failed."
        return
    yield ""
    for fault, found in said:
        yield f"- {'A convention: ' if fault.convention else ''}{fault.words}{_where(found)}"


def _where(found: list[Failing]) -> str:
    """The kernels and checks, and the smallest case of the first."""
    if not found:
        return ""
    names = dict.fromkeys(f"`{one.kernel or one.op}`" for one in found)
    checks = dict.fromkeys(one.check for one in found)
    dtypes = dict.fromkeys(one.dtype for one in found if one.dtype)
    one = min(found, key=lambda f: (not f.found["case"].startswith(("x (", "a (")), len(f.found["case"])))
    said = one.found["what"].partition(" raised ")[2] or one.found["what"]
    smallest = f"`{one.found['case']}`: {said[:160].rstrip()}" if one.found["case"] else said
    return f" ({', '.join(names)}; {', '.join(checks)}; {', '.join(dtypes)}. {smallest})"


def _lacking(one: Record) -> Iterator[str]:
    reasons: dict[str, dict[str, None]] = {}
    for row in one.results.values():
        for result in row.values():
            for what, why in result.get("lacking", {}).items():
                reasons.setdefault(why or what, {})[f"`{what}`" if why else ""] = None
    if reasons:
        yield "\n<details><summary>Not judged, and why</summary>\n"
        yield from (f"- {why}: {', '.join(names)}".removesuffix(": ") for why, names in sorted(reasons.items()))
        yield "\n</details>"


if __name__ == "__main__":
    print(page(Path(sys.argv[1])), end="")
