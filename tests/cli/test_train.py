"""The command `cnnx train`, and CN's network on real digits."""

import gzip
import json
import os
import re
import signal
import struct
import subprocess
import sys
import urllib.error
import warnings

import numpy as np
import pytest
from paths import MNIST, needs_mnist

from cnnx import backend, data, nn
from cnnx.cli import main


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """A folder like MNIST's, of images that are easy: row or column number `label` is white."""
    folder = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 10_000).astype("uint8")
    images = rng.integers(0, 60, (10_000, 10, 10)).astype("uint8")
    images[np.arange(10_000), labels] = 255
    for name, array in ("images-idx3", images), ("labels-idx1", labels):
        header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        (folder / f"t10k-{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes(), 1))
    return folder


# ---------------------------------------------------------------------------------------------- ox


def test_ox_prints_c_t_and_tells_o_from_x(capsys):
    assert main(["train", "ox"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.findall(r"^ *(\d+) +(\d\.\d{4})$", out, re.MULTILINE)[::2] == [("0", "1.9818"), ("5000", "0.0029")]
    rows = dict(re.findall(r"^ *([ox]) +\d\.\d{4} +\d\.\d{4} +\d, \d +([ox])$", out, re.MULTILINE))
    assert rows == {"o": "o", "x": "x"}
    assert out.endswith("o and x are told apart\n")


def d19(updates, eta=0.1):
    """C_T of D19's network before each update and after the last, written down with nothing of cnnx."""
    o, x = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1.0]]), np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1.0]])
    F, b_F = np.array([[[1, 1], [1, -1]], [[1, -1], [-1, 1.0]]]), np.ones(2)
    w, b = np.array([[1.5, -4.2], [-2.6, 3.5]]), np.ones(2)
    totals = []
    for update in range(updates + 1):
        total, dF, db_F, dw, db = 0.0, np.zeros_like(F), np.zeros(2), np.zeros_like(w), np.zeros(2)
        for image, target in [(o, np.array([1, 0]))] * 3 + [(x, np.array([0, 1]))] * 3:
            places = [image[i : i + 2, j : j + 2] for i in (0, 1) for j in (0, 1)]
            maps = np.array([[1 / (1 + np.exp(-(F[k] * place).sum() - b_F[k])) for place in places] for k in (0, 1)])
            winner, pooled = maps.argmax(axis=1), maps.max(axis=1)
            out = 1 / (1 + np.exp(-w @ pooled - b))
            total += 0.5 * ((target - out) ** 2).sum()
            delta = (out - target) * out * (1 - out)
            delta_F = (w.T @ delta) * pooled * (1 - pooled)
            dw += np.outer(delta, pooled)
            db += delta
            dF += [delta_F[k] * places[winner[k]] for k in (0, 1)]
            db_F += delta_F
        totals.append(total)
        if update < updates:
            F, b_F, w, b = F - eta * dF, b_F - eta * db_F, w - eta * dw, b - eta * db
    return totals


@pytest.mark.parametrize("updates", [1, 100])
def test_ox_is_what_d19_s_rule_gives(capsys, updates):
    expected = d19(updates)
    assert main(["train", "ox", "--updates", str(updates), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = {int(key): value for key, value in report["C_T"].items()}
    assert found.keys() == {0, 1, updates}
    for key, value in found.items():
        assert abs(value - expected[key]) < 1e-12
    assert report["told_apart"] is (updates == 100)


def test_ox_in_parts_says_c_t_of_all_examples(capsys):
    """C_T before, after one update by three examples, and at the end."""
    assert main(["train", "ox", "--updates", "3", "--batch-size", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["C_T"]
    assert found.keys() == {"0", "1", "3"}
    assert abs(found["0"] - d19(0)[0]) < 1e-12
    six, model, cost = data.ox_images("six"), nn.ox_network(), nn.SquaredError(reduction="sum")
    for updates in "1", "3":
        model = nn.ox_network()
        nn.fit(model, cost, nn.SGD(0.1), six.images, six.labels, batch_size=3, updates=int(updates), seed=0)
        assert found[updates] == nn.evaluate(model, cost, six.images, six.labels)[0]


@pytest.mark.parametrize("options", [["--backend", "reference"], ["--dtype", "float32"]])
def test_ox_in_other_ways(capsys, options):
    assert main(["train", "ox", "--updates", "20", *options]) == 0
    assert " 0  1.9818\n" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------- classes


def test_training_prints_a_line_per_pass(capsys, stripes):
    command = ["train", "mnist", "--data", str(stripes), "--updates", "1000", "--seed", "1"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "9000 training and 1000 test images of 1 x 10 x 10" in out
    rows = [line.split() for line in out.splitlines() if re.match(r" +\d+ +\d+ ", line)]
    assert [row[:2] for row in rows] == [["1", "900"], ["2", "1000"]]
    assert len({len(line) for line in out.splitlines() if re.match(r" +\d+ +\d+ |  pass", line)}) == 1  # aligned
    reached = float(re.search(r"\ntest accuracy (\S+) % after 1000 updates\n$", out)[1])
    assert reached >= 90
    assert rows[-1][6] == f"{reached:.2f}"

    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert round(100 * report["test_accuracy"], 2) == reached
    assert report["settings"]["seed"] == 1
    assert [epoch["updates"] for epoch in report["epochs"]] == [900, 1000]


def test_the_header_says_how_many_images_an_update_has_and_any_seed_will_do(capsys, stripes):
    command = ["train", "mnist", "--data", str(stripes), "--updates", "1", "--batch-size", "20000"]
    assert main([*command, "--seed", str(10**20)]) == 0
    assert "1 updates of 9000 images" in capsys.readouterr().out


def test_mnist_without_a_network_is_one_line(capsys, monkeypatch):
    datasets = pytest.importorskip("sklearn.datasets")

    def fetch_openml(*_, **__):
        warnings.warn("A network error occurred", stacklevel=2)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(datasets, "fetch_openml", fetch_openml)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["train", "mnist"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "no network" in err
    assert "--data" in err


def test_digits(capsys):
    pytest.importorskip("sklearn")
    assert main(["train", "digits", "--updates", "600"]) == 0
    out = capsys.readouterr().out
    assert "1437 training and 360 test images of 1 x 8 x 8" in out
    assert float(re.search(r"test accuracy (\S+) % after 600 updates", out)[1]) >= 70


@pytest.mark.parametrize(("algorithm", "kernel"), [("winograd", "conv2d_winograd"), ("auto", "conv2d")])
def test_algorithm(capsys, algorithm, kernel):
    """By CN's four channels "auto" is the direct one."""
    pytest.importorskip("sklearn")
    used = set()
    with backend.intercept(lambda name, function: used.add(name) or function):
        assert main(["train", "digits", "--updates", "2", "--algorithm", algorithm, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["algorithm"] == algorithm
    assert {"conv2d", "conv2d_winograd"} & used == {kernel}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["letters"], "invalid choice: 'letters'"),
        (["ox", "--data", "."], "--data: expected with mnist only, got it with ox"),
        (["ox", "--algorithm", "auto"], "--algorithm: expected with digits or mnist only, got auto with ox"),
        (["ox", "--backend", "none"], "no back end is called 'none'"),
        (["ox", "--backend", ""], "no back end is called ''"),
        (["ox", "--updates", "0"], "--updates: expected an integer from 1"),
        (["mnist", "--data", "no-such-folder", "--updates", "-1"], "--updates: expected an integer from 1"),
        (["ox", "--batch-size", "-1"], "--batch-size: expected an integer from 1"),
        (["ox", "--learning-rate", "-1"], "--learning-rate: expected a number of at least 0"),
        (["ox", "--learning-rate", "nan"], "--learning-rate: expected a finite number"),
        (["ox", "--seed", "-1"], "--seed: expected an integer of at least 0"),
        (["mnist", "--data", "no-such-folder"], "no-such-folder: expected a folder of MNIST files"),
    ],
)
def test_what_cannot_be_done_is_one_line(capsys, arguments, message):
    assert main(["train", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_training_that_runs_away_is_one_line(capsys, stripes):
    assert main(["train", "mnist", "--data", str(stripes), "--learning-rate", "1e30", "--updates", "50"]) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(r"cnnx: error: (update \d+|the validation .*): the cost is (nan|inf); try a .*\n", err)


# ---------------------------------------------------------------------------------------------- plot


def test_plot_is_a_picture(capsys, tmp_path, stripes):
    pytest.importorskip("matplotlib")
    pyplot = "matplotlib.pyplot" in sys.modules
    for name, command in (
        ("ox.png", ["ox", "--updates", "30"]),
        ("stripes.PNG", ["mnist", "--data", str(stripes), "--updates", "3"]),
    ):
        assert main(["train", *command, "--plot", str(tmp_path / name)]) == 0
        picture = (tmp_path / name).read_bytes()
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        assert len(picture) > 10_000
    assert ("matplotlib.pyplot" in sys.modules) is pyplot


def test_the_plot_shows_what_was_measured():
    pytest.importorskip("matplotlib")
    from cnnx import plot

    history = nn.History([nn.Epoch(5, 50, 1.0, 2.0, 0.5, 1.0, 0.75), nn.Epoch(9, 40, 1.0, 0.5, 0.7, 0.8, 0.9)])
    model = nn.Sequential(nn.Conv2d(2, 3, 2, seed=0), nn.Flatten())
    figure = plot.training(history, model, "a title")
    loss, accuracy, *filters = figure.get_axes()
    assert [line.get_xydata().tolist() for line in loss.lines] == [[[5, 2], [9, 0.5]], [[5, 1], [9, 0.8]]]
    assert [line.get_xydata().tolist() for line in accuracy.lines] == [[[5, 50], [9, 70]], [[5, 75], [9, 90]]]
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("updates", "loss")
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ("updates", "accuracy in %")
    (drawn,) = (axes.images[0].get_array() for axes in filters if axes.images)
    weight = model.parameters["0.weight"]
    assert np.array_equal([drawn[3:5, 3 * k : 3 * k + 2] for k in range(3)], weight[:, 1])  # the lower row: channel 1
    with pytest.raises(ValueError, match="history: expected at least one epoch"):
        plot.training(nn.History(), model)


def test_the_plot_of_what_was_not_measured():
    pytest.importorskip("matplotlib")
    from cnnx import plot

    model = nn.Sequential(nn.Affine(2, 1, seed=0))
    history = nn.History([nn.Epoch(5, 50, 1.0, 2.0, None, 1.0, None), nn.Epoch(9, 40, 1.0, 0.5, None)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (loss,) = plot.training(history, model).get_axes()
    assert [line.get_xydata().tolist() for line in loss.lines] == [[[5, 2], [9, 0.5]], [[5, 1]]]


def test_a_plot_of_no_update_is_said_to_be_missing(capsys, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(nn, "fit", lambda *_, **__: nn.History(interrupted=True))
    assert main(["train", "ox", "--plot", str(tmp_path / "a.png")]) == 130
    out, err = capsys.readouterr()
    assert "\n        0  1.9818\n" in out
    assert "\n        1 " not in out
    assert err == f"{tmp_path / 'a.png'}: not written, as Ctrl-C came before the first update\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["no-such-folder/a.png", "a.text", "a.pgf", "a.svgz", "a", "folder.png"])
def test_a_plot_that_cannot_be_written_is_found_before_the_training(capsys, tmp_path, name):
    pytest.importorskip("matplotlib")
    (tmp_path / "folder.png").mkdir()
    assert main(["train", "ox", "--plot", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert name in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("updates", ["40", None])
def test_save_keeps_the_network(capsys, monkeypatch, tmp_path, updates):
    """Also after Ctrl-C, here at the end of the first pass."""
    pytest.importorskip("safetensors")
    path = tmp_path / "ox.safetensors"
    if updates is None:
        fit = nn.fit
        stop = dict(on_epoch=lambda epoch: signal.raise_signal(signal.SIGINT))
        monkeypatch.setattr(nn, "fit", lambda *arguments, **options: fit(*arguments, **options | stop))
    code = main(["train", "ox", "--json", "--updates", updates or "100000", "--save", str(path)])
    report = json.loads(capsys.readouterr().out)
    assert (code, report["interrupted"]) == ((0, False) if updates else (130, True))
    from cnnx.io import load_model

    model = load_model(path)
    assert model.parameters["0.weight"].dtype == np.float64
    assert nn.predict(model, data.ox_images("two").images).tolist() == report["outputs"]


def test_what_cannot_be_saved_is_found_before_the_training(capsys, monkeypatch, tmp_path):
    path = tmp_path / "none" / "model"
    pytest.importorskip("safetensors")
    assert main(["train", "ox", "--save", str(path)]) == 2
    assert capsys.readouterr() == ("", f"cnnx: error: {path}: No such file or directory\n")
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.delitem(sys.modules, "cnnx.io._model", raising=False)
    assert main(["train", "ox", "--save", str(tmp_path / "model")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "pip install 'cnnx[io]'" in err


def test_without_matplotlib_the_error_names_the_extra(capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("matplotlib") or name == "cnnx.plot"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("cnnx.plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["train", "ox", "--plot", "a.png"]) == 2
    assert "pip install 'cnnx[plot]'" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------- Ctrl-C


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_prints_what_was_learnt(stripes):
    code = "import sys; from cnnx.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", "mnist", "--data", str(stripes), "--updates", "1000000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("     1 "):
                process.send_signal(signal.SIGINT)
        error = process.stderr.read()
    assert error == ""
    assert process.returncode == 130
    assert re.fullmatch(r"test accuracy (-|\d+\.\d\d %) after \d+ updates, stopped by Ctrl-C\n", lines[-1])


def test_ctrl_c_leaves_the_test_out(capsys, monkeypatch, stripes):
    class Stopped(nn.SGD):
        def _change(self, weights, slopes, rate):
            if self.updates == 4:
                signal.raise_signal(signal.SIGINT)
            super()._change(weights, slopes, rate)

    monkeypatch.setattr(nn, "SGD", Stopped)
    command = ["train", "mnist", "--data", str(stripes), "--updates", "900"]
    assert main(command) == 130
    *_, header, row, _, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r" +1 +5 +\d\.\d{4} +\d+\.\d\d % +- +- +\d+ +0:00:0\d", row)
    assert len(row) == len(header)
    assert last == "test accuracy - after 5 updates, stopped by Ctrl-C"
    assert main([*command, "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["test_accuracy"] is None


# --------------------------------------------------------------------------------------------- MNIST


@needs_mnist
def test_cn_s_network_learns_real_digits():
    """600 updates, a fifteenth of CN's; another implementation of it reaches 95 % with all of them."""
    x_train, y_train, x_test, y_test = data.mnist(MNIST).split()
    model, cost = nn.cn_network(seed=0), nn.CrossEntropy()
    history = nn.fit(
        model, cost, nn.SGD(0.1), x_train, y_train, batch_size=10, updates=600, validation=(x_test, y_test), seed=0
    )
    assert history.epochs[-1].validation_accuracy >= 0.8


def weights_after(backend, x, y, updates):
    model = nn.cn_network(image=x.shape[1:], dtype="float64", seed=2, backend=backend)
    cost = nn.CrossEntropy(backend=backend)
    nn.fit(model, cost, nn.SGD(0.1), x, y, batch_size=10, updates=updates, seed=2)
    return model.parameters


def same_weights(x, y, updates):
    reference, optimized = (weights_after(name, x, y, updates) for name in ("reference", "optimized"))
    start = nn.cn_network(image=x.shape[1:], dtype="float64", seed=2).parameters
    for name, w in optimized.items():
        assert abs(w - reference[name]).max() <= 1e-12, name
        assert not np.array_equal(w, start[name]), name


def test_three_updates_in_both_back_ends_give_the_same_weights():
    rng = np.random.default_rng(4)
    same_weights(rng.random((40, 1, 10, 9)), rng.integers(0, 10, 40), updates=3)


@needs_mnist
def test_three_updates_on_mnist_in_both_back_ends_give_the_same_weights():
    split = data.mnist(MNIST).split(dtype="float64")
    same_weights(split.x_train, split.y_train, updates=3)
