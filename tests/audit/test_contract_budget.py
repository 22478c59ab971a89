"""The error budget of a contract follows from dtype and accumulator: as wide as right kernels need, and no wider."""

from typing import Any

import foreign
import numpy as np
import pytest
from foreign import GEOMETRY, NHWC

from cnnx.audit import audit, kernel
from cnnx.audit.kinds import held, limits, numbers
from cnnx.audit.truth.arithmetic import Bounded
from cnnx.audit.truth.precision import Precision

pytestmark = pytest.mark.once

SEEDS = 20
LONG, SHORT = 512, 16  # terms of a sum: whose errors in float32 show beside a rounding to two bytes, and do not
HALVES = ("float16", "bfloat16")


def needs(dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="NumPy has no bfloat16")


# ----------------------------------------------------------------------------- the last rounding


@pytest.mark.parametrize("dtype", HALVES)
def test_a_rounding_is_within_its_bound_and_reaches_it(dtype: str) -> None:
    needs(dtype)
    rng = np.random.default_rng(0)
    precision = Precision(dtype, "float32", dtype)
    values = (rng.standard_normal(20_000) * 2.0 ** rng.integers(-30, 12, 20_000)).astype("float32")
    off = np.abs(held(values, dtype).astype(float) - values)
    bounds = np.array([precision.rounded(float(v), 0.0) for v in values])
    assert (off <= bounds).all()
    assert (off / bounds).max() > 0.99


@pytest.mark.parametrize("dtype", HALVES)
def test_limits_are_those_of_the_dtype(dtype: str) -> None:
    needs(dtype)
    found, kind = limits(dtype), numbers(dtype)
    one = np.ones((), kind)
    following = np.array(int(one.view("uint16")) + 1, "uint16").view(kind)
    assert found.u == float(following - one) / 2
    assert found.subnormal == float(np.array(1, "uint16").view(kind))
    infinity = int(np.array(np.inf, kind).view("uint16"))
    assert found.largest == float(np.array(infinity - 1, "uint16").view(kind))
    assert float(held(np.array(found.normal), dtype)) == found.normal


def test_what_leaves_the_range_is_not_judged() -> None:
    precision = Precision("float16", "float32", "float16")
    assert precision.overflows(65519.0, 1.0)
    assert not precision.overflows(65000.0, 1.0)
    assert precision.rounded(65519.0, 1.0) == np.inf


def test_the_bound_of_a_sum_is_that_of_its_accumulator() -> None:
    """n - 1 additions and a product each, in float32, and one rounding to float16: by hand."""
    precision = Precision("float16", "float32", "float16")
    x, w = np.float16([1.5, -2.25, 3.0]), np.float16([0.5, 4.0, 1.25])
    total = sum(
        Bounded(float(a), precision.eps, precision.tiny) * Bounded(float(b), precision.eps, precision.tiny)
        for a, b in zip(x, w, strict=True)
    )
    mass = 0.75 + 9.0 + 3.75
    in_single = 2.0**-24 * mass + 2 * 2.0**-24 * mass
    assert total.error == pytest.approx(in_single, rel=1e-6)
    assert precision.rounded(-4.5, total.error) == pytest.approx(in_single + 2.0**-11 * (4.5 + in_single), rel=1e-6)


def test_no_rounding_at_last_where_the_result_is_as_wide() -> None:
    assert Precision("bfloat16", "float32", "float32").rounded(3.0, 1e-6) == 1e-6
    assert Precision.of("float32").rounded(3.0, 1e-6) == 1e-6
    assert Precision("float32", "bfloat16", "float32").rounded(3.0, 1e-2) == 1e-2


# --------------------------------------------------------------------------------- whole kernels


def long_rows(dtype: str, within: str, wide: int = LONG) -> Any:
    """An affine layer of long rows, summed term by term in `within`."""

    def summed(x: Any, weight: Any) -> Any:
        total = np.zeros((len(x), len(weight)), numbers(within))
        for j in range(x.shape[1]):
            total = total + x[:, None, j].astype(total.dtype) * weight[None, :, j].astype(total.dtype)
        return total.astype(x.dtype)

    return kernel(
        "affine", summed, arguments=["x", "weight"], dtype=dtype, accumulator="float32", name=f"{dtype} in {within}",
        only={"J": wide, "I": 24, "N": 4} if wide == SHORT else {"J": wide, "I": 2, "N": 1},
    )  # fmt: skip


@pytest.mark.parametrize("dtype", HALVES)
def test_right_sums_pass_for_all_seeds_and_use_the_budget(dtype: str) -> None:
    needs(dtype)
    shares = []
    for seed in range(SEEDS):
        report = audit(backend=long_rows(dtype, "float32"), checks=["bound"], seed=seed)
        assert report.ok, report.text()
        report = audit(backend=long_rows(dtype, "float32", SHORT), checks=["bound", "exact"], seed=seed)
        assert report.ok, report.text()
        shares += [result.share for result in report.results if result.share is not None]
    assert len(shares) == SEEDS
    assert max(shares) > 0.9  # so that it would fail with a budget a tenth smaller


@pytest.mark.parametrize("dtype", HALVES)
def test_sums_in_two_bytes_fail_for_all_seeds(dtype: str) -> None:
    needs(dtype)
    for seed in range(SEEDS):
        report = audit(backend=long_rows(dtype, dtype), checks=["bound"], seed=seed)
        assert not report.ok, f"seed {seed}"


def test_right_convolutions_pass_for_all_seeds() -> None:
    contract = kernel(
        "conv2d", foreign.conv, layouts=NHWC, arguments=["x", "weight", *GEOMETRY], dtype="float16",
        accumulator="float32",
    )  # fmt: skip
    for seed in range(SEEDS):
        report = audit(backend=contract, checks=["search"], search_cases=6, seed=seed)
        assert report.ok, report.text()
