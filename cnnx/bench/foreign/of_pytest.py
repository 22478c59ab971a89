"""What pytest-benchmark 4 and 5 write."""

from collections.abc import Mapping
from typing import Any

from ..record import LIMIT, PYTEST, REFERENCE, SECONDS, Figure, Measured, Record, RecordError
from .timed import TOO_FAST, Timed, benchmark, blocks, known

# Of files that cnnx bench wrote in this format (`to_pytest`): in extra_info the whole figure; how the version begins.
OWN, BY_CNNX = "cnnx_bench", "cnnx"


def fits(found: Mapping[str, Any]) -> bool:
    """Whether this tool wrote it."""
    return {"benchmarks", "machine_info"} <= found.keys()


def read(found: Mapping[str, Any]) -> tuple[Record, list[Timed]]:
    """The run and its benchmarks."""
    timed = [_timed(each) for each in found["benchmarks"] if not _is_of_cnnx(each) or _is_optimized(each)]
    machine, commit = found["machine_info"], found.get("commit_info") or {}
    is_known = commit.get("id", "unversioned") != "unversioned"
    tool, version = PYTEST, str(found.get("version", ""))
    if version.startswith(BY_CNNX):
        tool, version = BY_CNNX, version.removeprefix(BY_CNNX).strip()
    record = Record(
        fingerprint=_fingerprint(machine),
        commit=commit["id"][:12] + "+" * bool(commit.get("dirty")) if is_known else "",
        date=str(found.get("datetime", "")),
        versions={"python": machine["python_version"], tool: version},
    )
    return record, timed


def _is_of_cnnx(benchmark: Mapping[str, Any]) -> bool:
    return {"op", "case", "direction", "threads", "backend"} <= set(benchmark["extra_info"])


def _is_optimized(benchmark: Mapping[str, Any]) -> bool:
    return bool(benchmark["extra_info"]["backend"] == "optimized")


def _timed(found: Mapping[str, Any]) -> Timed:
    names, info = (found["fullname"], found["name"]), found["extra_info"]
    if OWN in info:
        return Timed(Measured.from_dict(info[OWN]), names)
    if not found["stats"].get("data"):
        raise RecordError(
            f"{found['fullname']}: expected timings, got none: write the file by --benchmark-json, or save it "
            "with --benchmark-save-data"
        )
    seconds = blocks(found["stats"]["data"])
    if not _is_of_cnnx(found):
        return Timed(benchmark(found["fullname"], "", seconds).measured, names)
    missing = {}
    if 0 in seconds:
        seconds, missing = [], {SECONDS: TOO_FAST}
    median = found["stats"]["median"]
    ratios = {
        yardstick: [info[name] * median / second for second in seconds]
        for yardstick, name in ((LIMIT, "share_of_limit"), (REFERENCE, "speed_up"))
        if seconds and info.get(name) is not None
    }
    measured = Measured(
        Figure(info["op"], info["case"], info["direction"], info["threads"], info.get("dtype", "float32")),
        multiply_adds=info.get("multiply_adds", 0),
        bytes=info.get("bytes", 0),
        bound=info.get("bound", ""),
        seconds=seconds,
        ratios=ratios,
        extrapolated=bool(info.get("extrapolated", False)),
        missing=missing,
    )
    return Timed(measured, names)


def _fingerprint(machine: Mapping[str, Any]) -> dict[str, str]:
    """What machine_info tells of it; cnnx's own, where its benchmarks put it there."""
    if isinstance(machine.get("cnnx"), dict):
        return dict(machine["cnnx"])
    cpu = machine.get("cpu", {})
    return known(
        {
            "processor": cpu.get("brand_raw") or machine.get("processor") or machine["machine"],
            "processors": cpu.get("count"),
            "python": ".".join(machine["python_version"].split(".")[:2]),
            "compiler": machine.get("python_compiler"),
        }
    )
