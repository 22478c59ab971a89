"""What other tools measured, of any project, as records: pytest-benchmark, asv, Google Benchmark, hyperfine, pyperf."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..record import Record, RecordError, broken, load_json
from . import of_asv, of_google, of_hyperfine, of_pyperf, of_pytest
from .timed import Timed, beside

Reader = Callable[[Mapping[str, Any]], tuple[Record, list[Timed]]]

# By what a file is told, which of them reads it, and what it is called in errors; the first that fits is taken.
TOOLS: list[tuple[Callable[[Mapping[str, Any]], bool], Reader, str]] = [
    (of_pytest.fits, of_pytest.read, "pytest --benchmark-json writes"),
    (of_google.fits, of_google.read, "Google Benchmark writes by --benchmark_out_format=json"),
    (of_pyperf.fits, of_pyperf.read, "pyperf writes by -o"),
    (of_asv.fits, of_asv.read, "asv 0.2 and newer writes to its results"),
    (of_hyperfine.fits, of_hyperfine.read, "hyperfine --export-json writes"),
]
NAMES = "cnnx bench --json, pytest-benchmark, asv, Google Benchmark, hyperfine or pyperf writes"
NOT_RESULTS = ("benchmarks.json", "machine.json")  # among asv's results: what was measured, and where


def read_any(path: str | os.PathLike[str], baseline: str | None = None) -> Record:
    """A record, whichever tool wrote it.

    Each benchmark is a figure with its full name for an op, its parameters, where the file has them apart, for a case,
    and without ratios: `compare` then takes the other benchmarks of the run for its yardstick. Its timings are cut
    into ten consecutive blocks, and each block's median counts as a round; fewer than ten count as they are, and of
    pyperf each process is a round. What has no timings, or a timing of 0, becomes a figure without times, and
    `missing` says why.

    The rounds of one run share what disturbed it for long. No error rate holds for that, as `compare` notes.

    Parameters
    ----------
    path : path
    baseline : str, optional
        The name of one benchmark in it: every other one gets the ratio of the baseline's time to its own, round by
        round, under this name.

    Raises
    ------
    RecordError
        No tool that is known has written it, or it is broken; it has two benchmarks of one name, or no such baseline;
        a baseline is named for what cnnx bench wrote.
    OSError
        It cannot be read.
    """
    found = load_json(path)
    if isinstance(found, dict) and "cnnx_bench" in found:
        if baseline is not None:
            raise RecordError(f"{path}: expected a file of another tool beside a baseline, got a record")
        return Record.from_dict(found, os.fspath(path))
    return from_json(found, baseline, os.fspath(path))


def from_json(found: object, baseline: str | None = None, where: str = "record") -> Record:
    """The same of a file's JSON; `where` is what errors call it."""
    if isinstance(found, dict):
        for fits, read, what in TOOLS:
            if fits(found):
                return _record(found, read, what, baseline, where)
    raise RecordError(f"{where}: expected what {NAMES}, got other JSON")


def from_pytest(found: Mapping[str, Any], baseline: str | None = None, where: str = "record") -> Record:
    """The record of what pytest --benchmark-json wrote.

    What cnnx's own benchmarks say in `extra_info` becomes a figure with its ratios, the reference's own times are left
    out. All else is as `read_any` has it.
    """
    return _record(found, of_pytest.read, TOOLS[0][2], baseline, where)


def read_folder(folder: str | os.PathLike[str]) -> list[Record]:
    """All records of a folder and those within it, the oldest first: `.benchmarks`, asv's `results`, any other.

    A record without a commit is called by its file's name; those without dates are in the order of their files' names.

    Raises
    ------
    RecordError
        There is no file of JSON, or one that no tool is known for.
    OSError
        A file cannot be read.
    """
    paths = sorted(path for path in Path(folder).rglob("*.json") if path.name not in NOT_RESULTS)
    if not paths:
        raise RecordError(f"{folder}: expected files of JSON, got none")
    records = [read_any(path) for path in paths]
    for path, record in zip(paths, records, strict=True):
        record.commit = record.commit or path.stem
    return sorted(records, key=lambda record: record.date)


def _record(found: Mapping[str, Any], read: Reader, what: str, baseline: str | None, where: str) -> Record:
    try:
        record, timed = read(found)
        record.figures = [each.measured for each in (timed if baseline is None else beside(timed, baseline))]
        return record.checked()
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RecordError(f"{where}: expected what {what}, got {broken(error)}") from None
