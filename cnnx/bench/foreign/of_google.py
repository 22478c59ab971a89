"""What Google Benchmark writes by --benchmark_out_format=json, of C++ programs and of its Python bindings."""

from collections.abc import Mapping
from typing import Any

from ..record import GOOGLE, Record
from .timed import Timed, benchmark, blocks, known

UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}


def fits(found: Mapping[str, Any]) -> bool:
    """Whether this tool wrote it."""
    return {"context", "benchmarks"} <= found.keys()


def read(found: Mapping[str, Any]) -> tuple[Record, list[Timed]]:
    """The run and its benchmarks: the real time of each repetition; of aggregates alone their median, one round."""
    by_name: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for each in found["benchmarks"]:
        kinds = by_name.setdefault(each.get("run_name", each["name"]), {})
        kinds.setdefault(each.get("aggregate_name", ""), []).append(each)
    timed = []
    for name, kinds in by_name.items():
        runs = kinds.get("") or kinds.get("median") or kinds.get("mean") or []
        broken = [str(run.get("error_message", "")) for run in runs if run.get("error_occurred") or run.get("skipped")]
        if broken:
            timed.append(benchmark(name, "", [], f"it failed: {broken[0]}"))
        elif runs:
            timed.append(benchmark(name, "", blocks([run["real_time"] * UNITS[run["time_unit"]] for run in runs])))
    return Record(
        _fingerprint(found["context"]), date=str(found["context"].get("date", "")), versions=_versions(found)
    ), timed


def _fingerprint(context: Mapping[str, Any]) -> dict[str, str]:
    """The file has no processor's name: caches say which one it is. A host's name is another one in every job of CI."""
    caches = [f"L{each['level']} {each['type']} {each['size']}" for each in context.get("caches", [])]
    return known(
        {
            "processors": context.get("num_cpus"),
            "caches": ", ".join(caches),
            "built for": context.get("library_build_type"),
        }
    )


def _versions(found: Mapping[str, Any]) -> dict[str, str]:
    return {GOOGLE: str(found["context"].get("library_version", ""))}
