"""Homework's dropout and batch normalisation: each mistake is named, and what is another convention is told so."""

from pathlib import Path

import pytest

from cnnx import lang
from cnnx.audit.homework import check
from cnnx.cli import main

pytestmark = pytest.mark.once

RIGHT = (Path(__file__).parent / "homework" / "right_modes.py").read_text(encoding="utf-8")
CLASSES = {f"class {text.partition(':')[0].partition('(')[0]}": text for text in RIGHT.split("\nclass ")[1:]}


def class_of(name: str, *change: str) -> str:
    """A class of the file, changed."""
    text = f"class {CLASSES[f'class {name}']}"
    for before, after in zip(change[::2], change[1::2], strict=True):
        assert before in text, before
        text = text.replace(before, after)
    return f"import numpy as np\n\n{text}"


def judged(tmp_path, text):
    file = tmp_path / "homework.py"
    file.write_text(text, encoding="utf-8")
    answer = check(str(file))
    ((_, found),) = answer.units
    return answer, {r.output: (r.status, r.mistake) for r in found}


MASK = "(np.random.random(x.shape) >= self.rate) / (1 - self.rate)"
BACK = "return self.gamma[c] / self.std * (dout - self.dbeta[c] / M - self.xh * self.dgamma[c] / M)"
# The class, what is changed in it, the result that is wrong, and the mistake.
WRONG = [
    ("Dropout", [MASK, "np.random.random(x.shape) >= self.rate"], "Y", "drop_unscaled"),
    ("Dropout", ["/ (1 - self.rate)", "/ self.rate"], "Y", "drop_rate"),
    ("Dropout", ["            return x\n", "            return x * (1 - self.rate)\n"], "Y", "drop_twice"),
    ("Dropout", [MASK, "(np.random.random(x.shape) >= 0.1) / 0.9"], "mask", "drop_share"),
    ("Dropout", [MASK, "np.ones(x.shape)"], "mask", "drop_nothing"),
    ("Dropout", ["np.random.random(x.shape)", "np.random.default_rng(0).random(x.shape)"], "mask", "drop_same"),
    ("Dropout", ["if not self.training:", "if False:"], "inference", "drop_at_test"),
    ("Dropout", ["dout * self.mask if self.training else dout", "dout"], "dZ", "drop_delta"),
    ("Dropout", ["dout * self.mask if", "dout * (self.mask > 0) if"], "dZ", "drop_slope"),
    ("Dropout", ["dout * self.mask if", "dout * (self.mask == 0) if"], "dZ", "drop_turned"),
    ("Dropout", ["dout * self.mask if", "self.mask if"], "dZ", "delta_missing"),
    ("Dropout", ["dout * self.mask if", f"dout * {MASK.replace('x.shape', 'dout.shape')} if"], "dZ", "drop_other"),
    ("BatchNorm2d", ["mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))",
                     "mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3), ddof=1)"], "Y", "norm_unbiased"),
    ("BatchNorm2d", ["np.sqrt(var + self.eps)", "(var + self.eps)"], "Y", "norm_variance"),
    ("BatchNorm2d", ["+ self.beta[c]", ""], "Y", "norm_plain"),
    ("BatchNorm2d", ["if self.training:", "if True:"], "inference", "norm_batch"),
    ("BatchNorm2d", ["self.running_mean = (1 - self", "_ = (1 - self", "self.running_var = (1 - self", "_ = (1 - self"],
     "running", "norm_not_kept"),
    ("BatchNorm2d", ["self.running_mean + self.momentum * mean", "self.running_mean + mean"], "running", "norm_kept"),
    ("BatchNorm2d", ["self.momentum * unbiased", "self.momentum * np.sqrt(unbiased)"], "running", "norm_kept_var"),
    ("BatchNorm2d", [BACK, "return self.gamma[c] / self.std * dout"], "dZ", "norm_constant"),
    ("BatchNorm2d", [" - self.xh * self.dgamma[c] / M", ""], "dZ", "norm_by_var"),
    ("BatchNorm2d", [" - self.dbeta[c] / M", ""], "dZ", "norm_by_mean"),
    ("BatchNorm2d", ["return self.gamma[c] / self.std", "return 1 / self.std"], "dZ", "norm_gain"),
    ("BatchNorm2d", ["self.dbeta[c] / M - self.xh * self.dgamma[c] / M", "self.dbeta[c] - self.xh * self.dgamma[c]"],
     "dZ", "norm_sums"),
    ("BatchNorm2d", ["(dout * self.xh).sum(axis=axes)", "(dout * self.xh).mean(axis=axes)",
                     "self.dgamma[c] / M", "self.dgamma[c]"], "dg", "mean_all"),
    ("BatchNormalization", ["np.sum(self.xn * dout, axis=0)", "np.sum(self.xc * self.std * dout, axis=0)"], "dg", ""),
    ("BatchNormalization", ["x.mean(axis=0)", "x.mean(axis=1, keepdims=True)",
                            "np.mean(self.xc**2, axis=0)", "np.mean(self.xc**2, axis=1, keepdims=True)"],
     "Y", "norm_axis"),
    ("BatchNormalization", ["dout.sum(axis=0)", "dout[0]"], "db", "sum_n"),
    ("BatchNormalization", ["0.5 * dstd / self.std", "dstd / self.std"], "dZ", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "output", "mistake"), WRONG)
def test_a_mistake_is_named(tmp_path, name, change, output, mistake):
    answer, found = judged(tmp_path, class_of(name, *change))
    assert found[output][0] in ("wrong", "shape")
    assert found[output][1] == mistake
    assert answer.code == 1


CONVENTIONS = [
    ("DropoutLayer", [], "Y", "drop_at_inference"),
    ("Dropout2", [], "Y", "drop_keep"),
    ("Dropout", ["np.random.random(x.shape)", "np.random.random(x.shape[1:])"], "mask", "drop_rows"),
    ("BatchNorm2d", ["np.sqrt(var + self.eps)", "(np.sqrt(var) + self.eps)"], "Y", "norm_eps"),
]


@pytest.mark.parametrize(("name", "change", "output", "mistake"), CONVENTIONS)
def test_a_convention_is_told(tmp_path, name, change, output, mistake):
    answer, found = judged(tmp_path, class_of(name, *change))
    assert found[output] == ("convention", mistake)
    assert answer.code == (
        1 if mistake == "norm_eps" and "gradient" in found and found["gradient"][0] != "right" else 0
    )


def test_an_eps_of_its_own_is_found(tmp_path):
    for eps in ("1e-8", "10e-7", "1e-3"):
        answer, found = judged(tmp_path, class_of("BatchNormalization", "10e-7", eps))
        assert answer.code == 0, eps
        assert found["Y"] == ("right", "")


def test_without_a_word_for_inference_training_alone_is_judged(tmp_path, capsys):
    text = class_of("Dropout", "    def train(self):\n        self.training = True\n\n", "",
                    "    def eval(self):\n        self.training = False\n\n", "",
                    "self.rate, self.training = rate, True", "self.rate = rate",
                    "        if not self.training:\n            return x\n", "",
                    " if self.training else dout", "")  # fmt: skip
    answer, found = judged(tmp_path, text)
    assert set(found) == {"Y", "mask", "dZ"}
    assert answer.code == 0
    for name in lang.languages():
        assert main(["check", str(tmp_path / "homework.py"), "--lang", name]) == 0
        assert lang.text("check.only_training", name) in capsys.readouterr().out


def test_the_example_has_the_equations_numbers(tmp_path):
    answer, _ = judged(tmp_path, class_of("Dropout", "dout * self.mask if", "dout * (self.mask > 0) if"))
    ((_, found),) = answer.units
    example = next(r.example for r in found if r.output == "dZ")
    (at,) = example.explanation.index
    delta, mask = example.arrays["Delta"], example.arrays["mask"]
    assert example.expected == 4 * delta[at] * mask[at]  # of rate 0.75
    assert example.got == delta[at] * mask[at] != example.expected


def test_what_is_kept_takes_a_class(tmp_path):
    file = tmp_path / "homework.py"
    file.write_text("def f(x, rate):\n    return x\n\ndef dropout(x, rate):\n    return x\n", encoding="utf-8")
    assert check(str(file)).code == 3  # by name nothing is found
    with pytest.raises(ValueError, match="expected a class for dropout"):
        check(str(file), mapping=("dropout=f",))
