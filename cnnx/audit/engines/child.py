"""Judge an engine, in this process: python -m cnnx.audit.engines.child ENGINE COUNT DRAWN DTYPES OP:CHECK...

What is found comes in lines that begin with `MARK`, whatever else an engine prints; each check is named before it is
done, so that whoever reads knows where a process ended.
"""

import json
import sys
import warnings

from ... import backend as _backend
from ...ops import OPS
from ..checks import CHECKS
from ..field.child import MARK
from ..report.machine import facts
from ..run import audit
from ..trial import Check
from .record import condensed

SHRINK = 5.0  # seconds for a check's first finding


def main(engine: str, count: str, drawn: str, dtypes: str, *wanted: str) -> None:
    """Print what is found."""
    warnings.simplefilter("ignore")
    _say(
        about=_backend.about(engine),
        compat=_backend.compat(engine),
        processor=facts()["processor"],
    )
    for one in wanted:
        op, check = one.split(":")
        _say(asked=one)
        draws = CHECKS[check].draws
        report = audit(
            [op], backend=engine, checks=[check], dtypes=dtypes.split(","), measure=False, shrink=SHRINK,
            cases=None if draws else some(op, CHECKS[check], int(count)),
            search_cases=int(drawn) if draws else None,
        )  # fmt: skip
        _say(key=one, result=condensed(report.results[0]))


def some(op: str, check: Check, count: int) -> list[str] | None:
    """So many names of an op's cases, spread over all that a check takes; None for all: of 0, and of figures."""
    of = next(one for one in OPS if one.name == op)
    names = [case.name for case in check.cases(of)]
    if not count or len(names) <= count or not {*names} <= {case.name for case in (*of.cases, *of.bench)}:
        return None
    return [names[i * len(names) // count] for i in range(count)]


def _say(**said: object) -> None:
    print(f"\n{MARK}{json.dumps(said)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
