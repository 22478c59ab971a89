"""What hyperfine --export-json writes: the times of command lines. It says neither when nor where."""

from collections.abc import Mapping
from typing import Any

from ..record import HYPERFINE, Record
from .timed import Timed, benchmark, blocks


def fits(found: Mapping[str, Any]) -> bool:
    """Whether this tool wrote it."""
    results = found.get("results")
    return isinstance(results, list) and all(isinstance(each, dict) and "command" in each for each in results)


def read(found: Mapping[str, Any]) -> tuple[Record, list[Timed]]:
    """The run and its commands; parameters of a scan are the case."""
    timed = []
    for each in found["results"]:
        case = ", ".join(f"{name}={value}" for name, value in each.get("parameters", {}).items())
        timed.append(benchmark(each["command"], case, blocks(each.get("times") or [each["median"]])))
    return Record({}, versions={HYPERFINE: ""}), timed
