"""How many processors this process may use: those of its affinity, and no more than its control groups' quotas pay for.

A container has all processors of its machine in sight and often a quota of less: with a thread for each it would be
stopped for most of every period, in the middle of its work.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def in_affinity() -> int:
    """How many processors the system lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(root: Path = ROOT) -> float | None:
    """How many processors' time the control groups give this process, v1 or v2; None without a limit.

    The least of its own group's and those of the groups around it. `root` has the folders `proc` and `sys`.

    Examples
    --------
    >>> from cnnx import _processors
    >>> given = _processors.quota()
    >>> given is None or given > 0
    True
    """
    return min(_quotas(root), default=None)


def usable(root: Path = ROOT) -> int:
    """How many threads can compute at once: a quota of two and a half processors keeps three threads busy."""
    given = quota(root)
    return in_affinity() if given is None else max(1, min(in_affinity(), math.ceil(given)))


def _quotas(root: Path) -> Iterator[float]:
    """Of each group that this process is in and that has one."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return  # no control groups here, or none to be seen
    mounts = root / "sys/fs/cgroup"
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        names = controllers.split(",")
        if not controllers:  # version 2; "unified" where it stands beside version 1
            for mount in (mounts, mounts / "unified"):
                for group in _groups(mount, path):
                    yield from _rate(*_words(group / "cpu.max"))
        elif "cpu" in names:
            for mount in dict.fromkeys((mounts / controllers, mounts / "cpu")):
                for group in _groups(mount, path):
                    limit, period = _words(group / "cpu.cfs_quota_us"), _words(group / "cpu.cfs_period_us")
                    yield from _rate(*limit, *period)


def _groups(mount: Path, path: str) -> Iterator[Path]:
    """A group and those around it. In a container the outermost is its own, and the path may be that on the host."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, UnicodeDecodeError):
        return []


def _rate(limit: str = "max", period: str = "", *_: str) -> Iterator[float]:
    """Microseconds of a period; "max" and -1 are no limit."""
    if limit.isdecimal() and period.isdecimal() and int(limit) > 0 and int(period) > 0:
        yield int(limit) / int(period)
