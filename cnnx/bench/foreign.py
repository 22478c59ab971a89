"""What pytest-benchmark measured, of cnnx or of any other project, as a record."""

import os
import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np

from .record import LIMIT, PYTEST, REFERENCE, SECONDS, Figure, Measured, Record, RecordError, broken, load_json

BLOCKS = 10  # what one benchmark's timings are worth: timings next to each other share their luck

TOO_FAST = "a timing of 0: the clock is too coarse for it"


def read_any(path: str | os.PathLike[str], baseline: str | None = None) -> Record:
    """A record, whichever way it was written: by cnnx bench or by pytest --benchmark-json.

    Parameters
    ----------
    path : path
    baseline : str, optional
        As `from_pytest` has it.

    Raises
    ------
    RecordError
        It is neither, or a broken one; a baseline is named for what cnnx bench wrote.
    OSError
        It cannot be read.
    """
    found = load_json(path)
    if isinstance(found, dict) and "cnnx_bench" in found:
        if baseline is not None:
            raise RecordError(f"{path}: expected what pytest --benchmark-json writes beside a baseline, got a record")
        return Record.from_dict(found, os.fspath(path))
    if isinstance(found, dict) and {"benchmarks", "machine_info"} <= found.keys():
        return from_pytest(found, baseline, os.fspath(path))
    raise RecordError(f"{path}: expected what cnnx bench --json or pytest --benchmark-json writes, got {_other(found)}")


def _other(found: object) -> str:
    """What wrote a file that is neither, and what compares two of them."""
    if isinstance(found, dict) and "benchmarks" in found:
        if "context" in found:
            return "a file of Google Benchmark, whose tools/compare.py compares two"
        if "metadata" in found or "version" in found:
            return "a file of pyperf, whose command python -m pyperf compare_to compares two"
    return "other JSON"


def from_pytest(found: Mapping[str, Any], baseline: str | None = None, where: str = "record") -> Record:
    """The record of what pytest --benchmark-json wrote.

    Each benchmark's timings are cut into ten consecutive blocks, and each block's median counts as a round; fewer than
    ten timings count as they are. What cnnx's own benchmarks say in `extra_info` becomes a figure with its ratios, the
    reference's own times are left out. Any other benchmark is a figure with its full name for an op, and without
    ratios: `compare` then takes the other benchmarks of the run for its yardstick.

    A benchmark with a timing of 0 is faster than the clock can tell: it becomes a figure without times, and `missing`
    says why.

    The blocks of one run share what disturbed it for long, and a limit or a reference that was measured once. No error
    rate holds for that, as `compare` notes.

    Parameters
    ----------
    found : mapping
        The file's JSON.
    baseline : str, optional
        The name or full name of one benchmark in it: every other one gets the ratio of the baseline's time to its own,
        block by block, under this name.
    where : str
        What errors call it.

    Raises
    ------
    RecordError
        It is broken, has no timings, two benchmarks of one name, or no such baseline; the baseline has a timing of 0.
    """
    try:
        benchmarks = [each for each in found["benchmarks"] if not _is_of_cnnx(each) or _is_optimized(each)]
        if baseline is None:
            figures = [_measured(each) for each in benchmarks]
        else:
            yardstick = _find(baseline, benchmarks)
            figures = [_measured(each) for each in benchmarks if each is not yardstick]
            blocks = _blocks(yardstick)
            if 0 in blocks:
                raise RecordError(f"baseline: expected timings above 0, got {baseline!r} with {TOO_FAST}")
            _set_beside(figures, blocks, baseline)
        machine, commit = found["machine_info"], found.get("commit_info") or {}
        known = commit.get("id", "unversioned") != "unversioned"
        return Record(
            fingerprint=_fingerprint(machine),
            figures=figures,
            commit=commit["id"][:12] + "+" * bool(commit.get("dirty")) if known else "",
            date=str(found.get("datetime", "")),
            versions={"python": machine["python_version"], PYTEST: str(found.get("version", ""))},
        ).checked()
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{where}: expected what pytest --benchmark-json writes, got {broken(error)}") from None


def _is_of_cnnx(benchmark: Mapping[str, Any]) -> bool:
    return {"op", "case", "direction", "threads", "backend"} <= set(benchmark["extra_info"])


def _is_optimized(benchmark: Mapping[str, Any]) -> bool:
    return bool(benchmark["extra_info"]["backend"] == "optimized")


def _measured(benchmark: Mapping[str, Any]) -> Measured:
    seconds = _blocks(benchmark)
    missing = {}
    if 0 in seconds:
        seconds, missing = [], {SECONDS: TOO_FAST}
    if not _is_of_cnnx(benchmark):
        return Measured(Figure(benchmark["fullname"], "", "", 0, ""), seconds=seconds, missing=missing)
    info, median = benchmark["extra_info"], benchmark["stats"]["median"]
    ratios = {
        yardstick: [info[name] * median / second for second in seconds]
        for yardstick, name in ((LIMIT, "share_of_limit"), (REFERENCE, "speed_up"))
        if seconds and info.get(name) is not None
    }
    return Measured(
        Figure(info["op"], info["case"], info["direction"], info["threads"], info.get("dtype", "float32")),
        multiply_adds=info.get("multiply_adds", 0),
        bytes=info.get("bytes", 0),
        bound=info.get("bound", ""),
        seconds=seconds,
        ratios=ratios,
        extrapolated=bool(info.get("extrapolated", False)),
        missing=missing,
    )


def _blocks(benchmark: Mapping[str, Any]) -> list[float]:
    """The medians of consecutive blocks of its timings."""
    timings = benchmark["stats"].get("data")
    if not timings:
        raise RecordError(
            f"{benchmark['fullname']}: expected timings, got none: write the file by --benchmark-json, or save it "
            "with --benchmark-save-data"
        )
    return [statistics.median(block.tolist()) for block in np.array_split(timings, min(BLOCKS, len(timings)))]


def _find(name: str, benchmarks: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The one benchmark that has this name."""
    found = [each for each in benchmarks if name == each["fullname"]]
    found = found or [each for each in benchmarks if name == each["name"]]
    if len(found) != 1:
        wanted = "the full name of one" if found else "a benchmark"
        names = ", ".join(each["fullname"] for each in found or benchmarks)
        raise RecordError(f"baseline: expected {wanted} of {names}, got {name!r}")
    return found[0]


def _set_beside(figures: list[Measured], baseline: list[float], name: str) -> None:
    """Give each figure its ratios to the baseline, block by block, as many as both have.

    One number for the baseline, as its median, would shift all ratios of a run together, and no test could tell that
    from a change.
    """
    for measured in figures:
        measured.ratios[name] = [b / own for b, own in zip(baseline, measured.seconds, strict=False)]


def _fingerprint(machine: Mapping[str, Any]) -> dict[str, str]:
    """What machine_info tells of it; cnnx's own, where its benchmarks put it there."""
    if isinstance(machine.get("cnnx"), dict):
        return dict(machine["cnnx"])
    cpu = machine.get("cpu", {})
    found = {
        "processor": cpu.get("brand_raw") or machine.get("processor") or machine["machine"],
        "processors": cpu.get("count"),
        "python": ".".join(machine["python_version"].split(".")[:2]),
        "compiler": machine.get("python_compiler"),
    }
    return {name: str(fact) for name, fact in found.items() if fact}
