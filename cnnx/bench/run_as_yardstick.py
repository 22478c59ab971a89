"""A yardstick for files without any: the other benchmarks of the same run, their times' geometric mean."""

import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .record import Figure, Measured, Record

RUN = "run"


def by_run(figures: Sequence[Measured]) -> dict[Figure, Measured]:
    """The figures with the ratio of all the others' time, a geometric mean, to their own, round by round.

    Others with fewer rounds count with their median. That a figure itself is left out of its mean makes no difference
    to the test, but shows a change at its full size. Needs two figures.
    """
    if len(figures) < 2:
        return {}
    rounds = max(len(measured.seconds) for measured in figures)
    logs = np.array(
        [np.log(m.seconds if len(m.seconds) == rounds else [statistics.median(m.seconds)] * rounds) for m in figures]
    )
    others = (logs.sum(axis=0) - logs) / (len(figures) - 1)
    return {
        m.figure: replace(m, ratios={RUN: (np.exp(log[: len(m.seconds)]) / m.seconds).tolist()})
        for m, log in zip(figures, others, strict=True)
    }


def along(records: Sequence[Record]) -> list[Record]:
    """The runs of a machine, oldest first, each figure beside the others of its run; figures may come and go.

    The mean's level goes from run to run by those figures alone that have been seen before, as a price index does with
    its goods: a benchmark that is new moves no other. Runs that have ratios already, or a single figure, stay as they
    are.

    Examples
    --------
    >>> a, b, c = (Figure(name, "", "", 0, "") for name in "abc")
    >>> def run(**seconds):
    ...     return Record({}, [Measured(Figure(name, "", "", 0, ""), seconds=[s]) for name, s in seconds.items()])
    >>> runs = along([run(a=1.0, b=1.0), run(a=3.0, b=3.0, c=1000.0), run(a=2.0, b=1.0, c=500.0)])
    >>> [round(float(record.by_figure()[b].ratios["run"][0]), 2) for record in runs]
    [1.0, 1.0, 1.73]
    """
    if any(measured.ratios for record in records for measured in record.figures):
        return list(records)
    order = {figure: k for k, figure in enumerate(dict.fromkeys(m.figure for r in records for m in r.figures))}
    # By figure (row): what is left of each other's time (column) when the level is taken off it.
    apart = np.full((len(order), len(order)), np.nan)
    works: dict[Figure, str] = {}
    found = []
    for record in records:
        timed = [measured for measured in record.figures if measured.seconds]
        for measured in timed:
            if works.setdefault(measured.figure, measured.work) != measured.work:  # as good as new
                apart[:, order[measured.figure]] = np.nan
                works[measured.figure] = measured.work
        beside = by_run(timed)
        here = np.array([order[measured.figure] for measured in timed], int)
        logs = np.log([statistics.median(measured.seconds) for measured in timed])
        for measured in timed if beside else ():
            row = order[measured.figure]
            others = here != row
            left = logs - apart[row, here]
            seen = ~np.isnan(left)
            mean = float(logs[others].mean())
            # If all others are new, nothing is known of the figure: it counts as what it was.
            level = float(left[seen & others if (seen & others).any() else seen].mean()) if seen.any() else mean
            apart[row, here] = logs - level
            ratios = [ratio * float(np.exp(level - mean)) for ratio in beside[measured.figure].ratios[RUN]]
            beside[measured.figure] = replace(measured, ratios={RUN: ratios})
        found.append(replace(record, figures=[beside.get(m.figure, m) for m in record.figures]))
    return found
