"""The arrays of findings, as files."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from .report import Report


def save(report: Report, directory: str | Path) -> int:
    """Write each discrepancy's arrays as .npz; return how many files that were.

    A file holds the kernel's inputs by their names in the reference's signature, the outputs "got" and "expected"
    (of the back end that was compared with), the numbers of the call as "number_<name>", and "repro", the command
    that judges the case again. Findings that are not about one kernel's output have no arrays.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    count = 0
    for i, d in enumerate(report.discrepancies(), 1):
        if d.arrays is None or d.results is None:
            continue
        name = re.sub(r"[^\w.-]+", "-", f"{i:03d}-{d.op}-{d.check}-{d.kernel}-{d.output}-{d.dtype}")
        arrays: dict[str, Any] = {**d.arrays, **d.results, "repro": np.asarray(d.repro)}
        arrays |= {f"number_{key}": np.asarray(value) for key, value in d.numbers.items()}
        np.savez(directory / f"{name}.npz", **arrays)
        count += 1
    return count
