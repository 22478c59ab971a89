"""How fast functions by contract are: beside an op of cnnx or another contract, all judged; and not at all if wrong."""

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import BLOCK, NORMED, block, normed

import cnnx
import cnnx.cli
from cnnx.audit import Kernel, kernel, verdict
from cnnx.audit.contract.names import op_of
from cnnx.audit.contract.stepwise import by_ops
from cnnx.audit.gate.verdict import schema

pytestmark = pytest.mark.once

linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="isolation needs Linux on x86-64"
)
TEXT = """
import time
import numpy as np
from cnnx.audit import kernel

def relu(x):
    return np.maximum(x, 0)

def slow(x):
    time.sleep(0.02)
    return np.maximum(x, 0)

def timed(x):
    return np.maximum(x, 0) if x.size < 20000 else np.zeros_like(x)

def leaky(x):
    return np.where(x > 0, x, x / 8)

RELU, SLOW, TIMED, LEAKY = kernel("relu", relu), kernel("relu", slow), kernel("relu", timed), kernel("relu", leaky)
GELU = kernel("gelu", relu)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relus.py"
    path.write_text(TEXT)
    return path


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def slow(x: Any) -> Any:
    time.sleep(0.02)
    return relu(x)


def conv_of_ones(x: Any, weight: Any) -> Any:
    """Right where a kernel is of one row and column."""
    return np.einsum("nchw,kc->nkhw", x.astype(float), weight[:, :, 0, 0]).astype(x.dtype)


def valid(found: dict[str, Any]) -> dict[str, Any]:
    jsonschema = pytest.importorskip("jsonschema", reason="the verdict is held against its schema")
    text: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    jsonschema.Draft202012Validator(schema()).validate(text)
    return text


def judged(one: Kernel, **options: Any) -> dict[str, Any]:
    return valid(verdict(one, checks=["bound"], cases=["vector"], rounds=6, shrink=0.0, **options))


def test_beside_cnnxs_own_op() -> None:
    found = judged(kernel("relu", relu))
    speed = found["speed"]["ops"]["relu"]
    assert found["speed"]["baseline"] == "optimized"
    assert (speed["case"], speed["dtype"], speed["rounds"]) == ("images", "float32", 6)
    assert 0 < speed["low"] <= speed["ratio"] <= speed["high"]
    assert speed["of"] == "the function alone, on arrays laid out and converted before"


def test_what_makes_arrays_ready_is_not_timed() -> None:
    """A conversion that sleeps costs nothing; a function that does is slower than one that does not."""

    def sleepy(a: Any) -> Any:
        time.sleep(0.005)
        return a

    plain = kernel("relu", relu, name="plain")
    assert (
        judged(kernel("relu", relu, convert=sleepy), baseline=kernel("relu", slow))["speed"]["ops"]["relu"]["ratio"] > 1
    )
    assert judged(kernel("relu", slow), baseline=plain)["speed"]["ops"]["relu"]["ratio"] < 1
    assert judged(kernel("relu", slow), baseline=plain)["speed"]["baseline"] == "plain"


def test_what_is_wrong_has_no_speed() -> None:
    wrong = judged(kernel("relu", lambda x: np.where(x > 0, x, x / 8)))
    assert (wrong["verdict"], wrong["speed"]) == ("bad", None)
    assert wrong["why_no_speed"] == "refused: the verdict is bad"
    timed = judged(kernel("relu", lambda x: relu(x) if x.size < 20000 else np.zeros_like(x)))
    assert (timed["verdict"], timed["exit_code"], timed["speed"]) == ("bad", 1, None)
    assert timed["why_no_speed"] == "refused: what was timed is wrong"
    assert timed["reasons"][0]["check"] == "speed"


def test_what_cannot_be_timed_says_why() -> None:
    one = kernel("relu", relu)
    for baseline, why in (
        (kernel("gelu", relu), "relu: the baseline is of gelu, and not of relu"),
        (kernel("relu", lambda d, x: d * (x > 0), gradients="x"), "relu: the baseline is of relu backward, and not"),
    ):
        found = judged(one, baseline=baseline)
        assert (found["verdict"], found["speed"]) == ("good", None)
        assert found["why_no_speed"].startswith(why)
    back = kernel("relu", lambda d, x: d * (x > 0), gradients="x")
    assert "there are gradients alone" in judged(back)["why_no_speed"]
    one_by_one, three_by_three = (
        kernel("conv2d", conv_of_ones, arguments=["x", "weight"], only={"kernel_size": size}) for size in (1, 3)
    )
    found = valid(verdict(one_by_one, checks=["bound"], cases=["1x1"], baseline=three_by_three, rounds=6))
    assert found["why_no_speed"] == "conv2d: there is no case that both take"
    named = valid(verdict("numpy", "relu", checks=["exact"], baseline=one))
    assert named["why_no_speed"] == "a contract as the baseline is one for contracts, and numpy has none"


@linux
def test_isolated(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(name: str, *more: str) -> tuple[int, dict[str, Any]]:
        few = ["--check", "bound", "--case", "vector", "--no-shrink", "--isolated", "--verdict", "-"]
        code = cnnx.cli.main(["audit", "--kernel", f"{file}:{name}", *few, *more])
        return code, valid(json.loads(capsys.readouterr().out))

    code, found = run("RELU")
    assert (code, found["speed"]["baseline"]) == (0, "optimized")
    assert found["speed"]["ops"]["relu"]["of"].startswith("its calls, many at once")
    code, found = run("RELU", "--baseline", f"{file}:SLOW")
    assert (code, found["speed"]["baseline"]) == (0, f"{file}:SLOW")
    assert found["speed"]["ops"]["relu"]["ratio"] > 1
    code, found = run("TIMED")
    assert (code, found["verdict"], found["speed"]) == (1, "bad", None)
    code, found = run("LEAKY")
    assert (code, found["why_no_speed"]) == (1, "refused: the verdict is bad")


def test_the_command_in_a_process_of_its_own(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--check", "bound", "--case", "vector", "--no-shrink", "--verdict", "-", "--timeout", "60"]
    code = cnnx.cli.main(["audit", "--kernel", f"{file}:RELU", *few, "--baseline", f"{file}:SLOW"])
    found = valid(json.loads(capsys.readouterr().out))
    assert code == 0
    assert found["speed"]["ops"]["relu"]["ratio"] > 1
    assert cnnx.cli.main(["audit", "--kernel", f"{file}:RELU", *few, "--baseline", "nobody"]) == 2
    assert cnnx.cli.main(["audit", "--kernel", f"{file}:RELU", *few, "--baseline", str(file)]) == 2
    assert "baseline: expected one kernel" in capsys.readouterr().err


def test_steps_by_ops_compute_what_is_fused() -> None:
    """The baseline of a fused function is no other function: beside NumPy's own."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    x, weight = drawn(2, 3, 6, 7), drawn(4, 3, 3, 3)
    nhwc, hwio = x.transpose(0, 2, 3, 1), weight.transpose(2, 3, 1, 0)
    one = kernel("conv2d", block, arguments=BLOCK, tail=["bias", "add", "relu"])
    given = {"x": x, "weight": weight, "bias": drawn(4), "residual": drawn(2, 4, 4, 5)}
    expected = block(nhwc, hwio, given["bias"], given["residual"].transpose(0, 2, 3, 1), (1, 1), (0, 0, 0, 0))
    got = by_ops(op_of("conv2d"), one.tail, given)()
    np.testing.assert_allclose(got, expected.transpose(0, 3, 1, 2), atol=1e-5)
    tail = [("batch_norm", 1e-3), "relu6"]
    two = kernel("conv2d", normed, arguments=NORMED, tail=tail)
    given = {
        "x": x,
        "weight": weight,
        "scale": drawn(4),
        "shift": drawn(4),
        "mean": drawn(4),
        "variance": drawn(4) ** 2,
    }
    expected = normed(nhwc, hwio, (1, 1), (0, 0, 0, 0), *(given[n] for n in ("scale", "shift", "mean", "variance")))
    np.testing.assert_allclose(by_ops(op_of("conv2d"), two.tail, given)(), expected.transpose(0, 3, 1, 2), atol=1e-4)
    three = kernel("relu", relu, tail=[("leaky_relu", 0.1), ("clip", -1, 2)])
    x = drawn(50)
    clipped = np.clip(np.where(relu(x) > 0, relu(x), 0), -1, 2)
    np.testing.assert_allclose(by_ops(op_of("relu"), three.tail, {"x": x})(), clipped, atol=1e-6)
