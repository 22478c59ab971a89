"""A file of cases: shapes beside the ops' own, by group, and the ratios that each has to reach."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from .. import nn
from ..ops import Case, Draw
from .figures import BY_NAME, TOLERANCE, Call, among, call_of_case
from .record import Figure

NETWORK, UPDATE = "cn_network", "update"  # CN's network stands for an op, whose one direction is an update
CLASSES = 10

Targets = Mapping[str, tuple[float, ...]]  # by instruction set: on 1 thread, on 2 threads, ...


def target(targets: Targets, threads: int, isa: str) -> float | None:
    """The least ratio that is asked for, if any is."""
    by_threads = targets.get(isa, ())
    return by_threads[threads - 1] if threads <= len(by_threads) else None


@dataclass(frozen=True)
class Entry:
    """A case of a group: what is called, and the ratio to be reached."""

    group: str
    name: str
    op: str
    direction: str
    case: Case
    dtype: str = "float32"
    tolerance: float = TOLERANCE
    target_ratio: Targets = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The case's name in a figure, and in `--case`."""
        return f"{self.group} {self.name}"


@dataclass(frozen=True)
class Group:
    """Cases that have a mean. beside: whom their targets are about, a peer or the machine's limit."""

    name: str
    beside: str
    target_mean: Targets
    entries: tuple[Entry, ...]


class Cases:
    """The groups of a file, and the calls that its figures stand for."""

    def __init__(self, source: str, groups: Iterable[Group]) -> None:
        self.source = source
        self.groups = {group.name: group for group in groups}
        self._entries = {entry.key: entry for group in self.groups.values() for entry in group.entries}

    def chosen(
        self,
        groups: Iterable[str] | None = None,
        ops: Iterable[str] | None = None,
        cases: Iterable[str] | None = None,
        directions: Iterable[str] | None = None,
        threads: Iterable[int] = (1,),
        dtypes: Iterable[str] | None = None,
    ) -> list[Figure]:
        """The figures of these groups, ops, ...; None: all of them.

        Raises
        ------
        ValueError
            The file has none of that name.
        """
        entries = list(self._entries.values())
        asked = {"group": groups, "op": ops, "case": cases, "direction": directions, "dtype": dtypes}
        for what, names in asked.items():
            values = [getattr(entry, "key" if what == "case" else what) for entry in entries]
            wanted = among(what, names, values)
            entries = [entry for entry, value in zip(entries, values, strict=True) if value in wanted]
        return [
            Figure(entry.op, entry.key, entry.direction, count, entry.dtype)
            for count, entry in product(threads, entries)
        ]

    def entry(self, figure: Figure) -> Entry:
        """What the file says of a figure."""
        return self._entries[figure.case]

    def beside(self, figure: Figure) -> str:
        """What its target is about: a peer, or "limit"."""
        return self.groups[self.entry(figure).group].beside

    def call_of(self, figure: Figure) -> Call:
        """The call that a figure stands for, its arrays drawn from one seed.

        Raises
        ------
        ValueError
            The op does not take these arrays or options.
        """
        entry = self.entry(figure)
        try:
            if entry.op == NETWORK:
                return _update(entry, figure)
            call = call_of_case(figure, BY_NAME[entry.op], entry.case, entry.tolerance)
            if figure.direction in ("forward", "both"):  # the others have made a forward call
                call(**({"backend": "optimized"} if BY_NAME[entry.op].kernels else {}))
            return call
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.source}: groups.{entry.group}.cases.{entry.name}: {error}") from None


def _update(entry: Entry, figure: Figure) -> Call:
    """Images, classes and the network's parameters, which the sides take from here."""
    x = entry.case.arrays["x"]
    if isinstance(x, Draw) or len(x) != 4:
        raise ValueError(f"x: expected a shape (N, C, H, W), got {x}")
    N, C, H, W = x
    rng = np.random.default_rng(0)
    arrays = {"x": rng.standard_normal(x).astype(entry.dtype), "target": rng.integers(CLASSES, size=N)}
    for name, value in nn.cn_network(image=(C, H, W), classes=CLASSES).parameters.items():
        arrays[name] = (0.1 * rng.standard_normal(value.shape)).astype(entry.dtype)
    return Call(figure, nn.cn_network, arrays, {"image": (C, H, W), "classes": CLASSES}, entry.tolerance)
