"""The training loop: what it counts, what it says, how it stops."""

import importlib.util
import io
import math
import signal
import sys
import threading

import numpy as np
import pytest

from cnnx import data, nn

RNG = np.random.default_rng(11)
X, Y = RNG.normal(size=(10, 3)), RNG.integers(0, 2, 10)


def model_of(seed=0):
    return nn.Sequential(
        nn.Affine(3, 4, seed=seed, dtype="float64"), nn.Tanh(), nn.Affine(4, 2, seed=1, dtype="float64")
    )


def train(model=None, cost=None, optimizer=None, x=X, y=Y, **options):
    options = {"batch_size": 4, "updates": 5, "seed": 0} | options
    return nn.fit(model or model_of(), cost or nn.CrossEntropy(), optimizer or nn.SGD(0.1), x, y, **options)


def weights(model):
    return np.concatenate([w.ravel() for w in model.parameters.values()])


# ------------------------------------------------------------------------------------ what it counts


def test_one_pass_by_hand():
    """w <- w - eta dE/dw on y = w x, one batch at a time."""
    layer = nn.Affine(1, 1, bias=False, dtype="float64")
    layer.parameters["weight"][:] = 0
    x, t = np.array([[1.0], [2.0], [1.0]]), np.array([[1.0], [2.0], [0.0]])
    history = train(
        layer, nn.SquaredError(reduction="sum"), nn.SGD(0.1), x, t, batch_size=2, epochs=1, updates=None, shuffle=False
    )
    # batch 1: C = (1 + 4) / 2, dC/dw = -1 - 4, w = 0.5; batch 2: C = 0.5^2 / 2, dC/dw = 0.5, w = 0.45
    assert np.allclose(history.losses, [2.5, 0.125], rtol=1e-15)
    assert np.allclose(layer.parameters["weight"], 0.45, rtol=1e-15)
    assert history.epochs[0].loss == 2.625
    assert history.epochs[0].accuracy is None  # one output is no class


def normalized(*before):
    return nn.Sequential(*before, nn.Conv2d(2, 4, 1, seed=0), nn.BatchNorm2d(4), nn.Flatten(), nn.Affine(4, 3, seed=0))


@pytest.mark.parametrize(
    ("images", "options"),
    [
        (11, dict(batch_size=10, epochs=1)),
        (11, dict(batch_size=10, updates=2)),
        (11, dict(batch_size=5, epochs=3)),
        (11, dict(batch_size=1, epochs=1)),
        (1, dict(batch_size=10, epochs=1)),
    ],
)
@pytest.mark.parametrize("augment", [None, lambda x, random: x])
def test_a_last_batch_of_one_that_has_no_variance_is_refused_before_anything_changes(images, options, augment):
    x, y = RNG.normal(size=(images, 2, 1, 1)).astype("float32"), RNG.integers(0, 3, images)
    model = normalized(nn.Dropout(0.5, seed=2))
    before, state = {**model.parameters, **model.buffers}, model.generators["0._random"].bit_generator.state
    copies = {name: array.copy() for name, array in before.items()}
    options = {"updates": None} | options
    with pytest.raises(
        ValueError, match=r"batch_size: expected no batch of one image .* got \d+ for \d+ images.* \(1, 4"
    ):
        train(model, x=x, y=y, augment=augment, **options)
    for name, array in before.items():
        np.testing.assert_array_equal(array, copies[name], err_msg=name)
    assert model.generators["0._random"].bit_generator.state == state


@pytest.mark.parametrize(
    ("images", "extent", "options"),
    [
        (11, 1, dict(batch_size=10, updates=1)),  # the last batch does not come
        (12, 1, dict(batch_size=10, updates=4)),
        (10, 1, dict(batch_size=10, updates=4)),
        (11, 2, dict(batch_size=10, updates=4)),
    ],
)
def test_other_last_batches_are_trained_on(images, extent, options):
    x, y = RNG.normal(size=(images, 2, extent, extent)).astype("float32"), RNG.integers(0, 3, images)
    model = normalized() if extent == 1 else normalized()[:3]
    if extent == 2:
        model = nn.Sequential(model, nn.Affine(16, 3, seed=0))
    assert train(model, x=x, y=y, **options).updates == options["updates"]


def test_the_loss_of_a_pass_weighs_images_and_not_batches():
    layer = nn.Affine(1, 1, bias=False, dtype="float64")
    layer.parameters["weight"][:] = 0
    x, t = np.ones((3, 1)), np.array([[1.0], [1.0], [2.0]])
    history = train(layer, nn.SquaredError(), nn.SGD(0.0), x, t, batch_size=2, epochs=1, updates=None, shuffle=False)
    assert history.losses == [0.5, 2.0]
    assert history.epochs[0].loss == (2 * 0.5 + 2.0) / 3


def test_accuracy():
    y = np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert nn.accuracy(y, np.array([1, 0, 0, 0])) == 0.75  # of equal outputs the first
    assert nn.accuracy(y, np.eye(3)[[1, 2, 1, 2]]) == 0.5
    assert nn.accuracy(y[:, :1], y[:, :1]) is None
    assert nn.accuracy(y[:0], np.array([], int)) is None


def test_updates_and_epochs():
    history = train(updates=7)  # 10 images by 4: three batches a pass
    assert [(e.updates, e.images) for e in history.epochs] == [(3, 10), (6, 10), (7, 4)]
    assert history.updates == 7
    assert not history.interrupted
    assert all(e.seconds > 0 and e.validation_loss is None and e.validation_accuracy is None for e in history.epochs)
    assert [e.updates for e in train(updates=None, epochs=2).epochs] == [3, 6]
    assert [(e.updates, e.images) for e in train(batch_size=99, updates=2).epochs] == [(1, 10), (2, 10)]


def test_every_image_is_seen_once_a_pass_in_a_new_order():
    seen = []

    class Watch(nn.Layer):
        def _forward(self, x):
            seen.append(x[:, 0].tolist())
            return x, True

        def _backward(self, grad_output, saved, input_grad):
            return grad_output

    x = np.arange(10.0)[:, None] * [1.0, 0.0, 0.0]
    for shuffle in True, False:
        seen.clear()
        train(nn.Sequential(Watch(), nn.Affine(3, 2, seed=0, dtype="float64")), x=x, updates=9, shuffle=shuffle)
        assert [len(batch) for batch in seen] == [4, 4, 2] * 3
        passes = [[*seen[i], *seen[i + 1], *seen[i + 2]] for i in (0, 3, 6)]
        assert all(sorted(one) == list(range(10)) for one in passes)
        assert (passes[0] == list(range(10))) is not shuffle
        assert (passes[0] == passes[1]) is not shuffle


def test_a_seed_decides_everything():
    models = [model_of() for _ in range(3)]
    histories = [train(model, seed=seed) for model, seed in zip(models, (5, 5, 6), strict=True)]
    assert histories[0].losses == histories[1].losses != histories[2].losses
    assert np.array_equal(weights(models[0]), weights(models[1]))
    assert not np.array_equal(weights(models[0]), weights(models[2]))


def test_validation_modes_and_on_epoch():
    model = nn.Sequential(nn.Dropout(0.5, seed=0), model_of())
    rows = []
    history = train(model, validation=(X[:3], Y[:3]), on_epoch=rows.append)
    assert rows == history.epochs
    assert len(rows) == 2
    assert not model.training
    loss, share = nn.evaluate(model, nn.CrossEntropy(), X[:3], Y[:3], batch_size=2)
    assert math.isclose(history.epochs[-1].validation_loss, loss, rel_tol=1e-14)
    assert history.epochs[-1].validation_accuracy == share
    outputs = model.forward(X[:3])  # in evaluation mode nothing is dropped
    assert np.array_equal(nn.predict(model, X[:3], batch_size=2), outputs)
    assert share == np.mean(outputs.argmax(1) == Y[:3])
    model.train()
    assert nn.predict(model, X[:0]).shape == (0, 2)
    assert model.training


def test_a_schedule_goes_by_the_optimisers_updates():
    asked = []

    def schedule(updates):
        asked.append(updates)
        return 0.0

    model, sgd = model_of(), nn.SGD(0.1)
    before = weights(model)
    train(model, optimizer=sgd, updates=2, schedule=schedule)
    train(model, optimizer=sgd, updates=2, schedule=schedule)
    assert asked == [0, 1, 2, 3]
    assert np.array_equal(weights(model), before)  # a factor of zero


@pytest.mark.bare  # 10,000 updates, with all work split among threads
def test_ox_with_the_chain_rule_once():
    """equations.md section 7: C_T after 5,000 updates, by what happens at ties."""
    six, two = data.ox_images("six"), data.ox_images("two")
    for ties, expected in ("first", 0.0029), ("all", 0.0024):
        model, cost = nn.ox_network(ties=ties), nn.SquaredError(reduction="sum")
        history = nn.fit(model, cost, nn.SGD(0.1), six.images, six.labels, batch_size=6, updates=5000)
        assert round(history.losses[0], 4) == 1.9818
        assert round(nn.evaluate(model, cost, six.images, six.labels)[0], 4) == expected
        assert nn.accuracy(nn.predict(model, two.images), two.labels) == 1


@pytest.mark.parametrize("optimizer", [nn.SGD(0.3, momentum=0.9, nesterov=True), nn.Adam(0.05)], ids=repr)
def test_what_can_be_learnt_is_learnt(optimizer):
    y = (X[:, 0] * X[:, 1] > 0).astype(int)  # no straight line parts these
    history = train(y=y, optimizer=optimizer, updates=400, schedule=nn.CosineSchedule(400))
    assert history.epochs[-1].accuracy == 1
    assert history.losses[-1] < 0.1


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"updates": None}, ValueError, "updates, epochs: expected exactly one of the two, got None and None"),
        ({"epochs": 1}, ValueError, "updates, epochs: expected exactly one of the two, got 5 and 1"),
        ({"updates": 0}, ValueError, "updates: expected an integer from 1"),
        ({"updates": None, "epochs": 1.5}, TypeError, "epochs: expected an integer"),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer from 1"),
        ({"x": X.tolist()}, TypeError, "x: expected a NumPy array, got list"),
        ({"x": X[:0], "y": Y[:0]}, ValueError, "x: expected at least one image"),
        ({"x": X[0], "y": Y[:3]}, ValueError, "x: expected at least one image"),
        ({"y": Y[:-1]}, ValueError, r"y: expected 10 rows, as many as x has, got shape \(9,\)"),
        ({"x": X.astype("float32")}, TypeError, "float"),
        ({"validation": X}, TypeError, r"validation: expected \(x, y\)"),
        ({"validation": (X, Y[:2])}, ValueError, r"validation\[1\]: expected 10 rows"),
        ({"seed": -1}, ValueError, "seed: expected"),
        ({"schedule": 0.5}, TypeError, "schedule: expected a function or None, got float"),
        ({"schedule": lambda t: "a"}, TypeError, r"schedule\(0\): expected a number"),
        ({"schedule": lambda t: 1 - t}, ValueError, r"schedule\(2\): expected a number of at least 0, got -1"),
        ({"schedule": lambda t: math.nan}, ValueError, r"schedule\(0\): expected a finite number"),
        ({"on_epoch": "print"}, TypeError, "on_epoch: expected a function or None, got str"),
        ({"shuffle": "no"}, TypeError, "shuffle: expected True or False"),
        ({"progress": "no"}, TypeError, "progress: expected True or False"),
        ({"model": "model"}, TypeError, "model: expected a Layer of cnnx.nn, got str"),
        ({"cost": nn.CrossEntropy}, TypeError, "cost: expected a Cost"),
        ({"optimizer": 0.1}, TypeError, "optimizer: expected an? Optimizer"),
    ],
)
def test_bad_arguments_are_one_clear_error(options, error, message):
    with pytest.raises(error, match=message):
        train(**options)


def test_a_cost_that_is_no_number_stops_the_training():
    x = X.copy()
    x[7, 1] = math.nan
    with pytest.raises(FloatingPointError, match="update 2: the cost is nan; try a smaller learning rate"):
        train(x=x, shuffle=False)
    target = np.zeros((10, 2))
    with pytest.raises(FloatingPointError, match=r"update \d+: the cost is (inf|nan)"):
        train(y=target, cost=nn.SquaredError(), optimizer=nn.SGD(1e200), updates=50)
    model = model_of()
    with pytest.raises(FloatingPointError, match="the validation after update 3: the cost is nan"):
        train(model, validation=(x, Y))
    assert not model.training


# -------------------------------------------------------------------------------------------- Ctrl-C


class Interrupting(nn.Identity, forward=nn.Identity._functions[0], backward=nn.Identity._functions[1]):
    """Raises SIGINT in given forward calls."""

    def __init__(self, *calls, times=1):
        super().__init__()
        self.calls, self.times, self.count = calls, times, 0

    def forward(self, x):
        self.count += 1
        if self.count in self.calls:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)
        return super().forward(x)


def test_ctrl_c_ends_the_update_and_keeps_what_was_learnt():
    handler = signal.getsignal(signal.SIGINT)
    model, twin = model_of(), model_of()
    # the sixth forward call is the fifth update: one was the validation
    history = train(nn.Sequential(Interrupting(6), model), updates=100, validation=(X, Y))
    assert history.interrupted
    assert history.updates == 5
    assert [(e.updates, e.images) for e in history.epochs] == [(3, 10), (5, 8)]
    assert [e.validation_accuracy is None for e in history.epochs] == [False, True]
    assert signal.getsignal(signal.SIGINT) is handler
    train(twin, updates=5)
    assert np.array_equal(weights(model), weights(twin))


@pytest.mark.parametrize(
    ("call", "updates", "expected"),
    [
        (1, 5, (1, [None], True)),  # before the validation of an unfinished pass
        (5, 9, (3, [None], True)),  # in the second of the validation's three batches
        (6, 9, (3, [True], True)),  # in its last batch: it is done
        (6, 3, (3, [True], False)),  # and so is everything
        (3, 3, (3, [None], True)),  # in the last update: the validation is left out
    ],
)
def test_ctrl_c_stops_a_validation_too(call, updates, expected):
    x, y = np.tile(X, (25, 1)), np.tile(Y, 25)  # validated by hundreds
    layer = Interrupting(call)
    history = train(nn.Sequential(layer, model_of()), updates=updates, validation=(x, y))
    found = [None if e.validation_loss is None else e.validation_accuracy is not None for e in history.epochs]
    assert (history.updates, found, history.interrupted) == expected
    assert layer.count <= max(call, 3)


def test_ctrl_c_after_all_was_done_interrupts_nothing():
    history = train(nn.Sequential(Interrupting(5), model_of()), updates=5)
    assert (history.updates, history.interrupted) == (5, False)
    history = train(updates=3, validation=(X, Y), on_epoch=lambda _: signal.raise_signal(signal.SIGINT))
    assert (history.updates, history.interrupted) == (3, False)
    history = train(updates=5, validation=(X, Y), on_epoch=lambda _: signal.raise_signal(signal.SIGINT))
    assert (history.updates, history.interrupted) == (3, True)


def test_a_second_ctrl_c_insists():
    handler = signal.getsignal(signal.SIGINT)
    model = nn.Sequential(Interrupting(2, times=2), model_of())
    with pytest.raises(KeyboardInterrupt):
        train(model)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not model.training


def test_even_a_second_ctrl_c_never_leaves_half_a_step():
    class Slow(nn.SGD):
        def _change(self, weights, slopes, rate):
            for weight, slope in zip(weights, slopes, strict=True):
                signal.raise_signal(signal.SIGINT)  # once for each of four parameters
                super()._change([weight], [slope], rate)

    model, twin = model_of(), model_of()
    with pytest.raises(KeyboardInterrupt):
        train(model, optimizer=Slow(0.1))
    train(twin, updates=1)
    assert np.array_equal(weights(model), weights(twin))


def test_an_ignored_sigint_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        history = train(nn.Sequential(Interrupting(1, 2, times=3), model_of()))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.updates == 5
    assert not history.interrupted


def test_training_in_another_thread_leaves_signals_alone():
    found = []
    handler = signal.getsignal(signal.SIGINT)

    def work():
        found.append(train())
        found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0].updates == 5
    assert found[1] is handler


# ------------------------------------------------------------------------------------------ progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("rich", [True, False])
def test_progress_on_a_terminal(monkeypatch, capsys, rich):
    if rich and not importlib.util.find_spec("rich"):
        pytest.skip("rich is not installed")
    if not rich:
        for name in "rich", "rich.console", "rich.progress":
            monkeypatch.setitem(sys.modules, name, None)
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    train(updates=6, on_epoch=lambda epoch: print(f"pass {epoch.updates}"))
    assert capsys.readouterr().out == "pass 3\npass 6\n"  # a redirected stdout gets its lines
    assert "6/6" in stderr.getvalue()
    assert "loss" in stderr.getvalue()
    stderr.seek(0)
    stderr.truncate()
    train(progress=False)
    assert stderr.getvalue() == ""


def test_no_progress_where_there_is_no_terminal(capsys):
    train(progress=True)
    assert capsys.readouterr() == ("", "")
