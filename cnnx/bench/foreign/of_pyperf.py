"""What pyperf writes by -o: one benchmark or several, each in several processes."""

import statistics
from collections.abc import Mapping
from typing import Any

from ..record import PYPERF, Record
from .timed import Timed, benchmark, known


def fits(found: Mapping[str, Any]) -> bool:
    """Whether this tool wrote it."""
    return {"benchmarks", "version"} <= found.keys() and "machine_info" not in found


def read(found: Mapping[str, Any]) -> tuple[Record, list[Timed]]:
    """The run and its benchmarks: the median of each process is a round; calibration and warm-up are no values."""
    common = found.get("metadata", {})
    timed, dates = [], []
    for each in found["benchmarks"]:
        facts = common | each.get("metadata", {})
        rounds = [statistics.median(run["values"]) for run in each["runs"] if run.get("values")]
        dates += [run["metadata"]["date"] for run in each["runs"] if "date" in run.get("metadata", {})]
        why = "" if facts.get("unit", "second") == "second" else "it is no time"
        timed.append(benchmark(facts["name"], "", [] if why else rounds, why))
    facts = (common | found["benchmarks"][0].get("metadata", {})) if found["benchmarks"] else common
    python = str(facts.get("python_version", "")).split()
    return (
        Record(
            known(
                {
                    "processor": facts.get("cpu_model_name"),
                    "processors": facts.get("cpu_count"),
                    "python": ".".join(python[0].split(".")[:2]) if python else None,
                    "compiler": facts.get("python_compiler"),
                }
            ),
            date=min(dates, default=common.get("date", "")).replace(" ", "T", 1),
            versions={"python": python[0] if python else "", PYPERF: str(facts.get("perf_version", ""))},
        ),
        timed,
    )
