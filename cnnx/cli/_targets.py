"""What `cnnx bench --cases` prints: which targets are reached, or what memory convolutions need."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from cnnx._text import aligned
from cnnx.bench.cases import Cases
from cnnx.bench.memory import needed
from cnnx.bench.record import LIMIT, Figure, Record

from ._bench_text import head, limits, time, warn

BUSY = 0.5  # processes that run or wait to run, over the last minute
SECTIONS = {LIMIT: "the limit's time / cnnx's, which is the share of it that is reached"}


def check(figures: Sequence[Figure], cases: Cases, peers: Sequence[str]) -> None:
    """Raise where a figure has nothing to be measured beside; say so if the machine is busy."""
    if not peers and any(cases.beside(figure) != LIMIT for figure in figures):
        raise ValueError(f"--cases: expected --vs, as {cases.source} has figures that are measured beside a peer")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > BUSY:
        warn(f"the machine is busy (load {load:.1f}): figures will be noisy")


def lines(record: Record) -> Iterator[str]:
    """The figures of a run beside their targets."""
    assert record.targets is not None
    yield head(record)
    for name, side in record.targets["sides"].items():
        if "instruction set" in side:
            yield f"{name} says that it uses {side['instruction set']}"
    yield from limits(record)
    verdicts = [*record.targets["figures"], *record.targets["means"]]
    for threads, beside in dict.fromkeys((v["threads"], v["beside"]) for v in verdicts):
        rows = [["figure", "cnnx", beside, "ratio", "quartiles", "target", "verdict"]]
        mine = [v for v in verdicts if (v["threads"], v["beside"]) == (threads, beside)]
        for group in dict.fromkeys(v["group"] for v in mine):
            rows += [_row(v) for v in mine if v["group"] == group]
        yield ""
        count = f"{threads} thread{'s' * (threads != 1)}"
        yield f"{count}, ratio: {SECTIONS.get(beside, f'the time of {beside} / that of cnnx')}"
        yield from aligned(rows)
    yield ""
    rounds = max((len(measured.seconds) for measured in record.figures), default=0)
    yield f"ratio: the median of {rounds} round{'s' * (rounds != 1)}, half of which lie between the quartiles"
    whys = {(name, why) for measured in record.figures for name, why in measured.missing.items()}
    for name, why in sorted(whys):
        without = [m.figure.case for m in record.figures if m.missing.get(name) == why]
        yield f"{name}: none for {', '.join(dict.fromkeys(without))}: {why}"


def _row(verdict: dict[str, Any]) -> list[str]:
    seconds, ratio, quartiles = verdict["seconds"], verdict["ratio"], verdict["quartiles"]
    return [
        verdict["name"],
        "" if seconds is None else time(seconds),
        "" if seconds is None else "-" if ratio is None else time(seconds * ratio),
        _number(ratio),
        "" if quartiles is None else f"{quartiles[0]:.2f}-{quartiles[1]:.2f}",
        _number(verdict["target"]),
        verdict["verdict"],
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def memory(figures: Sequence[Figure], cases: Cases) -> Iterator[str]:
    """What direct convolutions need, each shape once."""
    rows = [["case", "threads", "extra", "allowed", "im2col, an image", "im2col, the batch", "within"]]
    seen = set()
    for figure in figures:
        case = cases.entry(figure).case
        key = repr([figure.threads, figure.dtype, case.arrays, case.options])
        direct = case.options.get("algorithm", "direct") == "direct"
        if (figure.op, figure.direction) == ("conv2d", "forward") and direct and key not in seen:
            seen.add(key)
            call = cases.call_of(figure)
            found = needed(call.arrays, figure.threads, dict(call.options))
            sizes = (found.extra, found.allowed, found.im2col, found.im2col_batch)
            within = "yes" if found.within else "no"
            rows.append([figure.case, str(figure.threads), *(f"{size / 2**20:.2f} MiB" for size in sizes), within])
    if len(rows) == 1:
        raise ValueError("--memory: expected a direct convolution, forward, among the cases, got none")
    yield "memory that conv2d needs beside its arrays"
    yield from aligned(rows)
