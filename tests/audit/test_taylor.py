"""Wrong or noisy: the power by which a Taylor remainder falls tells them apart, without a tolerance."""

from typing import Any

import numpy as np
import pytest

import cnnx
from cnnx.audit import audit, gradient_check
from cnnx.audit.checks._taylor import remainder
from cnnx.audit.mutants._mutant import right

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("off", "kind", "power"),
    [(0.0, "right", 2), (1e-2, "wrong", 1), (-1e-4, "wrong", 1), (1e-6, "wrong", 1), (3.0, "wrong", 1)],
)
def test_an_exponential(off: float, kind: str, power: int) -> None:
    found = remainder(lambda h: float(np.exp(1 + h)), np.e + off)
    assert found.kind == kind
    assert found.power == pytest.approx(power, abs=0.25)


def test_a_line_has_no_remainder_unless_its_slope_is_wrong() -> None:
    assert remainder(lambda h: 3 * h, 2.5).kind == "wrong"
    assert remainder(lambda h: 3 * h, 2.5).power == 1
    assert remainder(lambda h: 3 * h, 3.0).kind == "noisy"  # nothing is left, so nothing falls


@pytest.mark.parametrize("seed", range(20))
def test_noise_has_no_power(seed: int) -> None:
    """Noise that is larger than what curvature leaves at any of the steps."""
    rng = np.random.default_rng(seed)
    assert remainder(lambda h: float(rng.normal()) * 1e-2 + h, 1.0).kind == "noisy"


def test_float32_values_are_right_until_they_are_noisy() -> None:
    found = remainder(lambda h: float(np.float32(30 * np.exp(1 + h))), 30 * np.e)
    assert found.kind == "right"
    assert found.floor > 1e-8
    assert "as of a right gradient, down to" in found.words()


def test_steps() -> None:
    """Values that are rounded to steps: what a small h does not change is no remainder. What no h changes is flat."""
    assert remainder(lambda h: round(30 * np.exp(1 + h), 5), 30 * np.e).kind != "wrong"
    assert remainder(lambda h: 7.0, 0.5).kind == "flat"


def test_a_kink_is_on_one_side() -> None:
    """The slope at a kink is that of the left, as relu's is: 0."""
    assert remainder(lambda h: max(h, 0.0), 0.0).kind == "one side"
    assert remainder(lambda h: abs(h), 0.0).kind == "wrong"


def test_the_check_tells_a_wrong_gradient() -> None:
    x = {"x": np.array([1.0, 2.0])}
    report = gradient_check(lambda a: float((a["x"] ** 3).sum()), x, {"x": np.array([3.0, 12.5])})
    assert report.share > 1
    assert report.remainder is not None
    assert (report.at, report.remainder.kind) == ("x[1]", "wrong")
    assert gradient_check(lambda a: float((a["x"] ** 3).sum()), x, {"x": np.array([3.0, 12.0])}).remainder is None


def kernels(name: str, wrong: Any) -> dict[str, Any]:
    return {kernel: right(kernel) for kernel in cnnx.backend.kernel_names("optimized")} | {name: wrong}


def found_of(op: str, given: dict[str, Any]) -> list[str]:
    cnnx.register_backend("theirs", given)
    return [d.what for d in audit([op], backend="theirs", checks=["gradient"], measure=False).discrepancies()]


def test_a_kernel_whose_gradient_is_wrong() -> None:
    def halved(Delta: Any, Z: Any, dZ: Any) -> None:
        right("gelu_grad_input")(Delta, Z, dZ)
        dZ *= 0.75

    found = found_of("gelu", kernels("gelu_grad_input", halved))
    assert found
    assert all(what.endswith(", of a right gradient as h^2: it is wrong") for what in found)


def test_a_kernel_whose_values_are_noisy() -> None:
    """The gradient is right; the values are those of float32, though doubles are asked for."""

    def in_float32(Z: Any, Y: Any) -> None:
        right("gelu")(Z, Y)
        Y[...] = Y.astype("float32")

    found = found_of("gelu", kernels("gelu", in_float32))
    assert found
    assert not [what for what in found if what.endswith("it is wrong")]
    assert all("the values are noisy" in what for what in found)
