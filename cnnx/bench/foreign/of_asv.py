"""What asv (airspeed velocity) writes to its results, format 2: one file for a commit and an environment.

https://asv.readthedocs.io/en/stable/dev.html, "Benchmark result format".
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..record import ASV, Record
from .timed import Timed, benchmark, blocks, known, utc

FORMAT = 2
TIMINGS = ("stats_number", "samples")  # columns that benchmarks of time alone have


def fits(found: Mapping[str, Any]) -> bool:
    """Whether this tool wrote it."""
    return {"commit_hash", "results", "params"} <= found.keys()


def read(found: Mapping[str, Any]) -> tuple[Record, list[Timed]]:
    """The run and its benchmarks.

    Without `asv run --record-samples` a benchmark has its median alone, which is one round: enough for a history.
    """
    if found.get("version") != FORMAT:
        raise ValueError(f"version {found.get('version')!r}, not {FORMAT}: asv update brings it up to date")
    machine = found["params"]
    record = Record(
        known(
            {
                "processor": machine.get("cpu") or machine.get("arch"),
                "processors": machine.get("num_cpu"),
                "machine": machine.get("machine"),
                "environment": found["env_name"],
            }
        ),
        commit=found["commit_hash"][:12],
        date=utc(found["date"]),
        versions={"python": str(found.get("python", "")), ASV: f"format {FORMAT}"},
    )
    columns = found["result_columns"]
    return record, [
        timed
        for name, row in found["results"].items()
        for timed in _timed(name, dict(zip(columns, row, strict=False)))  # a row ends where nothing follows
    ]


def _timed(name: str, row: Mapping[str, Any]) -> Iterator[Timed]:
    """One for each combination of the parameters."""
    combinations = list(itertools.product(*(row.get("params") or [])))
    results = row["result"] or [None] * len(combinations)
    is_time = any(row.get(column) for column in TIMINGS)
    samples = row.get("samples") or [None] * len(combinations)
    for parameters, result, own in zip(combinations, results, samples, strict=True):
        why, seconds = "", []
        if result is None:
            why = "it failed"
        elif math.isnan(result):
            why = "it was skipped"
        elif not is_time:
            why = "it is no time"
        else:
            seconds = blocks(own or [result])
        yield benchmark(name, ", ".join(parameters), seconds, why, str(row.get("version") or ""))
