"""cnnx.sklearn: scikit-learn's own checks, what its users rely on, and that the training is cnnx.nn's."""
# ruff: noqa: E402 -- scikit-learn may be missing, which is looked at before its names are imported

import copy
import inspect
import itertools
import os
import pickle
import re
import signal
import subprocess
import sys
from multiprocessing import get_all_start_methods

import numpy as np
import pytest

import cnnx
from cnnx import data, nn

pytestmark = pytest.mark.once
pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra sklearn)")

import joblib
from paths import MNIST, needs_mnist
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import cnnx.sklearn
from cnnx.sklearn import CNNClassifier, MLPClassifier

BOTH = [CNNClassifier, MLPClassifier]
SHARED = dict(
    solver="sgd",
    learning_rate=0.1,
    batch_size=10,
    max_epochs=20,
    early_stopping=False,
    validation_fraction=0.1,
    random_state=None,
    warm_start=False,
    dtype="float32",
    backend=None,
    n_jobs=None,
    verbose=0,
)
MORE = dict(max_updates=None, learning_rate_schedule=None, momentum=0.9, n_iter_no_change=10)


@pytest.fixture(scope="module")
def digits():
    """500 images of 8x8 pixels from 0 to 1, and their labels."""
    images = data.digits().split(1, 500)
    return images.x_train.reshape(500, 64), images.y_train.astype(int)


def weights(estimator):
    return np.concatenate([w.ravel() for w in estimator.model_.parameters.values()])


# ------------------------------------------------------------------------------------ scikit-learn's checks


@parametrize_with_checks([CNNClassifier(), MLPClassifier()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_constructors():
    """The arguments that were agreed on, in their order; what came later is by keyword alone."""
    conv = dict(conv_channels=(4, 4), kernel_size=3)
    affine = dict(hidden_sizes=(20,), activation="relu")
    expected = {
        CNNClassifier: conv | affine | dict(pooling="max", dropout=0.0) | SHARED | dict(image_shape=None) | MORE,
        MLPClassifier: affine | dict(dropout=0.0) | SHARED | MORE,
    }
    for kind, arguments in expected.items():
        parameters = inspect.signature(kind).parameters
        assert {name: p.default for name, p in parameters.items()} == arguments
        assert list(parameters) == list(arguments)
        assert {name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY} == set(MORE)
        described = inspect.cleandoc(kind.__doc__).split("Attributes\n")[0]
        for name in arguments:
            assert re.search(rf"^(\w+, )*{name}\b.*( : |,|$)", described, re.M), f"{name} is not described"


def test_cns_names_are_mapped_to_arguments_that_exist():
    table = cnnx.sklearn.__doc__.split("====\n")
    for name in "n_conv_node", "n_conv_layer", "n_hidden_node", "n_hidden_layer", "mini_batch", "eta", "epoch":
        assert re.search(rf"\b{name}\b", table[2])
    named = set(re.findall(r"`(\w+)=", " ".join(row[36:] for row in table[2].splitlines())))
    assert named == {
        "conv_channels",
        "hidden_sizes",
        "dropout",
        "batch_size",
        "learning_rate",
        "solver",
        "max_updates",
        "verbose",
    }
    assert named <= set(CNNClassifier().get_params())
    cn = CNNClassifier(max_updates=1, random_state=0).fit(np.eye(784)[:20], np.arange(20) % 10)
    assert repr(cn.model_) == repr(nn.cn_network(seed=0))


def test_a_network_that_branches(digits):
    """An estimator of one's own around a Graph: probabilities, early stopping, pickles."""

    class ResNetClassifier(CNNClassifier):
        def _network(self, shape, classes, seed):
            return nn.resnet18(shape[0], classes, width=2, small_images=True, seed=seed)

    X, y = digits
    arguments = dict(max_epochs=4, early_stopping=True, learning_rate=0.05, n_iter_no_change=2, random_state=0)
    model = ResNetClassifier(**arguments).fit(X[:300], y[:300])
    assert isinstance(model.model_, nn.Graph)
    assert next(iter(model.model_.parameters)) == "conv1.weight"
    assert np.allclose(model.predict_proba(X[300:340]).sum(axis=1), 1)
    rest = model.validation_scores_
    assert model.best_validation_score_ == max(rest)
    assert model.score(X[300:600], y[300:600]) > 0.3


# ------------------------------------------------------------------------------------ the training is cnnx.nn's

SOLVERS = {
    "sgd": lambda: nn.SGD(0.05),
    "momentum": lambda: nn.SGD(0.05, momentum=0.8),
    "nesterov": lambda: nn.SGD(0.05, momentum=0.8, nesterov=True),
    "adam": lambda: nn.Adam(0.05),
}


def by_hand(seed):
    """The generators of weights and orders that a random_state stands for."""
    return np.random.default_rng(np.random.RandomState(seed).randint(2**31 - 1)).spawn(2)


@pytest.mark.parametrize("solver", SOLVERS)
def test_fit_is_nn_fit(digits, solver):
    X, y = digits
    options = dict(learning_rate=0.05, momentum=0.8, batch_size=30, random_state=3, dropout=0.2, dtype="float64")
    sizes = dict(hidden_sizes=(9, 7), activation="tanh")
    convolutions = dict(conv_channels=(3,), kernel_size=(3, 5), pooling="avg")
    shared = dict(dropout=0.2, dtype="float64")
    for kind, image in (CNNClassifier, (1, 8, 8)), (MLPClassifier, (64,)):
        start, orders = by_hand(3)
        if kind is CNNClassifier:
            found = kind(solver=solver, max_epochs=2, **options, **sizes, **convolutions).fit(X, y)
            model = nn.cnn(image, 10, seed=start, **convolutions, **sizes, **shared)
        else:
            found = kind(solver=solver, max_updates=20, learning_rate_schedule="cosine", **options, **sizes).fit(X, y)
            model = nn.mlp(64, 10, seed=start, **sizes, **shared)
        length = dict(epochs=2) if kind is CNNClassifier else dict(updates=20, schedule=nn.CosineSchedule(20))
        images = X.astype("float64").reshape(-1, *image)
        history = nn.fit(model, nn.CrossEntropy(), SOLVERS[solver](), images, y, batch_size=30, seed=orders, **length)
        assert found.history_.losses == history.losses
        assert found.loss_curve_ == [epoch.loss for epoch in history.epochs]
        assert found.n_iter_ == 2
        for name, w in model.parameters.items():
            assert np.array_equal(found.model_.parameters[name], w)
        outputs = nn.predict(model, images)
        assert np.array_equal(found.predict_proba(X), cnnx.softmax(outputs))
        assert np.array_equal(found.predict(X), outputs.argmax(axis=1))
        assert found.score(X, y) == np.mean(outputs.argmax(axis=1) == y)


def test_cosine_falls_to_zero_at_the_end_of_the_passes(digits):
    """Four passes of 17 updates: the last one's share of the cosine, by its formula."""
    X, y = digits
    found = MLPClassifier(batch_size=30, max_epochs=4, learning_rate_schedule="cosine", random_state=0).fit(X, y)
    same = MLPClassifier(
        batch_size=30,
        max_epochs=4,
        learning_rate_schedule=lambda updates: (1 + np.cos(np.pi * updates / 68)) / 2,
        random_state=0,
    ).fit(X, y)
    assert len(found.history_.losses) == 68
    assert np.allclose(weights(found), weights(same), atol=1e-5)


def test_random_state(digits):
    X, y = digits
    fit = lambda state: weights(MLPClassifier(max_epochs=1, random_state=state).fit(X, y))  # noqa: E731
    assert np.array_equal(fit(1), fit(1))
    assert not np.array_equal(fit(1), fit(2))
    assert not np.array_equal(fit(None), fit(None))
    state = np.random.RandomState(1)
    assert np.array_equal(fit(state), fit(1)), "the first number of a RandomState is its seed's"
    assert not np.array_equal(fit(state), fit(1)), "the second one is another"


def test_both_back_ends_agree(digits):
    X, y = digits[0][:8], digits[1][:8]
    kind = dict(conv_channels=(2,), hidden_sizes=(3,), max_epochs=2, random_state=0, dtype="float64")
    fitted = [CNNClassifier(backend=backend, **kind).fit(X, y) for backend in ("reference", "optimized")]
    assert np.allclose(*map(weights, fitted), rtol=0, atol=1e-12)
    assert np.allclose(*(one.predict_proba(X) for one in fitted), rtol=0, atol=1e-12)
    assert [one.model_[0].backend for one in fitted] == ["reference", "optimized"]


# ------------------------------------------------------------------------------------ images


@pytest.mark.parametrize(
    ("features", "image_shape", "expected"),
    [
        (1, None, (1, 1, 1)),
        (2, None, (1, 1, 2)),
        (4, None, (1, 2, 2)),
        (12, None, (1, 1, 12)),
        (25, None, (1, 5, 5)),
        (12, (3, 4), (1, 3, 4)),
        (12, [2, 3, 2], (2, 3, 2)),
        (16, (16, 1), (1, 16, 1)),
    ],
)
def test_image_shape(features, image_shape, expected):
    X = np.random.default_rng(0).normal(size=(30, features))
    y = np.arange(30) % 3
    for pooling in "max", "avg", "lp", None:
        model = CNNClassifier((2, 3, 2), image_shape=image_shape, pooling=pooling, max_epochs=1, random_state=0)
        assert model.fit(X, y).input_shape_ == expected
        proba = model.predict_proba(X)
        assert proba.shape == (30, 3)
        assert proba.dtype == np.float64
        assert np.allclose(proba.sum(axis=1), 1, rtol=0, atol=1e-14)


def test_rows_are_images_pixel_by_pixel():
    """A kernel of one row sees a stripe in its own row, and the bias alone in the others."""
    images = np.zeros((40, 4, 6))
    images[np.arange(40), np.arange(40) % 4] = 1
    options = dict(hidden_sizes=(), pooling=None, image_shape=(4, 6), max_updates=1, random_state=0, dtype="float64")
    model = CNNClassifier((2,), (1, 5), **options).fit(images.reshape(40, -1), np.arange(40) % 4)
    maps = model.model_[0].forward(images.reshape(40, *model.input_shape_))
    bias = model.model_[0].parameters["bias"]
    for n, row in itertools.product(range(4), range(4)):
        assert (maps[n, :, row] == bias[:, None]).all() == (n != row)


# ------------------------------------------------------------------------------------ labels and features


def test_string_labels_and_feature_names(digits):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    X, y = digits[0][:200], digits[1][:200]
    words = np.array(["nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    frame = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    model = CNNClassifier(max_epochs=30, random_state=0).fit(frame, pandas.Series(words[y]))
    assert model.classes_.tolist() == sorted(words)
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    assert model.n_features_in_ == 64
    assert set(model.predict(frame)) <= set(words)
    assert model.score(frame, words[y]) > 0.9
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[frame.columns[::-1]])


def test_not_fitted_and_wrong_features(digits):
    for kind in BOTH:
        with pytest.raises(NotFittedError):
            kind().predict_proba(digits[0])
        model = kind(max_updates=1).fit(*digits)
        with pytest.raises(ValueError, match=r"X has 63 features, but .* is expecting 64"):
            model.predict(digits[0][:, 1:])


BAD = [
    (dict(solver="lbfgs"), ValueError, "solver: expected one of 'sgd', 'momentum', 'nesterov', 'adam', got 'lbfgs'"),
    (dict(learning_rate=-1), ValueError, "learning_rate: expected a number of at least 0, got -1"),
    (dict(solver="momentum", momentum=1.0), ValueError, "momentum: expected a number from 0 to below 1"),
    (dict(batch_size=0), ValueError, "batch_size: expected an integer from 1"),
    (dict(max_epochs=0), ValueError, "max_epochs: expected an integer from 1"),
    (dict(max_updates=2.5), TypeError, "max_updates: expected an integer, got float"),
    (dict(early_stopping="yes"), TypeError, "early_stopping: expected True or False"),
    (dict(warm_start=0), TypeError, "warm_start: expected True or False"),
    (dict(early_stopping=True, validation_fraction=1.0), ValueError, "validation_fraction: expected a number between"),
    (dict(early_stopping=True, n_iter_no_change=0), ValueError, "n_iter_no_change: expected an integer from 1"),
    (dict(early_stopping=True, validation_fraction=0.01), ValueError, "validation_fraction: expected at least one row"),
    (dict(dtype="float16"), TypeError, "dtype: expected float32 or float64"),
    (dict(backend="gpu"), ValueError, "gpu"),
    (dict(n_jobs=0), ValueError, "n_jobs: expected None, a number of threads or -1 for all, got 0"),
    (dict(n_jobs="2"), TypeError, "n_jobs: expected an integer"),
    (dict(verbose=-1), ValueError, "verbose: expected an integer from 0"),
    (
        dict(learning_rate_schedule="linear"),
        ValueError,
        "learning_rate_schedule: expected None, 'cosine' or a function",
    ),
    (dict(hidden_sizes=20), TypeError, "hidden_sizes: expected a tuple of integers"),
    (dict(activation="logistic"), ValueError, "activation: expected one of"),
    (dict(dropout=1), ValueError, "dropout: expected a number from 0 to below 1"),
    (dict(image_shape=(8, 7)), ValueError, r"image_shape: expected a shape of 64 features, as X has, got \(8, 7\)"),
    (dict(image_shape=64), TypeError, r"image_shape: expected \(H, W\), \(C, H, W\) or None, got 64"),
    (dict(image_shape=(8, 8.0)), TypeError, r"image_shape\[1\]: expected an integer"),
    (dict(pooling="min"), ValueError, "pooling: expected one of"),
    (dict(conv_channels=()), ValueError, "conv_channels: expected at least 1"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_bad_arguments_are_found_by_fit(digits, arguments, error, message):
    for kind in BOTH:
        if set(arguments) <= set(kind().get_params()):
            model = kind(max_updates=1).fit(*digits).set_params(**({"max_updates": None} | arguments))
            with pytest.raises(error, match=message):
                model.fit(digits[0][:50], digits[1][:50])
            with pytest.raises(NotFittedError):  # nothing is left of the fit before
                model.predict(digits[0])


def test_one_class_and_numbers_without_classes(digits):
    with pytest.raises(ValueError, match="y: expected at least two classes, got one"):
        MLPClassifier().fit(digits[0], np.ones(500))
    with pytest.raises(ValueError, match="Unknown label type"):
        MLPClassifier().fit(digits[0], digits[0][:, 20] + 0.5)


def test_divergence_says_what_to_try(digits):
    model = MLPClassifier(learning_rate=1e30, random_state=0)
    with pytest.raises(FloatingPointError, match="try a smaller learning rate"):
        model.fit(*digits)

    def schedule(updates):
        return 0.1 if updates < 90 else 1e30  # after two passes of 45 updates

    good = MLPClassifier(early_stopping=True, max_epochs=2, learning_rate=0.1, random_state=0).fit(*digits)
    model.set_params(early_stopping=True, learning_rate=1.0, learning_rate_schedule=schedule)
    with pytest.raises(FloatingPointError, match="update 9"):
        model.fit(*digits)
    assert model.validation_scores_ == good.validation_scores_
    assert np.array_equal(weights(model), weights(good)), "the best weights come back"


# ------------------------------------------------------------------------------------ going on, stopping


def test_warm_start_goes_on(digits):
    """Twice two passes are four, as plain gradient descent remembers nothing else."""
    model = CNNClassifier(max_epochs=2, warm_start=True, random_state=0, dropout=0.1)
    twice = model.fit(*digits).fit(*digits)
    once = CNNClassifier(max_epochs=4, random_state=0, dropout=0.1).fit(*digits)
    assert np.array_equal(weights(twice), weights(once))
    assert (twice.n_iter_, len(twice.loss_curve_)) == (4, 4)
    assert twice.loss_curve_ == once.loss_curve_
    with pytest.raises(ValueError, match=r"classes: expected .* as the network was made for, got"):
        twice.fit(digits[0], digits[1] % 5)
    with pytest.raises(ValueError, match="X has 63 features"):
        twice.fit(digits[0][:, 1:], digits[1])
    with pytest.raises(ValueError, match="warm_start, partial_fit: expected the arguments that the network was made"):
        twice.set_params(hidden_sizes=(21,)).fit(*digits)
    assert np.array_equal(weights(twice), weights(once)), "what cannot go on changes nothing"
    again = twice.set_params(warm_start=False, hidden_sizes=(20,)).fit(*digits)
    assert np.array_equal(
        weights(again), weights(CNNClassifier(max_epochs=2, random_state=0, dropout=0.1).fit(*digits))
    )


@pytest.mark.parametrize("solver", ["sgd", "momentum", "adam"])
def test_partial_fit_goes_on_with_its_momenta(digits, solver):
    X, y = digits
    options = dict(solver=solver, learning_rate=0.01, random_state=0)
    model = MLPClassifier(**options)
    for passed in range(1, 4):
        assert model.partial_fit(X, y, classes=range(10) if passed == 1 else None) is model
        assert (model.n_iter_, len(model.loss_curve_)) == (passed, passed)
    assert np.array_equal(weights(model), weights(MLPClassifier(max_epochs=3, **options).fit(X, y)))
    pickled = pickle.loads(pickle.dumps(model))
    copied = copy.deepcopy(model)
    for one in model, pickled, copied:
        one.partial_fit(X[:77], y[:77])
    assert np.array_equal(weights(model), weights(pickled))
    assert np.array_equal(weights(model), weights(copied))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("how", ["partial_fit", "warm_start"])
def test_an_estimator_that_joblib_mapped_is_copied_when_it_learns(digits, tmp_path, solver, how):
    X, y = digits
    rate = 0.001 if solver == "adam" else 0.1
    model = MLPClassifier(solver=solver, learning_rate=rate, max_epochs=1, random_state=0, warm_start=True)
    model.partial_fit(X, y, classes=range(10))
    joblib.dump(model, tmp_path / "model")
    before = (tmp_path / "model").read_bytes()
    mapped, loaded = (joblib.load(tmp_path / "model", mmap_mode=mode) for mode in ("r", None))
    assert not any(w.flags.writeable for w in mapped.model_.parameters.values())
    for one in mapped, loaded:
        (one.partial_fit if how == "partial_fit" else one.fit)(X, y)
    for name, w in loaded.model_.parameters.items():
        np.testing.assert_array_equal(mapped.model_.parameters[name], w)
        assert type(mapped.model_.parameters[name]) is np.ndarray
    assert (tmp_path / "model").read_bytes() == before
    np.testing.assert_array_equal(mapped.predict_proba(X), loaded.predict_proba(X))


def test_partial_fit_of_a_part_of_the_classes(digits):
    X, y = digits
    words = np.char.add("digit ", y.astype(str))
    model = CNNClassifier(random_state=0)
    with pytest.raises(ValueError, match="classes: expected all classes at the first call of partial_fit, got None"):
        model.partial_fit(X, words)
    few = y < 3
    model.partial_fit(X[few], words[few], classes=np.unique(words))
    assert model.predict_proba(X).shape == (500, 10)
    model.partial_fit(X[~few], words[~few])
    before = weights(model)
    with pytest.raises(ValueError, match=r"y: expected classes among .*, got \['digit x'\] too"):
        model.partial_fit(X[:2], ["digit 1", "digit x"])
    with pytest.raises(ValueError, match="classes: expected"):
        model.partial_fit(X, words, classes=["digit 1", *words[:100]][:3])
    for arguments, message in (
        (dict(early_stopping=True), "early_stopping: expected False with partial_fit"),
        (dict(learning_rate_schedule="cosine"), "learning_rate_schedule: expected None or a function of updates"),
    ):
        with pytest.raises(ValueError, match=message):
            copy.deepcopy(model).set_params(**arguments).partial_fit(X, words)
    assert np.array_equal(weights(model), before)


def test_partial_fit_takes_another_learning_rate(digits):
    X, y = digits
    model = MLPClassifier(solver="momentum", random_state=0).partial_fit(X, y, classes=range(10))
    before = weights(model)
    model.set_params(learning_rate=0.0).partial_fit(X, y)
    assert np.array_equal(weights(model), before)
    assert not np.array_equal(weights(model.set_params(learning_rate=0.1, solver="adam").partial_fit(X, y)), before)


def test_early_stopping_keeps_the_best_weights(digits):
    X, y = digits
    model = MLPClassifier(
        early_stopping=True, validation_fraction=0.2, n_iter_no_change=3, max_epochs=200, random_state=1
    ).fit(X, y)
    scores = model.validation_scores_
    best = int(np.argmax(scores))
    assert len(scores) == model.n_iter_ == len(model.loss_curve_) == best + 1 + 3 < 200
    assert model.best_validation_score_ == scores[best]
    assert not model.history_.interrupted
    # The same rows, split by scikit-learn; and the same training, ended at the best pass.
    seed = np.random.RandomState(1).randint(2**31 - 1)
    kept, held, kept_y, held_y = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
    assert np.abs(np.bincount(held_y) - np.bincount(y) / 5).max() < 1
    assert model.score(held, held_y) == scores[best]
    ended = MLPClassifier(max_epochs=best + 1, random_state=1).fit(kept, kept_y)
    assert np.array_equal(weights(model), weights(ended))
    assert MLPClassifier(max_epochs=1).fit(X, y).validation_scores_ is None


def test_early_stopping_says_which_rows_are_missing():
    X, y = np.random.default_rng(0).normal(size=(40, 4)), np.array([0] * 39 + [1])
    with pytest.raises(ValueError, match=r"early_stopping: expected at least two rows of each class, got \[39, 1\]"):
        MLPClassifier(early_stopping=True).fit(X, y)


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no signals here")
def test_ctrl_c_keeps_what_was_learnt(digits):
    def schedule(updates):
        if updates == 7:
            signal.raise_signal(signal.SIGINT)
        return 1.0

    model = MLPClassifier(learning_rate_schedule=schedule, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*digits)
    assert np.array_equal(weights(model), weights(MLPClassifier(max_updates=8, random_state=0).fit(*digits)))
    assert model.predict(digits[0]).shape == (500,)


def test_verbose(digits, capsys):
    MLPClassifier(max_epochs=2).fit(*digits)
    assert capsys.readouterr() == ("", "")
    MLPClassifier(max_epochs=2, verbose=1, early_stopping=True).fit(*digits)
    lines = capsys.readouterr().out.splitlines()
    expected = r"epoch \d: \d+ updates, loss \d\.\d{4}, accuracy 0\.\d{4}, validation accuracy 0\.\d{4}"
    assert len(lines) == 2
    assert all(re.fullmatch(expected, line) for line in lines)


@pytest.mark.parametrize(("verbose", "progress"), [(False, False), (True, False), (1, False), (2, None)])
def test_a_progress_bar_is_asked_for_from_verbose_2(digits, monkeypatch, verbose, progress):
    asked, fit = [], nn.fit
    monkeypatch.setattr(nn, "fit", lambda *args, **options: asked.append(options["progress"]) or fit(*args, **options))
    MLPClassifier(max_updates=1, verbose=verbose).fit(*digits)
    assert asked == [progress]


# ------------------------------------------------------------------------------------ in scikit-learn's company


def test_pipeline_and_cross_validation(digits):
    X, y = digits
    model = make_pipeline(MinMaxScaler(), CNNClassifier((8,), hidden_sizes=(32,), max_epochs=15, random_state=0))
    scores = cross_val_score(model, 16 * X, y, cv=3)
    assert scores.mean() > 0.8  # chance has 0.1
    search = GridSearchCV(model, {"cnnclassifier__learning_rate": [1e-4, 0.1]}, cv=3).fit(16 * X, y)
    assert search.best_params_ == {"cnnclassifier__learning_rate": 0.1}
    assert search.best_score_ == scores.mean()


GRID = """
import joblib, numpy as np
import cnnx
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from cnnx.sklearn import CNNClassifier
from cnnx.sklearn._cores import limited

def threads(n_jobs):
    with limited(n_jobs):
        return cnnx.get_num_threads()

def main():
    X, y = load_digits(return_X_y=True)
    X, y = X[:200] / 16, y[:200]
    search = GridSearchCV(CNNClassifier((2,), max_epochs=2, random_state=0), {"learning_rate": [0.05, 0.1]}, cv=2)
    scores = [search.set_params(n_jobs=1).fit(X, y).cv_results_["mean_test_score"]]
    used = [[threads(n) for n in (None, 1, -1)]]
    for backend in "loky", "multiprocessing", "threading":
        with joblib.parallel_config(backend=backend):
            scores.append(search.set_params(n_jobs=2).fit(X, y).cv_results_["mean_test_score"])
            used.append(joblib.Parallel(n_jobs=2)(joblib.delayed(threads)(n) for n in (None, 1, -1)))
    assert all(np.array_equal(s, scores[0]) for s in scores), scores
    assert 0 < scores[0].min()
    print(used, cnnx.get_num_threads())

if __name__ == "__main__":  # what a forkserver's workers import is this file
    main()
"""


@pytest.mark.parametrize("method", sorted({"fork", "forkserver"}.intersection(get_all_start_methods())))
@pytest.mark.parametrize("environment", [{}, {"CNNX_NUM_THREADS": "2"}], ids=["openmp's", "told"])
def test_grid_search_in_two_workers_agrees_and_takes_no_more_cores(environment, method, tmp_path):
    """Whatever starts the workers: processes made anew, copies of this one or of a forkserver (as Python 3.14 has it),
    threads; one core each, if n_jobs says no more."""
    program = tmp_path / "grid.py"
    program.write_text(GRID)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", program],
        env=os.environ | {"OMP_NUM_THREADS": "2", "JOBLIB_START_METHOD": method} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (here, loky, copies, threads), after = eval(done.stdout.replace("] ", "],"))
    all_processors = min(2, len(os.sched_getaffinity(0)))
    assert here == [2, 1, all_processors]
    assert loky[:2] == [1, 1]
    assert copies == [1, 1, 1 if method == "fork" else all_processors]
    assert threads == [1, 1, all_processors]
    assert after == 2


def test_n_jobs_limits_the_threads_of_a_fit(digits):
    cnnx.set_num_threads(3)
    seen = []

    def schedule(updates):
        seen.append(cnnx.get_num_threads())
        return 1.0

    expected = {None: 3, 1: 1, 2: 2, 7: 3}
    fitted = [
        CNNClassifier(n_jobs=n, learning_rate_schedule=schedule, max_updates=1, random_state=0).fit(*digits)
        for n in expected
    ]
    if not cnnx.native.build_info()["openmp"]:
        pytest.skip("this build has no OpenMP: it is serial")
    assert seen == list(expected.values())
    assert cnnx.get_num_threads() == 3
    for one, other in itertools.pairwise(fitted):
        assert np.array_equal(weights(one), weights(other))
        assert np.array_equal(one.predict_proba(digits[0]), other.predict_proba(digits[0]))


def test_without_scikit_learn():
    code = "import sys; sys.modules['sklearn'] = None; import cnnx.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "cnnx.sklearn needs scikit-learn: python -m pip install 'cnnx[sklearn]'" in done.stderr.splitlines()[-1]


# ------------------------------------------------------------------------------------ how well they learn


def test_digits():
    split = data.digits().split(500, None)
    X, T = split.x_train.reshape(-1, 64), split.x_test.reshape(-1, 64)
    assert CNNClassifier((8,), (3), random_state=0).fit(X, split.y_train).score(T, split.y_test) > 0.93


@pytest.mark.slow
@needs_mnist
def test_mnist_as_cn_has_it():
    """CN's settings, five seeds: PyTorch has 95 to 96 % and, for the MLP, 91 to 93.5 %."""
    split = data.mnist(MNIST).split()
    X, T = split.x_train.reshape(-1, 784), split.x_test.reshape(-1, 784)
    cnn, mlp = (
        np.mean(
            [
                kind(max_updates=10000, random_state=seed).fit(X, split.y_train).score(T, split.y_test)
                for seed in range(5)
            ]
        )
        for kind in BOTH
    )
    assert cnn > 0.945
    assert mlp < cnn - 0.01


@pytest.mark.slow
@needs_mnist
def test_mnist_with_momentum_and_a_falling_step():
    split = data.mnist(MNIST).split()
    X, T = split.x_train.reshape(-1, 784), split.x_test.reshape(-1, 784)
    model = CNNClassifier(
        conv_channels=(8, 16),
        hidden_sizes=(64,),
        dropout=0.25,
        solver="momentum",
        learning_rate=0.02,
        learning_rate_schedule="cosine",
        batch_size=20,
        max_epochs=10,
        random_state=0,
        n_jobs=1,  # a second thread gains little here, and costs much where other processes want its core
    ).fit(X, split.y_train)
    assert sum(w.size for w in model.model_.parameters.values()) == 52138
    assert model.score(T, split.y_test) >= 0.98
