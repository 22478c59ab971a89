"""In which order functions by contract sum float16 and bfloat16: known orders, in NumPy; and the command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_order import TERMS, chain, halved_lanes, lanes, pairwise

import cnnx.cli
from cnnx.audit import Kernel, kernel
from cnnx.audit.order import summation_order

pytestmark = pytest.mark.once

HALVES = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


@pytest.fixture(autouse=True)
def _with_ml_dtypes() -> None:
    pytest.importorskip("ml_dtypes")


def affine(total: Any, dtype: str, within: str, *, bias: str = "last") -> Kernel:
    """Products and sums in numbers of one dtype, whatever the arrays are; rounded at last."""

    def function(x: Any, w: Any, b: Any = None) -> Any:
        kept = x.dtype if within == dtype else np.dtype(within)
        products = x.astype(kept)[:, None] * w.astype(kept)
        sums = total(products, b.astype(kept) if bias == "first" else None)
        return (sums + b.astype(kept) if bias == "last" else sums).astype(x.dtype)

    arguments = ["x", "weight"] + ["bias"] * (bias != "none")
    return kernel("affine", function, name=total.__name__, arguments=arguments, dtype=dtype, accumulator=within)


def words(one: Kernel, **options: Any) -> str:
    found = summation_order(one.op, one, terms=TERMS, **options)
    assert all(order.explained in (-1, 16) for order in found.orders)
    return found.words()


SINGLE = "accumulator float32, products exact"


@HALVES
@pytest.mark.parametrize(
    ("total", "bias", "expected"),
    [
        (chain, "last", f"sequential, bias last, {SINGLE}"),
        (chain, "first", f"sequential, bias first, {SINGLE}"),
        (pairwise, "none", f"pairwise, {SINGLE}"),
        (lanes, "none", f"8 partial sums by stride, joined one after another, {SINGLE}"),
        (halved_lanes, "last", f"8 partial sums by stride, joined by halves, bias last, {SINGLE}"),
    ],
)
def test_summed_in_single(dtype: str, total: Any, bias: str, expected: str) -> None:
    assert words(affine(total, dtype, "float32", bias=bias)) == expected


@pytest.mark.parametrize(("dtype", "name"), [("float16", "float16 or TF32"), ("bfloat16", "bfloat16")])
def test_summed_in_their_own_numbers(dtype: str, name: str) -> None:
    found = words(affine(chain, dtype, dtype))
    assert found == f"sequential, bias last, accumulator {name}, no fused multiply-add"


def test_in_double_bfloat16_is_told_and_float16_does_not_reach_so_far() -> None:
    assert words(affine(chain, "bfloat16", "float64", bias="none")) == "sequential, accumulator float64, products exact"
    found = summation_order("affine", affine(chain, "float16", "float64", bias="none"), terms=TERMS)
    assert found.words().startswith("not determined")


def test_a_convolution_of_a_contract_and_one_that_adds_inputs_first() -> None:
    """Where inputs meet before they are multiplied, a huge one spoils its neighbours: as in Winograd's algorithm."""

    def places(x: Any, w: Any) -> Any:
        R, S = w.shape[2:]
        P, Q = x.shape[2] - R + 1, x.shape[3] - S + 1
        taps = [x[:, :, r : r + P, s : s + Q] for r in range(R) for s in range(S)]
        return np.stack(taps, -1).astype("float32")  # N C P Q RS

    def direct(x: Any, w: Any) -> Any:
        at = np.moveaxis(places(x, w), 1, 3)  # N P Q C RS
        factors = w.reshape(len(w), w.shape[1], -1).astype("float32")
        products = at[:, None] * factors[None, :, None, None]
        return chain(products.reshape(*products.shape[:4], -1), None).astype(x.dtype)

    def spoilt(x: Any, w: Any) -> Any:
        moved = x.astype("float32")
        moved[..., 1::2] += moved[..., ::2][..., : moved[..., 1::2].shape[-1]]
        back = moved.copy()
        back[..., 1::2] -= back[..., ::2][..., : back[..., 1::2].shape[-1]]
        return direct(back.astype(x.dtype), w)

    def of(function: Any) -> str:
        one = kernel("conv2d", function, arguments=["x", "weight"], dtype="float16", accumulator="float32")
        return summation_order("conv2d", one, terms=18).words()

    assert of(direct) == f"sequential over c, r, s, {SINGLE}"
    assert of(spoilt).startswith("inputs are transformed for tiles of outputs")


def test_what_a_contract_does_not_take_is_said() -> None:
    limited = kernel("affine", lambda x, w: x @ w.T, arguments=["x", "weight"], only={"N": 1})
    assert summation_order("affine", limited, terms=TERMS).lacking.startswith("its contract does not take what is")
    mean = kernel("avg_pool2d", lambda x: x, dtype="float16", accumulator="float32", only={"kernel_size": 7})
    assert "float16 has no numbers" in summation_order("avg_pool2d", mean).lacking
    fused = kernel("affine", lambda x, w: x, arguments=["x", "weight"], tail=["relu"])
    with pytest.raises(ValueError, match="backend: expected a kernel of affine and nothing fused"):
        summation_order("affine", fused)
    with pytest.raises(ValueError, match="dtype: expected float32, as the contract says, got 'float64'"):
        summation_order("affine", limited, dtype="float64")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "kernels.py"
    file.write_text(
        "from cnnx.audit import kernel\n"
        "def total(x, w):\n"
        "    y = 0 * x[:, :1].astype('float32')\n"
        "    for j in range(x.shape[1]):\n"
        "        y = y + x[:, j : j + 1].astype('float32') * w[:, j].astype('float32')\n"
        "    return y.astype(x.dtype)\n"
        "HALF = kernel('affine', total, dtype='float16', accumulator='float32', arguments=['x', 'weight'])\n"
        "RELU = kernel('relu', abs)\n"
    )
    assert cnnx.cli.main(["audit", "--order", "--kernel", f"{file}:HALF", "--terms", "12", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["op"], one["dtype"], one["words"]) == ("affine", "float16", f"sequential, {SINGLE}")
    assert cnnx.cli.main(["audit", "--order", "--kernel", str(file), "--terms", "12"]) == 0
    assert "affine, float16: sums over j 12\n  total  sequential" in capsys.readouterr().out
    assert cnnx.cli.main(["audit", "--order", "--kernel", f"{file}:RELU"]) == 2
    assert "--order: expected a kernel of conv2d, affine, avg_pool2d" in capsys.readouterr().err
    assert cnnx.cli.main(["audit", "--order", "--kernel", str(file), "--op", "affine"]) == 2
