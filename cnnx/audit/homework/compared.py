"""Homework's results beside others: it tells mistakes apart, and judges nothing."""

from typing import Any

import numpy as np

from ..data import Array


def same(a: Any, b: Any) -> bool:
    """Whether two results are the same numbers but for rounding: it only tells mistakes apart, and judges nothing."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype.kind not in "fiub":
        return False
    size = float(np.abs(b).max(initial=0.0))
    return bool(np.allclose(a, b, 1e-9, 1e-12 * (size or 1.0), equal_nan=True))


def ratio_of(got: Array, right: Array) -> float:
    """The factor between what came and what is right, to some digits; NaN if there is none."""
    if got.shape != right.shape or not np.any(right) or not np.all(np.isfinite(got)):
        return float(np.nan)
    at = np.unravel_index(np.argmax(np.abs(right)), right.shape)
    factor = float(got[at] / right[at])
    return round(factor, 9) if factor and same(got, factor * right) else float(np.nan)
