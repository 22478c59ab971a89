"""What is kept of an audit: by op and check how many cases, what of the budget, and what failed."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..report.result import Discrepancy, Result, number

Found = dict[str, Any]


class Failing(NamedTuple):
    """A kernel that failed a check in a dtype; kernel "" where the check names none."""

    op: str
    check: str
    kernel: str
    dtype: str
    found: Found


@dataclass
class Record:
    """An engine's audit.

    about : what its adapter says of itself; compat: by whose conventions it was judged; processor, date: where, when.
    count : how many cases of each op a check had, 0 for all of them; drawn: and how many the search drew.
    results : by op and check what `condensed` gives.
    """

    engine: str
    version: str
    about: str
    compat: str
    processor: str
    date: str
    dtypes: list[str]
    count: int
    drawn: int
    results: dict[str, dict[str, Found]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Record":
        """The record of a file."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def text(self) -> str:
        """The file's text, with a line for each check of an op."""
        given = asdict(self)
        results = given.pop("results")
        head = json.dumps(given, indent=1, ensure_ascii=False)[:-2]
        ops = []
        for op, row in results.items():
            checks = [f"   {json.dumps(check)}: {json.dumps(one, ensure_ascii=False)}" for check, one in row.items()]
            ops.append(f"  {json.dumps(op)}: {{\n" + ",\n".join(checks) + "\n  }")
        return head + ',\n "results": {\n' + ",\n".join(ops) + "\n }\n}\n"

    @property
    def ran(self) -> int:
        """How many cases."""
        return sum(one["ran"] for row in self.results.values() for one in row.values())

    def failing(self) -> Iterator[Failing]:
        """All that failed."""
        for op, row in self.results.items():
            for check, one in row.items():
                for found in one.get("found", ()):
                    yield Failing(op, check, found["kernel"], found["dtype"], found)


def condensed(result: Result) -> Found:
    """What is kept of a check of an op."""
    one: Found = {"ran": result.ran}
    shares: dict[str, float | str | None] = {}
    for (_, dtype), share in result.shares.items():
        shares[dtype] = max(share, float(shares.get(dtype) or 0))
    shares |= {dtype: worst.share for dtype, worst in result.worst.items()}
    if shares:
        one["share"] = {dtype: _rounded(shares[dtype]) for dtype in sorted(shares)}
    if result.skipped:
        one["skipped"] = result.skipped
    if result.lacking:
        one["lacking"] = dict(sorted(result.lacking.items()))
    if result.failing:
        one["found"] = [*_worst(result.failing)]
    return one


def ended(how: str) -> Found:
    """What is kept of a check at which the process ended."""
    return {"ran": 0, "found": [{"kernel": "", "dtype": "", "cases": 1, "case": "", "what": how}]}


def _worst(found: list[Discrepancy]) -> Iterator[Found]:
    """Of each kernel and dtype the finding that was made small, else the largest one."""
    groups: dict[tuple[str, str], list[Discrepancy]] = {}
    for one in found:
        groups.setdefault((one.kernel, one.dtype), []).append(one)
    for (kernel, dtype), same in sorted(groups.items()):
        one = max(same, key=lambda d: (bool(d.shrunk), d.share or 0))
        said: Found = {"kernel": kernel, "dtype": dtype, "cases": len({d.case for d in same})}
        said |= {"case": one.shrunk or one.case, "what": " ".join(one.what.split())[:300]}
        largest = max((d.share or 0 for d in same), default=0)
        if largest:
            said["share"] = _rounded(largest)
        yield said


def _rounded(share: float | str | None) -> Any:
    return number(None if share is None else float(f"{float(share):.2g}"))
