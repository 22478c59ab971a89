"""A model's audit as one HTML page that needs no network and no script (extra `report`: jinja2)."""

from ..._html import render
from ..report.machine import facts
from .result import ModelReport
from .text import SHOWN, headline, summary, suspects, table


def page(report: ModelReport, *, command: str = "") -> str:
    """The report as a whole document; all text is escaped, whatever names a file has.

    Parameters
    ----------
    report : ModelReport
    command : str
        The command line that gave it.
    """
    head, *rows = table(report)
    return render(
        "audit/model/page.html.j2",
        report=report,
        verdict=report.verdict.words,
        state={0: "ok", 130: "interrupted"}.get(report.verdict.code, "bad"),
        command=command,
        machine=facts(),
        head=head,
        rows=rows,
        wrong=[(headline(one), one.discrepancy) for one in report.wrong[:SHOWN]],
        hidden=max(0, len(report.wrong) - SHOWN),
        summary=[*summary(report), *suspects(report)],
    )
