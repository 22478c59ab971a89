"""`cnnx check`: right homework passes, and of wrong homework the mistake is named, in every language.

The wrong files are the right ones in tests/lang/homework with a line changed.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from cnnx import lang
from cnnx.audit import homework
from cnnx.audit.homework.find import loaded, units
from cnnx.audit.homework.mistakes import CONVENTIONS
from cnnx.cli import main

SECONDS = 600.0  # on a machine that is busy
FILES = Path(__file__).parent / "homework"
RIGHT = sorted(FILES.glob("right_*.py"))


def check(file, *, seconds=SECONDS, **options):
    return homework.check(file, seconds=seconds, **options)


def results(answer):
    return {(unit.name, r.output): (r.status, r.mistake) for unit, found in answer.units for r in found}


@pytest.mark.parametrize("file", RIGHT, ids=lambda file: file.stem)
def test_right_homework_passes(file):
    answer = check(str(file))
    assert answer.code == 0
    assert answer.units
    for _unit, found in answer.units:
        assert {r.status for r in found} <= {"right", "convention"}
        assert len(found) >= 2


def test_what_is_found_by_name():
    found = {unit.name: unit.op for unit in units(loaded(str(FILES / "right_im2col.py")))}
    assert found == {
        "Conv2D": "conv2d",
        "Pooling": "max_pool2d",
        "Affine": "affine",
        "Relu": "relu",
        "Sigmoid": "sigmoid",
        "SoftmaxWithLoss": "cross_entropy",
    }


def test_m17_to_the_letter_is_told_so():
    found = results(check(str(FILES / "right_m17.py")))
    assert found["Convolution", "dF"] == found["Convolution", "db"] == ("convention", "mean_n")
    assert found["MaxPool", "dZ"] == ("convention", "ties_all")


ROWS = "rows = dout.transpose(0, 2, 3, 1).reshape(-1, K)"
LOOPS, IM2COL, FUNCTIONS = "right_loops.py", "right_im2col.py", "right_functions.py"
# A file, what is changed in it, the layer, the result that is wrong, and the mistake.
WRONG = [
    (LOOPS, ["np.sum(window * self.W[k])", "np.sum(window * self.W[k][:, ::-1, ::-1])"], "Convolution", "Y", "flip"),
    (LOOPS, [" + self.b[k]", ""], "Convolution", "Y", "bias_missing"),
    (LOOPS, ["return dxp[:, :, p : p + H, p : p + W]", "return dxp"], "Convolution", "dZ", "padding_cut"),
    (LOOPS, ["return dxp[:, :, p : p + H, p : p + W]", "return dxp[:, :, :H, :W]"], "Convolution", "dZ",
     "padding_cut_corner"),
    (LOOPS, ["np.sum(dout, axis=(0, 2, 3))", "np.sum(dout[-1], axis=(1, 2))"], "Convolution", "db", "sum_n"),
    (LOOPS, ["dxp[n, :, rows, columns] += dout[n, k, i, j] * self.W[k]",
             "dxp[n, :, rows, columns] += dout[n, k, i, j] * self.W[k][:, ::-1, ::-1]"],
     "Convolution", "dZ", "flip_missing"),
    (LOOPS, ["dxp[n, :, rows, columns] += ", "dxp[n, :, i : i + R, j : j + S] += "], "Convolution", "dZ", "stride"),
    (LOOPS, ["self.dW[k] += ", "self.dW[k] = "], "Convolution", "dF", ""),
    (LOOPS, ["dx[winner] += dout[at]", "dx[winner] = dout[at]"], "MaxPooling", "dZ", "overwritten"),
    (IM2COL, ["] += col[:, :, r, s]", "] = col[:, :, r, s]"], "Conv2D", "dZ", "overwritten"),
    (IM2COL, ["return y.reshape(N, P, -1, K).transpose(0, 3, 1, 2)", "return y.reshape(N, K, P, -1)"], "Conv2D", "Y",
     "axes"),
    (IM2COL, [ROWS, "rows = dout.reshape(-1, K)"], "Conv2D", "dF", "axes"),
    (IM2COL, [ROWS, "rows = dout.reshape(-1, K)"], "Conv2D", "dZ", "axes"),
    (IM2COL, ["rows.sum(axis=0)", "rows.sum(axis=0) / len(dout)"], "Conv2D", "db", "mean_n_and_cost"),
    (IM2COL, ["rows.sum(axis=0)", "rows.mean(axis=0)"], "Conv2D", "db", "mean_all"),
    (IM2COL, ["self.db = dout.sum(axis=0)", "self.db = dout[0]"], "Affine", "db", "sum_n"),
    (IM2COL, ["np.dot(self.x.T, dout)", "np.dot(self.x.T, dout) / len(dout)"], "Affine", "dw", "mean_n_and_cost"),
    (IM2COL, ["dx[self.mask] = 0", "dx[dx < 0] = 0"], "Relu", "dZ", "mask_of_delta"),
    (IM2COL, ["dout * (1.0 - self.out) * self.out", "dout * (1.0 - self.out)"], "Sigmoid", "dZ", "slope_part"),
    (IM2COL, ["(self.y - self.t) / len(self.t)", "(self.y - self.t)"], "SoftmaxWithLoss", "dZ", "mean_missing"),
    (IM2COL, ["(self.y - self.t) / len(self.t)", "(self.y - self.t) / len(self.t) ** 2"], "SoftmaxWithLoss", "dZ",
     "mean_twice"),
    (IM2COL, ["(self.y - self.t) / len(self.t)", "(self.t - self.y) / len(self.t)"], "SoftmaxWithLoss", "dZ", "sign"),
    (FUNCTIONS, ["h + padding - stride * p, v + padding - stride * q", "h + padding - p, v + padding - q"],
     "tatamikomi", "dZ", "stride"),
    (FUNCTIONS, ["e.sum(axis=-1, keepdims=True)", "e.sum(axis=0)"], "softmax", "Y", "softmax_axis"),
    ("right_planar.py", ["dF += delta", "dF -= delta"], "conv2d", "dF", "sign"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "change", "name", "output", "mistake"), WRONG)
def test_a_mistake_is_named(tmp_path, file, change, name, output, mistake):
    changed = tmp_path / "homework.py"
    text = (FILES / file).read_text(encoding="utf-8")
    assert change[0] in text
    changed.write_text(text.replace(*change), encoding="utf-8")
    answer = check(str(changed))
    status, found = results(answer)[name, output]
    assert status in ("wrong", "shape")
    assert found == mistake
    assert answer.code == 1


@pytest.mark.parametrize("name", lang.languages())
def test_a_forgotten_stride_is_explained(capsys, name):
    assert main(["check", str(FILES / "wrong_stride.py"), "--lang", name, "--seconds", "600"]) == 1
    said = capsys.readouterr().out
    assert lang.text("check.mistake.stride", name) in said
    assert said.count(lang.text("check.status.wrong", name)) >= 4  # two results, in the table and below
    assert "C5" in said
    assert "M17 (7)" in said


def test_the_example_is_small_and_its_numbers_are_the_equations(capsys):
    (found,) = (f for _, f in check(str(FILES / "wrong_stride.py")).units)
    example = next(r for r in found if r.output == "dF").example
    # stride 2 has to stay, and two rows or columns of outputs, as at one the stride does not matter
    assert example.arrays["Z"].size <= 3
    assert max(example.numbers["u"], example.numbers["v"]) == 2
    Z, Delta = example.arrays["Z"].ravel(), example.arrays["Delta"].ravel()
    assert example.expected == sum(d * z for d, z in zip(Delta, Z[::2], strict=True))
    assert example.got == sum(d * z for d, z in zip(Delta, Z[: len(Delta)], strict=True))


def written(tmp_path, words):
    file = tmp_path / "homework.py"
    file.write_text(words, encoding="utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("words", "code", "there"),
    [
        ("x = 1\n", 3, "MyConv"),
        ("def relu(x):\n    raise KeyError('oops')\n", 1, "homework.py:2: KeyError: 'oops'"),
        ("def conv2d(x, w, b, s, p, mystery):\n    return x\n", 2, "conv2d(mystery)"),
        ("def conv2d(x, w):\n    return x\n", 1, "(1, 1, 3, 3)"),
        ("def relu(x):\n    return x * (x > 0)\n", 0, "ReLU"),
    ],
)
def test_exit_codes(tmp_path, capsys, words, code, there):
    assert main(["check", written(tmp_path, words), "--lang", "en"]) == code
    assert there in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "there"),
    [
        ("1/0\n", "homework.py:1: cannot be run: ZeroDivisionError"),
        ("def f(:\n", "homework.py:1: cannot be run: Syntax"),
    ],
)
def test_a_file_that_cannot_be_run(tmp_path, capsys, words, there):
    assert main(["check", written(tmp_path, words), "--lang", "en"]) == 2
    assert there in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["euc_jp", "cp932", "utf-8-sig"])
def test_a_file_in_another_encoding(tmp_path, encoding):
    file = tmp_path / "homework.py"
    cookie = "" if encoding == "utf-8-sig" else f"# -*- coding: {encoding} -*-\n"
    file.write_text(cookie + "def relu(x):\n    return x * (x > 0)  # 正の部分\n", encoding=encoding)
    assert check(str(file)).code == 0


def test_no_file(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.py"), "--lang", "en"]) == 2
    assert "which is no file" in capsys.readouterr().err


def test_what_is_not_judged_is_not_counted_as_wrong(tmp_path, capsys):
    words = "def conv2d(x, w, b, s, p, mystery):\n    return x\n"
    assert main(["check", written(tmp_path, words), "--lang", "en"]) == 2
    said = capsys.readouterr().out
    assert "not judged: 1" in said
    assert "wrong:" not in said


def test_time_is_kept(tmp_path):
    stuck = (
        "def relu(x):\n    while True:\n        try:\n            x + 1\n        except Exception:\n            pass\n"
    )
    answer = check(written(tmp_path, stuck), seconds=1.0)
    assert [r.status for _, found in answer.units for r in found] == ["slow"]
    assert answer.code == 2
    with pytest.raises(TimeoutError, match="__main__"):
        check(written(tmp_path, "while True:\n    pass\n"), seconds=0.3)


def test_what_catches_every_interruption_is_ended(tmp_path):
    loop = "            while True:\n                pass\n"
    stuck = f"def relu(x):\n    while True:\n        try:\n{loop}        except:\n            pass\n"
    command = [sys.executable, "-m", "cnnx", "check", written(tmp_path, stuck), "--seconds", "1", "--lang", "en"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "bare except" in done.stderr


@pytest.mark.parametrize(
    ("mapping", "there"),
    [
        (["conv2d"], "expected an op and a name"),
        (["conv=relu"], "expected one of"),
        (["relu=rely"], "expected one of"),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path, mapping, there):
    file = written(tmp_path, "def relu(x):\n    return x * (x > 0)\n")
    with pytest.raises(ValueError, match=there):
        check(file, mapping=tuple(mapping))


def test_names_can_be_mapped(tmp_path):
    file = written(tmp_path, "def f(x):\n    return x * (x > 0)\n\ndef g(d, x):\n    return d * (x > 0)\n")
    assert check(file).code == 3
    answer = check(file, mapping=("relu=f", "relu.backward=g"))
    assert results(answer) == {
        ("f", output): ("right", "") for output in ("Y", "dZ", "gradient", "layout")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "output"),
    [
        ("def relu(x):\n    x[x < 0] = 0\n    return x\n", "Y"),
        # as textbooks print it
        ("class Relu:\n    def forward(self, x):\n        self.mask = x <= 0\n        return x * ~self.mask\n"
         "    def backward(self, dout):\n        dout[self.mask] = 0\n        return dout\n", "dZ"),
    ],
)  # fmt: skip
def test_input_that_is_written_to_is_named(tmp_path, words, output):
    answer = check(written(tmp_path, words))
    assert answer.code == 1
    assert {r.output: r.mistake for _, found in answer.units for r in found if r.status != "right"} == {
        output: "writes"
    }


@pytest.mark.parametrize(
    "words",
    [
        "class MeanSquaredError:\n    def forward(self, y, t):\n        self.y, self.t = y, t\n"
        "        return np.sum((y - t) ** 2) / 2 / len(y)\n"
        "    def backward(self):\n        return (self.y - self.t) / len(self.y)\n",
        "class MeanSquaredError:\n    def forward(self, x, y):\n        self.x, self.y = x, y\n"
        "        return np.sum((x - y) ** 2) / 2 / len(y)\n"
        "    def backward(self):\n        return (self.x - self.y) / len(self.y)\n",
        "def tanh(x):\n    return np.tanh(x)\ndef tanh_backward(dout, y):\n    return dout * (1 - y) * (1 + y)\n",
        "def sigmoid(x):\n    return 1 / (1 + np.exp(-x))\ndef sigmoid_prime(y):\n    return y * (1 - y)\n",
    ],
)  # fmt: skip
def test_y_is_the_output(tmp_path, words):
    found = [
        (r.status, r.mistake) for _, rs in check(written(tmp_path, "import numpy as np\n" + words)).units for r in rs
    ]
    assert len(found) >= 2
    assert set(found) <= {("right", ""), ("convention", "digits")}


def test_an_output_that_nobody_gives_is_unclear(tmp_path):
    answer = check(written(tmp_path, "def tanh_backward(dout, y):\n    return dout * (1 - y**2)\n"))
    assert [(r.status, r.words) for _, found in answer.units for r in found] == [("unclear", "tanh_backward(y)")]


def test_input_that_is_written_to_does_not_hide_another_mistake(tmp_path):
    words = (
        "def relu(x):\n    return x * (x > 0)\n\ndef relu_backward(dout, x):\n    dout[dout < 0] = 0\n    return dout\n"
    )
    assert results(check(written(tmp_path, words)))["relu", "dZ"] == ("wrong", "mask_of_delta")


def test_1_n_in_one_gradient_of_a_layer_alone_is_wrong(tmp_path):
    affine = (
        "class Affine:\n    def __init__(self, W, b):\n        self.W, self.b = W, b\n"
        "    def forward(self, x):\n        self.x = x\n        return x @ self.W + self.b\n"
        "    def backward(self, dout):\n        self.dW = self.x.T @ dout\n        self.db = dout.mean(axis=0)\n"
        "        return dout @ self.W.T\n"
    )
    found = results(check(written(tmp_path, affine)))
    assert found["Affine", "db"] == ("wrong", "mean_n_alone")
    assert found["Affine", "dw"] == ("right", "")
    both = affine.replace("self.x.T @ dout", "self.x.T @ dout / len(dout)")
    found = results(check(written(tmp_path, both)))
    assert found["Affine", "db"] == found["Affine", "dw"] == ("convention", "mean_n")


@pytest.mark.parametrize("seconds", ["0", "nan", "inf", "1e30"])
def test_time_without_end_is_refused(tmp_path, capsys, seconds):
    file = written(tmp_path, "def relu(x):\n    return x * (x > 0)\n")
    assert main(["check", file, "--seconds", seconds, "--lang", "en"]) == 2
    assert "at most 86400" in capsys.readouterr().err


def test_what_homework_prints_is_not_seen(tmp_path):
    file = written(tmp_path, "print('hello')\ndef relu(x):\n    print('again')\n    return x * (x > 0)\n")
    done = subprocess.run(
        [sys.executable, "-m", "cnnx", "check", file, "--lang", "en"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "hello" not in done.stdout
    assert "again" not in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "euc_jp", "utf-8"])
def test_any_encoding_of_the_terminal(tmp_path, encoding, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    command = [sys.executable, "-m", "cnnx", "check", str(FILES / "wrong_stride.py"), "--lang", "ja"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_every_mistake_has_its_words():
    import inspect
    import re

    from cnnx.audit.homework.mistakes import costs, layers, windows

    known = {key for key in lang.keys("en") if key.startswith("check.mistake.")}
    made = {m for part in (costs, layers, windows) for m in re.findall(r'yield "(\w+)"', inspect.getsource(part))}
    assert {f"check.mistake.{key}" for key in (*made, *CONVENTIONS)} <= known
