"""What does not fit in a contract or in a file of kernels is said at once: what was expected, what came."""

import ctypes
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnx.cli
from cnnx.audit import Command, audit, kernel
from cnnx.audit.contract import load
from cnnx.audit.contract.layout import IMAGES, Layout

pytestmark = pytest.mark.once


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def conv(*arrays: Any) -> Any:
    raise AssertionError("it is not called")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("relux", {}, "op: .*relu"),
    ("conv2d", {"layouts": {"x": "NHCC"}}, r"layouts\['x'\]: expected an order of the axes N, C, H, W.*got 'NHCC'"),
    ("conv2d", {"layouts": {"x": "NHW"}}, r"layouts\['x'\]: expected an order"),
    ("conv2d", {"layouts": {"x": "n16cHW"}}, r"layouts\['x'\]: expected an order"),
    ("conv2d", {"layouts": {"bias": "C"}}, "layouts: expected one of x, weight, y, got 'bias'"),
    ("relu", {"layouts": {"x": "NHWC"}}, "layouts: expected none of relu"),
    ("conv2d", {"arguments": ["x", "wieght"]}, "arguments: expected one of .*got 'wieght'"),
    ("conv2d", {"arguments": ["x", "weight", "same"]}, r"a string is Constant\('same'\)"),
    ("conv2d", {"arguments": "x"}, "arguments: expected a sequence or a mapping, got str"),
    ("conv2d", {"arguments": ["x", "y"], "returns": True}, "arguments: expected no result among them"),
    ("conv2d", {"arguments": ["x", "weight"], "returns": False}, "arguments: expected y among them"),
    ("conv2d", {"dtype": "float8"}, "dtype: expected one of float16, bfloat16, float32, float64, got 'float8'"),
    ("conv2d", {"dtype": "float16"}, "accumulator: expected the dtype in which a float16 kernel sums"),
    ("conv2d", {"dtype": ("float16", "float32"), "accumulator": "float32"}, "dtype: expected one, or float32 and"),
    ("conv2d", {"dtype": {"z": "float32"}}, "dtype: expected one of x, weight, bias, y, got 'z'"),
    ("conv2d", {"accumulator": "int8"}, "accumulator: expected one of"),
    ("conv2d", {"tail": ["rleu"]}, "tail: expected one of .*got 'rleu'"),
    ("conv2d", {"tail": [("clip", 0, 6, 7)]}, "tail: expected 'clip' with at most 2 numbers"),
    ("conv2d", {"tail": ["shift", "batch_norm"]}, "tail: expected 'shift' for one step alone"),
    ("conv2d", {"only": {"strides": 1}}, "only: expected one of .*got 'strides'"),
    ("conv2d", {"only": {"stride": []}}, "only: expected some value of 'stride', got none"),
    ("max_pool2d", {}, "arguments: expected 'kernel_size' among them, or its value in `only`"),
    ("conv2d", {"gradients": "y"}, "gradients: expected one of .*got 'y'"),
    ("conv2d", {"gradients": "x", "tail": ["relu"]}, "gradients: expected none of a kernel with a tail"),
]


@pytest.mark.parametrize(("op", "options", "words"), WRONG, ids=[f"{w[0]} {sorted(w[1])} {w[2][:30]}" for w in WRONG])
def test_wrong_contracts(op: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        kernel(op, conv, **options)


def test_a_function_is_something_to_call() -> None:
    with pytest.raises(TypeError, match="function: expected something to call, got str"):
        kernel("relu", "relu")  # type: ignore[arg-type]


def test_without_ml_dtypes(monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnx.audit.kinds import numbers

    numbers.cache_clear()
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    try:
        with pytest.raises(ImportError, match=r"bfloat16 needs ml_dtypes: python -m pip install 'cnnx\[audit\]'"):
            kernel("relu", relu, dtype="bfloat16", accumulator="float32")
    finally:
        numbers.cache_clear()


def test_wrong_back_ends() -> None:
    with pytest.raises(TypeError, match=r"backend: expected the name of a back end or what cnnx\.audit\.kernel made"):
        audit(backend=[relu])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="backend: expected some kernels, got none"):
        audit(backend=[])
    one = kernel("relu", relu)
    with pytest.raises(ValueError, match="backend: expected one kernel for relu, got relu and other; audit each"):
        audit(backend=[one, kernel("relu", relu, name="other")])
    with pytest.raises(ValueError, match="expected one that no back end has, got 'optimized'"):
        audit(backend=kernel("relu", relu, name="optimized"))
    with pytest.raises(ValueError, match=r"op: expected .*relu.*conv2d"):
        audit(["conv2d"], backend=one)
    with pytest.raises(ValueError, match="timeout: expected a back end that another process can load"):
        audit(backend=one, timeout=1.0)


def test_c_functions() -> None:
    """Pointers by argtypes; a function without them is said to have none."""
    Pointer = ctypes.POINTER(ctypes.c_float)

    @ctypes.CFUNCTYPE(None, Pointer, Pointer, ctypes.c_int)
    def rectify(x: Any, y: Any, count: int) -> None:
        for i in range(count):
            y[i] = x[i] if x[i] > 0 or x[i] != x[i] else 0.0

    without = kernel("relu", ctypes.CDLL(None).abs, name="abs", arguments=["x", "y", 37])
    report = audit(
        backend=kernel("relu", rectify, name="c", arguments=["x", "y", 37]), checks=["bound"], cases=["vector"]
    )
    assert report.ok, report.text()
    found = audit(backend=without, checks=["bound"], cases=["vector"])
    assert "expected argtypes" in next(found.discrepancies()).what


@pytest.mark.parametrize("word", ["NHWC", "NCHW", "CHWN", "nChw16c", "nChw3c", "Nhwc2n"])
def test_layouts_give_back_what_they_were_given(word: str) -> None:
    a = np.random.default_rng(0).standard_normal((3, 7, 2, 5))
    layout = Layout.parse(word, IMAGES, "x")
    laid = layout.put(a)
    assert laid.flags.c_contiguous
    assert laid.shape == layout.shape(a.shape)
    assert (layout.take(laid, a.shape) == a).all()
    assert np.sort(laid.ravel())[np.nonzero(np.sort(laid.ravel()))].tolist() == np.sort(a.ravel()).tolist()


def test_a_layout_is_what_its_letters_say() -> None:
    a = np.arange(2 * 5 * 3 * 4.0).reshape(2, 5, 3, 4)
    assert (Layout.parse("NHWC", IMAGES, "x").put(a) == a.transpose(0, 2, 3, 1)).all()
    blocked = Layout.parse("nChw4c", IMAGES, "x").put(a)
    assert blocked.shape == (2, 2, 3, 4, 4)
    assert (blocked[:, 1, :, :, 0] == a[:, 4]).all()
    assert not blocked[:, 1, :, :, 1:].any()


# -------------------------------------------------------------------------------- files of kernels

RIGHT = """
import numpy as np
from cnnx.audit import kernel

def relu(x):
    return np.maximum(x, 0)

RELU = kernel("relu", relu)
"""
WRONG_ONE = (
    RIGHT
    + """
def leaky(x):
    return np.where(x > 0, x, x / 8)

LEAKY = kernel("relu", leaky)
"""
)


def command(*words: str) -> int:
    return cnnx.cli.main(["audit", *words, "--check", "bound", "--no-shrink"])


def test_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "relus.py"
    file.write_text(WRONG_ONE)
    assert command("--kernel", f"{file}:RELU", "--timeout", "0") == 0
    assert "contract: relu: relu; float32, returned" in capsys.readouterr().out
    assert command("--kernel", str(file), "--timeout", "0") == 1
    printed = capsys.readouterr().out
    assert "back end relu against" in printed
    assert "back end leaky against" in printed
    (again,) = re.findall(r"again: cnnx audit --kernel (\S+) --repro '(.*)'", printed)
    assert again[0] == f"{file}:LEAKY"
    assert cnnx.cli.main(["audit", "--kernel", again[0], "--repro", again[1], "--timeout", "0"]) == 1


def test_lists_are_one_back_end(tmp_path: Path) -> None:
    file = tmp_path / "pair.py"
    file.write_text(
        RIGHT + 'SLOPE = kernel("relu", lambda d, x: d * (x > 0), gradients="x", name="slope")\nBOTH = [RELU, SLOPE]\n'
    )
    found = load(str(file))
    assert list(found) == ["BOTH"]
    assert [one.name for one in found["BOTH"]] == ["relu", "slope"]


def test_a_crash_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "crash.py"
    file.write_text(RIGHT.replace("return np", "import os; os.abort()\n    return np"))
    assert command("--kernel", str(file), "--timeout", "30") == 1
    assert "SIGABRT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (RIGHT, ":REUL", "expected one of RELU, got 'REUL'"),
        ("X = 1", "", "got none"),
        ("X = 1", ":X", "none of .* variables is one"),
        ("import nothing_of_that_name", "", "cannot be run: ModuleNotFoundError"),
        ("raise SystemExit(0)", "", "cannot be run: SystemExit"),
    ],
)
def test_wrong_files(text: str, name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "some.py"
    file.write_text(text)
    assert command("--kernel", f"{file}{name}") == 2
    assert re.search(words, capsys.readouterr().err)


def test_options_that_a_contract_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.py"
    file.write_text(WRONG_ONE)
    assert command("--kernel", str(tmp_path / "none.py")) == 2
    assert "which is no file" in capsys.readouterr().err
    assert command("--kernel", str(file), "--dtype", "float32") == 2
    assert "--dtype: expected none with --kernel" in capsys.readouterr().err
    assert command("--kernel", str(file), "--json") == 2
    assert "--json: expected one back end with it" in capsys.readouterr().err


def test_a_command_is_words() -> None:
    with pytest.raises(TypeError, match="words: expected a program and its arguments"):
        Command("python run.py")
    with pytest.raises(ValueError, match="arguments: expected none of a Command"):
        kernel("relu", Command(["x", "{x}", "{y}"]), arguments=["x"])
