"""The loop of a search: draw some cases, take the one with most that is new, and judge it."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from ...ops import OPS, Case, Op
from ..report.axes import COMMON
from .corners import Corners
from .draws import NARROW, WIDE, Drawn, Limits
from .spaces import drawn
from .standing import STANDING

SHARE = 4  # cases of each op in every audit
SHARE_SECONDS = 2.0  # after which a slow back end is asked for no further one of them
CANDIDATES = 4  # of which the one with most that is new is taken
FAILURES = 3  # failing cases, after which an op is searched no further
SELF_TEST = 24  # cases that the audit's self-test has
DTYPES = COMMON["dtype"]


class Effort(NamedTuple):
    """How much is searched of each op: for so many seconds, or so many cases; whichever comes first."""

    seconds: float = SHARE_SECONDS
    cases: int | None = SHARE
    limits: Limits = NARROW


def effort(seconds: float | None, cases: int | None, ops: int) -> Effort:
    """The effort for each of so many ops.

    seconds : of the whole search, or None; cases : of each op, or None. With neither it is an audit's share.
    """
    if seconds is None and cases is None:
        return Effort()
    return Effort(float("inf") if seconds is None else seconds / max(ops, 1), cases, WIDE)


class Step(NamedTuple):
    """A case of a search and the dtype in which it is judged."""

    case: Case
    dtype: str


def steps(op: Op, seed: int, dtypes: tuple[str, ...], limits: Limits, corners: Corners) -> Iterator[Step]:
    """The cases of a search, without end: the same ones for the same arguments."""
    rng = np.random.default_rng([seed, *b"search", *op.name.encode()])
    number = 0
    while True:
        candidates = [_with_dtype(drawn(op, rng, limits, corners), rng, dtypes) for _ in range(CANDIDATES)]
        best = max(candidates, key=lambda d: corners.unmet(d.settings))
        corners.axes["dtype"] = dtypes
        corners.add(best.settings, best.extents)
        yield Step(replace(best.case, name=f"search {number}"), best.settings["dtype"])
        number += 1


def within(steps_: Iterator[Step], much: Effort) -> Iterator[Step]:
    """The first steps, as many as an effort allows; at least one."""
    end = time.monotonic() + much.seconds
    for number, step in enumerate(steps_, 1):
        yield step
        if number == much.cases or time.monotonic() > end:
            return


def standing(op: Op, dtypes: tuple[str, ...]) -> Iterator[Step]:
    """The cases that every search of an op begins with."""
    for case in STANDING.get(op.name, ()):
        for dtype in dtypes:
            yield Step(case, dtype)


@cache
def first_cases(name: str) -> tuple[Case, ...]:
    """The first cases that seed 0 draws of an op, all within the limits of an audit's share."""
    op = next(op for op in OPS if op.name == name)
    drawn_ = steps(op, 0, DTYPES, NARROW, Corners(op, DTYPES))
    return tuple(next(drawn_).case for _ in range(SELF_TEST))


def _with_dtype(d: Drawn, rng: np.random.Generator, dtypes: tuple[str, ...]) -> Drawn:
    settings: Mapping[str, str] = {**d.settings, "dtype": dtypes[int(rng.integers(len(dtypes)))]}
    return Drawn(d.case, settings, d.extents)
