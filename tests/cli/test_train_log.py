"""What a training tells: the log, the progress on a terminal, the end of one that diverges, and quiet."""

import io
import json
import math
import re
import sys

import numpy as np
import pytest

from cnnx import data, nn
from cnnx._text import time_left
from cnnx.cli import main
from cnnx.nn._progress import Progress
from cnnx.nn.evaluate import Tally

pytestmark = pytest.mark.once

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(10, 3)), RNG.integers(0, 2, 10)


def model_of():
    return nn.Sequential(nn.Affine(3, 4, seed=0, dtype="float64"), nn.Tanh(), nn.Affine(4, 2, seed=1, dtype="float64"))


def train(model=None, optimizer=None, **options):
    options = dict(x=X, y=Y, batch_size=4, updates=7, seed=0) | options
    return nn.fit(model or model_of(), nn.CrossEntropy(), optimizer or nn.SGD(0.1), **options)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# ----------------------------------------------------------------------------------------------- log


def test_the_log_is_the_history(tmp_path):
    history = train(log=tmp_path / "log", validation=(X[:5], Y[:5]))
    *passes, end = lines(tmp_path / "log")
    names = ("updates", "images", "seconds", "loss", "accuracy", "validation_loss", "validation_accuracy")
    for number, (line, epoch) in enumerate(zip(passes, history.epochs, strict=True), 1):
        assert list(line) == ["event", "epoch", *names, "images_per_second"]
        assert (line["event"], line["epoch"]) == ("epoch", number)
        assert [line[name] for name in names] == [getattr(epoch, name) for name in names]
        assert math.isclose(line["images_per_second"] * line["seconds"], line["images"])
    assert end == {"event": "end", "reason": "done", "updates": 7, "epochs": 3, "message": None}


def test_a_log_is_there_line_by_line_and_an_old_one_is_not_added_to(tmp_path):
    path = tmp_path / "log"
    path.write_text("what another run wrote\n")
    seen = []
    train(log=path, on_epoch=lambda epoch: seen.append(len(lines(path))))
    assert seen == [1, 2, 3]
    assert len(lines(path)) == 4
    assert [one.name for one in tmp_path.iterdir()] == ["log"]


def test_one_that_goes_on_has_each_pass_once(tmp_path):
    def strip(path):
        return [{k: v for k, v in line.items() if "second" not in k} for line in lines(path)]

    class Mortal(nn.SGD):
        def step(self, *arguments):
            if self.updates == 8:
                raise KeyError("mortal")
            super().step(*arguments)

    Mortal.__name__ = "SGD"
    options = dict(updates=13, validation=(X, Y))
    train(log=tmp_path / "whole", **options)
    with pytest.raises(KeyError):  # in the third pass; the checkpoint of update 5 is in the second
        train(None, Mortal(0.1), log=tmp_path / "log", checkpoint=tmp_path / "c", every=5, **options)
    failed = lines(tmp_path / "log")
    assert [line.get("updates") for line in failed] == [3, 6, 8]
    assert failed[-1] == {
        "event": "end",
        "reason": "failed",
        "updates": 8,
        "epochs": 2,
        "message": "KeyError: 'mortal'",
    }
    train(log=tmp_path / "log", checkpoint=tmp_path / "c", every=5, **options)
    assert strip(tmp_path / "log") == strip(tmp_path / "whole")
    train(log=tmp_path / "another", checkpoint=tmp_path / "c", every=5, **options)
    assert strip(tmp_path / "another") == strip(tmp_path / "whole")


def test_the_end_says_why(tmp_path):
    path = tmp_path / "log"
    train(log=path, on_epoch=lambda epoch: True)
    assert lines(path)[-1]["reason"] == "stopped"
    with pytest.raises(FloatingPointError):
        train(log=path, x=np.where(X[4] == X, math.inf, X))
    end = lines(path)[-1]
    assert end["reason"] == "diverged"
    assert re.match(
        r"FloatingPointError: update \d+: the cost is (nan|inf); try a smaller learning rate", end["message"]
    )
    with pytest.raises(OSError, match="no-such-folder"):
        train(log=tmp_path / "no-such-folder" / "log")


# ----------------------------------------------------------------------------------------- diverging


def weights(model):
    return [w.copy() for w in (*model.parameters.values(), *model.buffers.values())]


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("when", [1, 2, 4, 5, 7])
def test_who_diverges_has_the_weights_of_the_pass_s_beginning(when):
    """Three updates a pass. What is broken in update n shows in n + 1, or at the end of the pass."""

    class Broken(nn.SGD):
        def step(self, model, factor=1.0):
            super().step(model, factor)
            if self.updates == when:
                model.parameters["0.weight"][...] = math.nan if when == 2 else 1e308

    ends, model = [weights(model_of())], model_of()
    whole = nn.Sequential(nn.Affine(3, 3, seed=2, dtype="float64"), model)
    with pytest.raises(FloatingPointError, match=r"update \d: .*; try a smaller learning rate"):
        train(whole, Broken(0.1), x=np.abs(X) * 1e3, on_epoch=lambda epoch: ends.append(weights(model)), updates=12)
    assert same(weights(model), ends[(when - 1) // 3])


def test_of_images_that_are_no_numbers_the_weights_before_are_kept():
    x = X.copy()
    x[9] = math.nan
    model = nn.Sequential(model_of())
    start = weights(model)
    with pytest.raises(FloatingPointError, match="update 3: the cost is nan"):
        train(model, x=x, shuffle=False)
    assert same(weights(model), start)
    assert not model.training


def test_running_statistics_are_kept_too():
    x = RNG.normal(size=(12, 2, 4, 4)).astype("float32")
    x[10] = math.nan
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Affine(32, 2, seed=0))
    start = weights(model)
    with pytest.raises(FloatingPointError):
        train(model, x=x, y=np.zeros(12, int), shuffle=False)
    assert same(weights(model), start)


# ------------------------------------------------------------------------------------------ progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("rich", [True, False])
def test_progress_says_loss_accuracy_rate_and_time_left(monkeypatch, rich):
    if rich:
        pytest.importorskip("rich", reason="rich is not installed")
        monkeypatch.setenv("COLUMNS", "140")
    else:
        for name in "rich", "rich.console", "rich.progress":
            monkeypatch.setitem(sys.modules, name, None)
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    train(updates=6)
    assert re.search(
        r"6/6.* loss \d\.\d{4}, accuracy \d+\.\d %, \d+ images/s, 0:00:00 left", stderr.getvalue(), re.DOTALL
    )


def test_the_time_left_goes_by_the_updates_of_this_run(monkeypatch):
    """100 of 400 updates came from a checkpoint; 50 more took 10 seconds, and so will 250 take 50."""
    clock = [1000.0]
    monkeypatch.setattr("cnnx.nn._progress.time.monotonic", lambda: clock[0])
    for name in "rich", "rich.console", "rich.progress":
        monkeypatch.setitem(sys.modules, name, None)
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    with Progress(400) as bar:
        bar.begin(100)
        clock[0] += 6
        bar.show(130, 0.5, Tally(nn.CrossEntropy(), (300, 1.0, 150)))
        clock[0] += 4
        bar.show(150, 0.5, Tally(nn.CrossEntropy(), (200, 1.0, 150)))  # of the next pass
    assert stderr.getvalue().split("\r")[2].startswith("[###########")
    assert "150/400 loss 0.5000, accuracy 75.0 %, 50 images/s, 0:00:50 left" in stderr.getvalue()


def test_without_a_known_end_no_time_is_made_up(monkeypatch):
    for name in "rich", "rich.console", "rich.progress":
        monkeypatch.setitem(sys.modules, name, None)
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr("cnnx.nn._progress._INTERVAL", 0)

    def batches(number):
        return ((X[i : i + 2], Y[i : i + 2]) for i in range(0, 10, 2))

    train(x=None, y=None, batch_size=None, batches=batches, updates=None, epochs=2)
    drawn = [part for part in stderr.getvalue().split("\r") if "loss" in part]
    assert [bool(re.search(r"/10 .* left", part)) for part in drawn] == [False] * 5 + [True] * 5


def test_time_left():
    assert [time_left(seconds) for seconds in (0.2, 59.6, 3600 * 30)] == ["0:00:00", "0:01:00", "1 day, 6:00:00"]


# ---------------------------------------------------------------------------------------- the command


@pytest.fixture
def small(monkeypatch):
    """`cnnx train digits` on a few images."""
    digits = data.Dataset(RNG.integers(0, 17, (500, 1, 8, 8)).astype("uint8"), RNG.integers(0, 10, 500), white=16)
    monkeypatch.setattr(data, "digits", lambda: digits)
    return ["train", "digits", "--updates", "35"]


def test_quiet_says_the_result_alone(capsys, monkeypatch, small):
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    assert main([*small, "--quiet"]) == 0
    assert re.fullmatch(r"test accuracy \d+\.\d\d % after 35 updates\n", capsys.readouterr().out)
    assert stderr.getvalue() == ""
    assert main(["train", "ox", "--quiet", "--updates", "2"]) == 0
    assert capsys.readouterr().out == "o and x are not told apart\n"


def test_the_command_goes_on_and_logs(capsys, tmp_path, small):
    kept = ["--checkpoint", str(tmp_path / "c"), "--every", "10", "--log", str(tmp_path / "log")]
    assert main([*small, "--updates", "20", *kept]) == 0
    capsys.readouterr()
    assert main([*small, *kept]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"\ngoing on after update 20, from {tmp_path}/c/checkpoint-0000000020.npz\n" in out
    assert re.findall(r"^ +(\d+) +(\d+) +\d\.\d", out, re.M) == [("2", "28"), ("3", "35")]
    assert [line.get("updates") for line in lines(tmp_path / "log")] == [14, 28, 35, 35]
    rows = re.findall(r"^ +\d.*|^  pass.*", out, re.M)
    assert len({len(row) for row in rows}) == 1

    (tmp_path / "c" / "checkpoint-0000000035.npz").write_bytes(b"PK")
    assert main([*small, *kept, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert re.fullmatch(r"cnnx: warning: .*0035\.npz: damaged \(BadZipFile: .*\); it is left out\n", err)
    assert main([*small, *kept, "--seed", "7"]) == 2
    assert re.fullmatch(r"cnnx: error: .*expected a checkpoint of this run, .*seed.*\n", capsys.readouterr().err)
    assert main([*small, *kept, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["updates"], report["resumed"], report["ranks"]) == (35, 35, 1)


def test_o_and_x_go_on_too(capsys, tmp_path):
    command = ["train", "ox", "--checkpoint", str(tmp_path), "--updates"]
    assert main([*command, "50"]) == 0
    assert main([*command, "100"]) == 0
    out = capsys.readouterr().out.partition("going on after update 50")[2]
    assert main(["train", "ox", "--updates", "100"]) == 0
    straight = capsys.readouterr().out
    assert out.partition("updates ")[2] == straight.partition("\n\n")[2].partition("updates ")[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--every", "3"], "--every: expected with --checkpoint only, got it without"),
        (["--every", "0", "--checkpoint", "c"], "--every: expected an integer from 1"),
        (["--log", "no-such-folder/log"], "no-such-folder"),
        (["--checkpoint", __file__], "File exists"),
    ],
)
def test_what_cannot_be_done_is_one_line(capsys, small, options, message):
    assert main([*small, *options]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
