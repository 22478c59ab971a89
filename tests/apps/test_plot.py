"""Pictures: that they show what they were given, and that they look as they did when they were last looked at.

Baselines lie in `pictures`, without text and with the axes on a plain grid, so that neither fonts nor matplotlib's
layout, which goes by them, matter. After a change that is meant, run the tests with CNNX_NEW_PICTURES=1, and look at
what they wrote, and at the pictures as they are.
"""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once

pytest.importorskip("matplotlib", reason="cnnx.plot needs matplotlib")

import matplotlib.image as mpl_image  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.text import Text  # noqa: E402

from cnnx import plot  # noqa: E402

PICTURES = Path(__file__).resolve().parent / "pictures"
TOLERANCE = 5.0  # see `difference`; matplotlib 3.8 and 3.11 are up to 3.6 apart


def history(seed=0, passes=6, accuracy=True, validation=True):
    random = np.random.default_rng(seed)
    epochs = []
    for i in range(1, passes + 1):
        loss, right = 1 / i, 1 - 0.4 / i
        values = [loss, right, loss * random.uniform(0.9, 1.3), right * random.uniform(0.9, 1)]
        if not accuracy:
            values[1] = values[3] = None
        epochs.append(nn.Epoch(100 * i, 1000, 1.0, values[0], values[1], *(values[2:] if validation else ())))
    return nn.History(epochs)


def ramp_network():
    """A small network whose weights are known without a random generator."""
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, seed=0),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3, 2, (2, 3), seed=0),
        nn.Flatten(),
        nn.Affine(32, 5, seed=0),
    )
    for w in model.parameters.values():
        w[...] = np.sin(np.arange(w.size)).reshape(w.shape)
    return model


def picture_of_seven():
    image = np.zeros((1, 10, 12), "float32")
    image[0, 1, 2:9] = image[0, range(1, 9), range(9, 1, -1)] = 1
    return image


def targets():
    """60 images of 4 classes, 10 of them taken for another one."""
    target = np.arange(60) % 4
    predicted = target.copy()
    predicted[::6] = (target[::6] + 1 + np.arange(10) % 3) % 4
    return target, predicted


def mistakes():
    target, predicted = targets()
    images = np.sin(np.arange(60 * 36)).reshape(60, 1, 6, 6)
    return plot.misclassified(images, target, predicted, title="a title", most=9)


FIGURES = {
    "training": lambda: plot.training(history(), ramp_network(), "a title"),
    "one-run": lambda: plot.learning_curves(history(accuracy=False), "a title"),
    "two-networks": lambda: plot.learning_curves(
        {"one": [history(seed) for seed in range(4)], "other": history(9)}, "a title"
    ),
    "filters": lambda: plot.filters(ramp_network()[3], "a title"),
    "two-layers": lambda: plot.filters({"a": ramp_network()[0], "b": ramp_network()[3]}, columns=2),
    "feature-maps": lambda: plot.feature_maps(ramp_network(), picture_of_seven(), "a title"),
    "confusion": lambda: plot.confusion(*targets(), names=["north", "east", "south", "west"], title="a title"),
    "misclassified": mistakes,
}


def bare(figure):
    """The figure without text, with its axes in the cells of a square grid."""
    for text in figure.findobj(Text):
        text.set_visible(False)
    figure.set_layout_engine("none")
    every = figure.get_axes()
    cells = math.ceil(math.sqrt(len(every)))
    for i, axes in enumerate(every):
        if axes.get_legend() is not None:
            axes.get_legend().remove()
        axes.set_axes_locator(None)
        axes.set_position([(i % cells + 0.05) / cells, 1 - (i // cells + 0.95) / cells, 0.9 / cells, 0.9 / cells])
    return figure


def pixels(figure, path):
    bare(figure).savefig(path, dpi=80)
    return mpl_image.imread(path)[..., :3]


def difference(found, expected):
    """Root mean square, of 255, over means of 8 x 8 pixels: an edge that is a pixel off counts for little."""
    if found.shape != expected.shape:
        return np.inf
    rows, columns = (extent // 8 * 8 for extent in found.shape[:2])
    apart = (found[:rows, :columns] - expected[:rows, :columns]).reshape(rows // 8, 8, columns // 8, 8, 3)
    return 255 * float(np.sqrt(np.mean(apart.mean(axis=(1, 3)) ** 2)))


# ---------------------------------------------------------------------------------------------- how they look


@pytest.mark.parametrize("name", FIGURES)
def test_it_looks_as_it_did(name, tmp_path):
    baseline = PICTURES / f"{name}.png"
    found = pixels(FIGURES[name](), tmp_path / "found.png")
    if os.environ.get("CNNX_NEW_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        baseline.write_bytes((tmp_path / "found.png").read_bytes())
    away = difference(found, mpl_image.imread(baseline)[..., :3])
    assert away < TOLERANCE, f"{tmp_path / 'found.png'} is not {baseline}: {away:.1f}"


@pytest.mark.parametrize("name", FIGURES)
def test_no_picture_passes_for_another(name, tmp_path):
    """Nor an empty one, nor one with its colours turned round."""
    baseline = mpl_image.imread(PICTURES / f"{name}.png")[..., :3]
    for other in FIGURES.keys() - {name}:
        assert difference(mpl_image.imread(PICTURES / f"{other}.png")[..., :3], baseline) > 2 * TOLERANCE
    assert difference(np.ones_like(baseline), baseline) > 2 * TOLERANCE
    assert difference(baseline[..., ::-1], baseline) > TOLERANCE or np.ptp(baseline, axis=2).max() < 0.01  # all grey
    assert difference(baseline[::-1], baseline) > 2 * TOLERANCE


def wrong_pictures():
    target, predicted = targets()
    moved = ramp_network()
    moved.parameters["3.weight"][:] *= -1
    late = history()
    late.epochs[:] = late.epochs[:3]
    return {
        "filters": lambda: plot.filters(moved[3]),
        "two-layers": lambda: plot.filters({"a": moved[3], "b": moved[0]}, columns=2),
        "feature-maps": lambda: plot.feature_maps(ramp_network(), picture_of_seven()[:, ::-1]),
        "confusion": lambda: plot.confusion(target, predicted[::-1]),
        "misclassified": lambda: plot.misclassified(
            np.cos(np.arange(60 * 36)).reshape(60, 1, 6, 6), target, predicted, most=9
        ),
        "training": lambda: plot.training(history(), moved[3:]),
        "one-run": lambda: plot.learning_curves(late),
        "two-networks": lambda: plot.learning_curves({"one": history(9), "other": [history(i) for i in range(4)]}),
    }


@pytest.mark.parametrize("name", FIGURES)
def test_a_wrong_picture_fails(name, tmp_path):
    found = pixels(wrong_pictures()[name](), tmp_path / "found.png")
    assert difference(found, mpl_image.imread(PICTURES / f"{name}.png")[..., :3]) > TOLERANCE


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled_and_pyplot_is_not_used(name):
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    assert figure.get_suptitle().startswith("a title") or name == "two-layers"
    for axes in figure.get_axes():
        labels = [axes.get_xlabel(), axes.get_ylabel(), axes.get_title(), axes.get_title(loc="left")]
        assert any(labels), "an axis without a word"
        if axes.lines:
            assert axes.get_xlabel() == "updates"
            assert axes.get_ylabel()
            assert axes.get_legend() is not None


def test_no_state_of_pyplot_is_left(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from cnnx import nn, plot\n"
        "figure = plot.feature_maps(nn.cn_network(seed=0), np.ones((1, 28, 28), 'float32'))\n"
        "plot.filters(nn.cn_network(seed=0)).savefig(sys.argv[1])\n"
        "figure.savefig(sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path / "a.png")], check=True, timeout=120)


# ---------------------------------------------------------------------------------------------- what they show


def drawn(axes):
    return [line.get_xydata().tolist() for line in axes.lines]


def test_curves_of_several_runs_are_their_mean_and_their_band():
    first = nn.History([nn.Epoch(5, 50, 1.0, 9.0, 0.0, 1.0, 0.5), nn.Epoch(9, 40, 1.0, 9.0, 0.0, 0.25, 0.75)])
    second = nn.History([nn.Epoch(5, 50, 1.0, 9.0, 0.0, 3.0, 0.7), nn.Epoch(9, 40, 1.0, 9.0, 0.0, 0.75, 0.85)])
    longer = nn.History([*second.epochs, nn.Epoch(20, 40, 1.0, 9.0, 0.0, 0.1, 0.9)])
    loss, accuracy = plot.learning_curves({"A": [first, longer], "B": second}).get_axes()
    assert drawn(loss) == [[[5, 2], [9, 0.5]], [[5, 3], [9, 0.75]]]
    assert np.allclose(drawn(accuracy), [[[5, 60], [9, 80]], [[5, 70], [9, 85]]])
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("test loss", "test accuracy in %")
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["A, mean of 2 runs", "B"]
    (band,) = loss.collections
    corners = {tuple(point) for point in band.get_paths()[0].vertices.tolist()}
    assert corners >= {(5, 1), (5, 3), (9, 0.25), (9, 0.75)}
    assert max(x for x, _ in corners) == 9


def test_curves_without_test_images_say_so():
    (loss,) = plot.learning_curves({"A": history(accuracy=False, validation=False)}).get_axes()
    assert loss.get_ylabel() == "training loss"
    assert drawn(loss) == [[[100 * i, 1 / i] for i in range(1, 7)]]


def test_colours_and_styles_tell_six_networks_apart():
    loss, _ = plot.learning_curves({str(i): history(i) for i in range(6)}).get_axes()
    assert len({line.get_color() for line in loss.lines}) == 6
    assert len({str(line.get_linestyle()) + str(line._unscaled_dash_pattern) for line in loss.lines}) == 6
    assert len({line.get_marker() for line in loss.lines}) == 6


def test_filters_are_the_weights():
    model = ramp_network()
    (axes, _) = plot.filters(model[3]).get_axes()
    shown = axes.images[0].get_array()
    assert shown.shape == (3 * 2 + 2, 2 * 3 + 1)
    for k in range(2):
        for c in range(3):
            tile = shown[3 * c : 3 * c + 2, 4 * k : 4 * k + 3]
            assert np.array_equal(tile, model.parameters["3.weight"][k, c])
    assert shown.mask.sum() == shown.size - 36  # nothing between the tiles
    assert axes.images[0].get_clim() == (-np.abs(shown).max(), np.abs(shown).max())
    assert np.array_equal(
        plot.filters(model).get_axes()[0].images[0].get_array()[:3, :3], model.parameters["0.weight"][0, 0]
    )


def test_of_many_filters_the_first_are_drawn_and_the_labels_say_so():
    axes = plot.filters(nn.Conv2d(40, 50, 1), most=20).get_axes()[0]
    assert axes.images[0].get_array().shape == (39, 39)
    assert axes.get_xlabel() == "filter (the first 20 of 50)"
    assert axes.get_ylabel() == "input channel (the first 20 of 40)"


def test_feature_maps_are_what_the_layers_return():
    model, image = ramp_network(), picture_of_seven()
    model.train()
    rows = [axes for axes in plot.feature_maps(model, image).get_axes() if axes.get_title(loc="left")]
    assert model.training
    assert all(layer.training for layer in model.layers)
    y = image[None]
    expected = [y]
    for layer in model.layers:
        y = layer.forward(y)
        if not isinstance(layer, nn.Flatten):
            expected.append(y)
    assert len(rows) == len(expected)
    for axes, y in zip(rows, expected, strict=True):
        shown = axes.images[0].get_array()
        if y.ndim == 2:
            assert np.array_equal(shown, y)
        else:
            gap = (shown.shape[1] - y.shape[1] * y.shape[3]) // max(1, y.shape[1] - 1)
            tiles = [shown[:, c * (y.shape[3] + gap) :][:, : y.shape[3]] for c in range(y.shape[1])]
            assert np.array_equal(tiles, y[0])
    assert [axes.get_title(loc="left") for axes in rows][-1] == "(5) Affine(32, 5): 5"


def test_feature_maps_and_filters_of_a_graph():
    model = nn.Graph(
        ("conv", nn.Conv2d(1, 3, 3, padding=1, seed=0)),
        ("gate", nn.Sigmoid(), "x"),
        ("product", nn.Multiply(), "conv", "gate"),
        ("flat", nn.Flatten()),
        ("fc", nn.Affine(3 * 120, 2, seed=1)),
    )
    image = picture_of_seven()
    rows = [axes for axes in plot.feature_maps(model, image).get_axes() if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left").split(":")[0] for axes in rows] == [
        "image",
        "(conv) Conv2d(1, 3, 3, padding=1)",
        "(gate) Sigmoid()",
        "(product) Multiply()",
        "(fc) Affine(360, 2)",
    ]
    assert np.array_equal(rows[-1].images[0].get_array(), model.forward(image[None]))
    assert np.array_equal(rows[2].images[0].get_array(), nn.Sigmoid().forward(image)[0])
    assert plot.filters(model).get_axes()[0].get_xlabel() == plot.filters(model["conv"]).get_axes()[0].get_xlabel()


def test_confusion_counts():
    target, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 0])
    outputs = np.eye(3)[predicted] * 7
    for given in predicted, outputs, predicted.astype("uint8"):
        axes = plot.confusion(target, given).get_axes()[0]
        cells = {tuple(text.get_position()): text.get_text() for text in axes.texts}
        assert cells == {(0, 0): "2", (1, 0): "1", (1, 1): "1", (2, 2): "1", (0, 2): "1"}  # (column, row)
        assert axes.get_title() == "4 of 6 right (66.67 %)"
        assert np.allclose(axes.images[0].get_array()[0], [200 / 3, 100 / 3, 0])
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("taken for", "is")


def test_misclassified_images_are_those():
    target, predicted = targets()
    images = np.arange(60.0 * 4).reshape(60, 2, 2)
    figure = plot.misclassified(images, target, predicted, list("abcd"), "digits")
    wrong = np.flatnonzero(target != predicted)
    assert len(wrong) == 10
    assert figure.get_suptitle() == "digits: 10 of 60 misclassified"
    for axes, row in zip(figure.get_axes(), wrong, strict=True):
        assert np.array_equal(axes.images[0].get_array(), images[row])
        assert axes.get_title() == f"{'abcd'[target[row]]}, taken for {'abcd'[predicted[row]]}\nrow {row}"
    assert "first 4 of them" in plot.misclassified(images, target, predicted, most=4).get_suptitle()
    assert plot.misclassified(images, target, target).get_suptitle() == "0 of 60 misclassified"
    colours = np.random.default_rng(0).uniform(size=(2, 3, 4, 5))
    (axes,) = plot.misclassified(colours, [0, 1], [0, 2]).get_axes()
    assert np.array_equal(axes.images[0].get_array(), colours[1].transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: plot.learning_curves([history()]), TypeError, "runs: expected a History or a mapping"),
        (lambda: plot.learning_curves({}), ValueError, "runs: expected 1 to 6 names, got 0"),
        (lambda: plot.learning_curves({"a": []}), ValueError, r"runs\['a'\]: expected at least one History"),
        (lambda: plot.learning_curves({"a": [5]}), TypeError, r"runs\['a'\]: expected a History, got int"),
        (lambda: plot.learning_curves(nn.History()), ValueError, "runs: expected at least one epoch"),
        (
            lambda: plot.learning_curves({"a": [history(passes=1), nn.History(history().epochs[1:])]}),
            ValueError,
            r"runs\['a'\]: expected runs that were measured after the same updates",
        ),
        (lambda: plot.filters(nn.ReLU()), ValueError, "layers: expected a Conv2d or a network with one, got ReLU"),
        (lambda: plot.filters({}), ValueError, "layers: expected at least 1, got 0"),
        (lambda: plot.filters(ramp_network(), most=0), ValueError, "most: expected at least 1, got 0"),
        (
            lambda: plot.feature_maps(nn.ReLU(), picture_of_seven()),
            TypeError,
            "expected a Sequential or a Graph, got ReLU",
        ),
        (
            lambda: plot.feature_maps(nn.Graph(("a", nn.Add(), "b", "c"), inputs=("b", "c")), picture_of_seven()),
            ValueError,
            "model: expected a network of one input, got one of b, c",
        ),
        (lambda: plot.feature_maps(ramp_network(), np.ones((2, 1, 9, 9))), ValueError, "image: expected one image"),
        (lambda: plot.confusion([0, 1], [0]), ValueError, "expected equal lengths above 0, got 2 and 1"),
        (lambda: plot.confusion([0.5], [0]), TypeError, "target: expected integers, got float64"),
        (lambda: plot.confusion([-1], [0]), ValueError, "target: expected class indices of at least 0"),
        (lambda: plot.confusion([2], [0], names="ab"), ValueError, "names: expected at least 3"),
        (lambda: plot.confusion([[[1]]], [0]), ValueError, "target: expected class indices"),
        (lambda: plot.misclassified(np.ones((1, 2, 3, 3)), [0], [0]), ValueError, "images: expected"),
        (lambda: plot.misclassified(np.ones((1, 3, 3)), [0, 1], [0, 1]), ValueError, "expected equal lengths"),
    ],
)
def test_what_cannot_be_drawn(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("PDF", b"%PDF"), ("svg", b"<?xml"), ("jpg", b"\xff\xd8")]
)
def test_a_picture_is_written_as_a_whole(tmp_path, monkeypatch, ending, start):
    path = tmp_path / f"picture.{ending}"
    figure = plot.learning_curves(history())
    plot.check_target(path)
    assert not list(tmp_path.iterdir())
    plot.save(figure, path)
    written = path.read_bytes()
    assert written.startswith(start)

    def full(self, file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match="No space left"):
        plot.save(figure, path)
    assert path.read_bytes() == written
    assert list(tmp_path.iterdir()) == [path]
