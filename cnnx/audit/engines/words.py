"""What failing checks are, in words: written by hand, after a look at plain calls of the engine."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .record import Failing, Record

FILE = "faults.toml"


@dataclass(frozen=True)
class Fault:
    """Words, and the failing checks that they are about.

    engines : whose; kernels : patterns, as of a shell, of kernels, or of ops where a check names no kernel; checks and
    dtypes : which, () for any. Without kernels it is about no check, but something else that was seen.
    convention : whether it is no fault, but what the engine means.
    """

    engines: tuple[str, ...]
    words: str
    kernels: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    convention: bool = False

    def about(self, engine: str, one: Failing) -> bool:
        """Whether it is what fails here."""
        name = one.kernel or one.op
        return (
            engine in self.engines
            and any(fnmatchcase(name, pattern) for pattern in self.kernels)
            and (not self.checks or one.check in self.checks)
            and (not self.dtypes or one.dtype in self.dtypes)
        )


def faults(folder: Path) -> list[Fault]:
    """Those of the folder's file."""
    found = tomllib.loads((folder / FILE).read_text(encoding="utf-8"))["fault"]

    def fields(one: dict[str, Any]) -> dict[str, Any]:
        return {name: tuple(value) if isinstance(value, list) else value for name, value in one.items()}

    return [Fault(**fields(one)) for one in found]


def others(folder: Path) -> list[str]:
    """Of engines that were not judged: why, and what is known."""
    return [*tomllib.loads((folder / FILE).read_text(encoding="utf-8"))["others"]]


def nameless(record: Record, known: Iterable[Fault]) -> list[Failing]:
    """What fails and nobody has a word for."""
    known = [*known]
    return [one for one in record.failing() if not any(fault.about(record.engine, one) for fault in known)]
