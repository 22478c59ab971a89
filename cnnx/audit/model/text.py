"""A model's audit in words: a table of its nodes, what could not be judged, the first offender with its terms."""

import textwrap
from collections import defaultdict

from ..._text import aligned
from .result import IN_PLACE, ISOLATED, Judged, ModelReport

SHOWN = 20  # further discrepancies that are printed; --json has all
WIDEST = 40


def text(report: ModelReport) -> str:
    """The report as `cnnx audit --model` prints it."""
    engines = " and ".join(f"{name} {version}" for name, version in report.engines.items())
    lines = [
        f"{report.model} by {engines}, {report.threads} thread{'s' * (report.threads != 1)}, seed {report.seed}",
        *textwrap.wrap(f"input: {report.data}", 120, subsequent_indent="  "),
        "",
    ]
    rows = table(report)
    lines += [*aligned(rows, left=3), ""] if len(rows) > 1 else []
    lines += _legend(report)
    lines += _unjudged(report)
    lines += suspects(report)
    lines += [f"note: {note}" for note in report.notes]
    lines += _discrepancies(report)
    return "\n".join([*lines, *summary(report), _verdict(report)])


def share_of(one: Judged | None) -> str:
    """The share of the bound in a cell: "equal" where nothing may be off, "-" where nothing was judged."""
    if one is None:
        return ""
    if one.outcome == "not judged":
        return "-"
    if one.share is None:
        return "equal" if one.outcome == "agrees" else "WRONG"
    return words(one.share)


def words(share: float) -> str:
    """A share with the digits that matter."""
    return f"{share:.3f}" if share < 10 else f"{share:.3g}"


def table(report: ModelReport) -> list[list[str]]:
    """The nodes in order, the head first: for each engine its share alone, and in place at the end of each group."""
    several = len(report.engines) > 1
    runs = [(run, engine) for run in (ISOLATED, IN_PLACE) for engine in report.engines if report.of(run, engine)]
    heads = [f"{run} ({engine})" if several else run for run, engine in runs]
    cells = {each: {one.number: one for one in report.of(*each)} for each in runs}
    fused = {each: {name for one in report.of(*each) for name in one.nodes[:-1]} for each in runs}
    rows = [["", "node", "operator", *heads, "elements", "of", "distance", ""]]
    for number, found in _by_number(report).items():
        first = next((one for one in found if one.run == ISOLATED), found[0])
        row = []
        for each in runs:
            one = cells[each].get(number)
            row.append(share_of(one) if one else "fused" if first.name in fused[each] else "")
        wrong = any(one.outcome == "discrepancy" for one in found)
        rows.append(
            [
                str(number),
                clipped(first.name),
                clipped(first.operator),
                *row,
                f"{max(one.checked for one in found):,}",
                f"{max(one.total for one in found):,}",
                "-" if first.distance is None else f"{first.distance:.1e}",
                "BEYOND" if wrong else _remark(found),
            ]
        )
    return rows


def _remark(found: list[Judged]) -> str:
    if all(one.outcome == "not judged" for one in found):
        return "not judged"
    return "suspect" if any(one.suspect for one in found) else ""


def clipped(name: str) -> str:
    """A name that fits into a column."""
    return name if len(name) <= WIDEST else f"...{name[3 - WIDEST :]}"


def summary(report: ModelReport) -> list[str]:
    """How far the network is from double, and what that says."""
    far = [one for one in report.of(ISOLATED) if one.distance is not None]
    if not far:
        return []
    most = max(far, key=lambda one: one.distance or 0.0)
    last = far[-1]
    line = (
        f"distance from the network in double: at most {most.distance:.1e}, at {most.name!r}; at the end "
        f"{last.distance:.1e}"
    )
    if not report.wrong and not report.unjudged:
        line += ". Each node is within its bound: that is rounding, accumulated"
    return [line]


def suspects(report: ModelReport) -> list[str]:
    """Long sums that are within their bound, but not as roundings leave them."""
    found = [one for one in report.results if one.suspect]
    if not found:
        return []
    names = ", ".join(f"{one.name} ({one.engine}, {words(one.chance or 0.0)})" for one in found[:SHOWN])
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    line = (
        f"suspect: {names}{more}: within the bound, which holds for the worst of all roundings, but off by so "
        "many times what independent ones come to: is that computed in another precision?"
    )
    return textwrap.wrap(line, 120, subsequent_indent="  ")


def _by_number(report: ModelReport) -> dict[int, list[Judged]]:
    found: dict[int, list[Judged]] = defaultdict(list)
    for one in report.results:
        found[one.number].append(one)
    return dict(sorted(found.items()))


def _legend(report: ModelReport) -> list[str]:
    lines = [f"{ISOLATED}: each node alone, on what it got; the largest share of its bound that an element used"]
    if any(one.run == IN_PLACE for one in report.results):
        lines.append(f"{IN_PLACE}: the same of the optimised whole, at the last of the nodes that are fused")
    lines.append("distance: of the output from a run of the whole network in double, in units of its largest element")
    return lines


def _unjudged(report: ModelReport) -> list[str]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for one in report.unjudged:
        place = f"{one.name} ({one.operator})" + (f", {IN_PLACE}" if one.run == IN_PLACE else "")
        reasons[one.why].append(place)
    lines = []
    for why, places in reasons.items():
        shown = ", ".join(dict.fromkeys(places[:SHOWN])) + (
            f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        )
        lines += textwrap.wrap(f"not judged: {shown}: {why}", 120, subsequent_indent="  ")
    return lines


def _discrepancies(report: ModelReport) -> list[str]:
    lines = []
    for i, one in enumerate(report.wrong[: 1 + SHOWN]):
        assert one.discrepancy is not None, "it is what is wrong"
        lines += ["", headline(one)]
        lines += [f"    {line}".rstrip() for line in one.discrepancy.terms] if i == 0 else []
        lines += [f"    again: {one.discrepancy.repro}"] if i == 0 else []
    if len(report.wrong) > 1 + SHOWN:
        lines.append(f"... and {len(report.wrong) - 1 - SHOWN} more (--json has all)")
    return [*lines, ""] if lines else []


def headline(one: Judged) -> str:
    """A discrepancy in a line."""
    assert one.discrepancy is not None, "it is what is wrong"
    of = f", nodes {', '.join(one.nodes)}" if len(one.nodes) > 1 else ""
    many = f"; {one.wrong} of {one.checked:,} elements" if one.wrong > 1 else ""
    share = "" if one.share is None else f", {words(one.share)} of the bound"
    return f"{one.engine}, {one.run}, {one.name} ({one.operator}){of}: {one.discrepancy.what}{share}{many}"


def _verdict(report: ModelReport) -> str:
    checked = sum(one.checked for one in report.results)
    return (
        f"{checked:,} elements of {report.nodes} nodes ({report.constants} constant ones apart): {report.verdict.words}"
    )
