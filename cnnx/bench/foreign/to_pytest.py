"""A record as pytest --benchmark-json writes it, for `pytest-benchmark compare` and whatever else reads such files."""

import platform
import statistics
from typing import Any

import numpy as np

from ..record import Measured, Record
from .of_pytest import BY_CNNX, OWN


def as_pytest(record: Record) -> dict[str, Any]:
    """The file's JSON; a round is a timing.

    `read_any` makes the same figures of it, with their ratios, which stand in `extra_info`: other programs see the
    seconds alone.
    """
    versions = record.versions
    commit = record.commit.removesuffix("+")
    return {
        "machine_info": {
            "node": "",
            "processor": record.fingerprint.get("processor", ""),
            "machine": platform.machine(),
            "python_compiler": record.fingerprint.get("compiler", ""),
            "python_implementation": platform.python_implementation(),
            "python_version": versions.get("python", ""),
            "system": platform.system(),
            "cpu": {"brand_raw": record.fingerprint.get("processor", "")},
            "cnnx": record.fingerprint,
        },
        "commit_info": {
            "id": commit or "unversioned",
            "time": None,
            "author_time": None,
            "dirty": record.commit.endswith("+"),
            "project": "cnnx",
            "branch": "(unknown)",
        },
        "benchmarks": [_benchmark(measured) for measured in record.figures if measured.seconds],
        "datetime": record.date,
        "version": f"{BY_CNNX} {versions.get('cnnx', '')}",
    }


def _benchmark(measured: Measured) -> dict[str, Any]:
    name = str(measured.figure)
    return {
        "group": measured.figure.op,
        "name": name,
        "fullname": name,
        "params": None,
        "param": None,
        "extra_info": {OWN: measured.as_dict()},
        "options": {},
        "stats": _stats(measured.seconds),
    }


def _stats(seconds: list[float]) -> dict[str, Any]:
    """What pytest-benchmark says of timings, by its names."""
    low, q1, median, q3, high = (float(q) for q in np.quantile(seconds, [0, 0.25, 0.5, 0.75, 1]))
    mean, deviation = statistics.fmean(seconds), statistics.stdev(seconds) if len(seconds) > 1 else 0.0
    fence = 1.5 * (q3 - q1)
    within = [second for second in seconds if q1 - fence <= second <= q3 + fence]
    far = sum(abs(second - mean) > deviation for second in seconds)
    return {
        "min": low,
        "max": high,
        "mean": mean,
        "stddev": deviation,
        "rounds": len(seconds),
        "median": median,
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": len(seconds) - len(within),
        "stddev_outliers": far,
        "outliers": f"{far};{len(seconds) - len(within)}",
        "ld15iqr": min(within),
        "hd15iqr": max(within),
        "ops": 1 / mean,
        "total": sum(seconds),
        "data": seconds,
        "iterations": 1,
    }
