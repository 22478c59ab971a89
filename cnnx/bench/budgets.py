"""How much slower a figure may get before it counts: a file of budgets, by op and case."""

import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .._files import reading
from ..ops import OPS
from .record import Figure, Record

DEFAULT = 0.10
PLACE = Path("benchmarks", "budgets.toml")  # where `cnnx bench` looks for them


@dataclass(frozen=True)
class Budgets:
    """A budget is a share of a figure's ratio: 0.10 says that what it loses up to a tenth is no regression.

    source : the file that they come from; "" for the default alone.

    Examples
    --------
    >>> Budgets(by_name={"conv2d, cn layer 2": 0.08}).of(Figure("conv2d", "cn layer 2", "forward", threads=1))
    0.08
    """

    default: float = DEFAULT
    by_name: Mapping[str, float] = field(default_factory=dict)
    source: str = ""

    def of(self, figure: Figure) -> float:
        """The budget of a figure."""
        return self.by_name.get(name_of(figure), self.default)

    def __str__(self) -> str:
        numbers = sorted({self.default, *self.by_name.values()})
        span = " to ".join(f"{100 * number:g} %" for number in dict.fromkeys((numbers[0], numbers[-1])))
        return f"{span}, {self.source}" if self.source else f"{span}, as there is no {PLACE}"


def name_of(figure: Figure) -> str:
    """What a figure's line is called: "op, case"; for tests of other projects their full name."""
    return ", ".join(filter(None, (figure.op, figure.case)))


def find(
    path: str | os.PathLike[str] | None = None,
    records: Collection[Record] = (),
    folder: Path = Path(),
    names: Collection[str] = (),
) -> Budgets:
    """The budgets of a file; of the one in the folder's benchmarks/ if none is named; the default where neither is."""
    place = folder / PLACE
    if path is None and not place.exists():
        return Budgets()
    return read(place if path is None else path, records, names)


def read(path: str | os.PathLike[str], records: Collection[Record] = (), more: Collection[str] = ()) -> Budgets:
    """The budgets of a file.

    Parameters
    ----------
    path : path
        TOML: a number `default`, and a table `budgets` with a number for each "op, case" that has another one.
    records : collection of Record
        What they are for: a name has to be that of an op's bench case, or of a figure in one of them.
    more : collection of str
        More names of figures.

    Raises
    ------
    ValueError
        It is not TOML, has an unknown name, or a number that is not between 0 and 1.
    OSError
        It cannot be read.
    """
    with reading(path) as file:
        try:
            found = tomllib.loads(file.read().decode())
        except ValueError as error:  # of the text or of its encoding
            raise ValueError(f"{path}: expected TOML, got none ({error})") from None
    unknown = set(found) - {"default", "budgets"}
    if unknown:
        raise ValueError(f"{path}: expected default and [budgets] alone, got {', '.join(sorted(unknown))}")
    table = found.get("budgets", {})
    if not isinstance(table, dict):
        raise ValueError(f"{path}: budgets: expected a table of numbers, got {table!r}")
    names = {f"{op.name}, {case.name}" for op in OPS for case in (*op.bench, *op.large)}
    names |= {name_of(measured.figure) for record in records for measured in record.figures} | set(more)
    for name in table:
        if name not in names:
            raise ValueError(f'{path}: expected "op, case" of a case that is measured, got "{name}"')
    numbers = {"default": found.get("default", DEFAULT), **table}
    for name, number in numbers.items():
        if not isinstance(number, float) or not 0 < number < 1:
            raise ValueError(f"{path}: {name}: expected a number between 0 and 1, as 0.10, got {number!r}")
    return Budgets(numbers.pop("default"), numbers, os.fspath(path))
