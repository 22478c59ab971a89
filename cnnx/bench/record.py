"""What a run found: figures, and for each the ratios to its yardsticks, round by round; as JSON."""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from .._files import reading, replacing

VERSION = 1
LIMIT, REFERENCE = "limit", "reference"  # yardsticks that every figure has; the others are peers
BASE = "base"  # and the commit that a tree is held against
PEERS = ("torch", "onnxruntime", "numpy")
# Tools, among the versions of a record that was read from their files.
PYTEST, ASV, GOOGLE, HYPERFINE, PYPERF = TOOLS = (
    "pytest-benchmark",
    "asv",
    "Google Benchmark",
    "hyperfine",
    "pyperf",
)
SECONDS = "seconds"  # in `missing`: the figure has no times
MULTIPLY_ADDS, COPY = "multiply-adds", "copy"  # what may bind


class RecordError(ValueError):
    """A file is no record of a run."""


@dataclass(frozen=True)
class Figure:
    """What is timed.

    direction : "forward" or "backward".

    Benchmarks of other projects, read from other tools' files, have a name in `op`, parameters in `case`, and 0
    threads: nobody knows.
    """

    op: str
    case: str
    direction: str
    threads: int
    dtype: str = "float32"

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}" if self.threads else ""
        dtype = "" if self.dtype == "float32" else self.dtype
        return ", ".join(filter(None, (self.op, self.case, self.direction, threads, dtype)))


@dataclass
class Measured:
    """What was found of a figure. A round has one number per yardstick: its time over ours, so that more is better.

    multiply_adds : of the equation; 0 where it has no sums of products.
    bytes : that must move: each array read or written once.
    bound : the limit that binds, "multiply-adds" or "copy"; "" where nothing has to be done.
    seconds : of our call, by round.
    ratios : by yardstick and round: "limit" (the share of the machine's limit), "reference" (the speed-up), peers.
    extrapolated : the reference's time comes from one row of its output.
    missing : by peer, why it has no such thing; or of the seconds.
    work : what is computed, where a file of another tool says it: asv has a checksum of the benchmark's code.
    """

    figure: Figure
    multiply_adds: int = 0
    bytes: int = 0
    bound: str = ""
    seconds: list[float] = field(default_factory=list)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    extrapolated: bool = False
    missing: dict[str, str] = field(default_factory=dict)
    work: str = ""

    def yardsticks(self) -> list[str]:
        """Those that it was measured by, the one that decides first."""
        found = (name for name, ratios in self.ratios.items() if ratios)
        return sorted(found, key=lambda name: (*(name != each for each in (LIMIT, REFERENCE, BASE)), name))

    def as_dict(self) -> dict[str, Any]:
        """The figure's own fields first."""
        left_out = {"figure"} if self.work else {"figure", "work"}
        fields = {name: value for name, value in vars(self).items() if name not in left_out}
        return {**asdict(self.figure), **fields}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Self:
        """The reverse."""
        names = Figure.__dataclass_fields__
        figure = Figure(**{name: found[name] for name in names})
        return cls(figure, **{name: value for name, value in found.items() if name not in names})


@dataclass
class Record:
    """One run.

    fingerprint : what has to be equal for two runs to be comparable.
    commit : of the sources that were measured, with "+" behind it if they were changed; "" where nobody knows.
    date : ISO 8601, UTC.
    limits : by number of threads: multiply-adds and copied bytes (read and written) per second.
    targets : of a run of a file of cases, what `cnnx.bench.targets.judge` says, and what the sides say of themselves.
    """

    fingerprint: dict[str, str]
    figures: list[Measured] = field(default_factory=list)
    commit: str = ""
    date: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    limits: dict[str, dict[str, float]] = field(default_factory=dict)
    command: str = ""
    interrupted: bool = False
    targets: dict[str, Any] | None = None

    def by_figure(self) -> dict[Figure, Measured]:
        """What was found, by figure."""
        return {measured.figure: measured for measured in self.figures}

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        left_out = {"figures"} if self.targets is not None else {"figures", "targets"}
        found = {name: value for name, value in vars(self).items() if name not in left_out}
        return {"cnnx_bench": VERSION, **found, "figures": [measured.as_dict() for measured in self.figures]}

    @classmethod
    def from_dict(cls, found: object, where: str = "record") -> Self:
        """The reverse.

        Raises
        ------
        RecordError
            It is not a record, or one of another version.
        """
        if not isinstance(found, dict) or "cnnx_bench" not in found:
            raise RecordError(f'{where}: expected what cnnx bench --json writes, with a "cnnx_bench", got none')
        if found["cnnx_bench"] != VERSION:
            raise RecordError(f"{where}: expected cnnx_bench {VERSION}, got {found['cnnx_bench']!r}: measure again")
        try:
            rest = {name: value for name, value in found.items() if name not in ("cnnx_bench", "figures")}
            return cls(figures=[Measured.from_dict(each) for each in found["figures"]], **rest).checked()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordError(f"{where}: expected what cnnx bench --json writes, got {broken(error)}") from None

    def checked(self) -> Self:
        """Itself, if it can be compared with others.

        Raises
        ------
        TypeError, ValueError
            Facts that are not words, a figure that is there twice, times or ratios that are not positive numbers.
        """
        facts = (*self.fingerprint.values(), *self.versions.values(), self.commit, self.date, self.command)
        if not all(isinstance(fact, str) for fact in facts):
            raise TypeError("fingerprint, versions, commit, date and command: expected words")
        if not all(0 < rate < math.inf for limit in self.limits.values() for rate in limit.values()):
            raise ValueError("limits: expected positive numbers")
        for measured in self.figures:
            *words, threads = (
                getattr(measured.figure, name) for name in ("op", "case", "direction", "dtype", "threads")
            )
            if not all(isinstance(word, str) for word in words) or not isinstance(threads, int):
                raise TypeError(f"{words}: expected the words and the number of threads of a figure")
            for name, samples in {"seconds": measured.seconds, **measured.ratios}.items():
                if not isinstance(samples, list) or not all(0 < sample < math.inf for sample in samples):
                    raise ValueError(f"{measured.figure}: {name}: expected a list of positive numbers")
        for figure, count in Counter(measured.figure for measured in self.figures).items():
            if count > 1:
                raise ValueError(f"{figure}: expected once, got {count} times")
        return self

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it as a whole or not at all."""
        write_json(self.as_dict(), path)


def broken(error: Exception) -> str:
    """What a file is called that made this error."""
    return f"a broken one ({error if type(error) is ValueError else f'{type(error).__name__}: {error}'})"


def write_json(found: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a file of JSON, as a whole or not at all."""
    with replacing(path) as file:
        file.write((json.dumps(found, indent=1) + "\n").encode())


def load_json(path: str | os.PathLike[str]) -> Any:
    """What a file of JSON holds.

    Raises
    ------
    RecordError
        It is not JSON.
    OSError
        It cannot be read.
    """
    with reading(path) as file:
        try:
            return json.load(file)
        except ValueError as error:  # of the text or of its encoding
            raise RecordError(f"{path}: expected JSON, got none ({error})") from None
