"""Checkpoints: who goes on comes to the same bits, whatever ended the run before; what is no checkpoint is said so."""

import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from cnnx import nn
from cnnx.nn import checkpoint as files

pytestmark = pytest.mark.once

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(22, 2, 6, 6)).astype("float32"), RNG.integers(0, 3, 22)


class KilledError(Exception):
    pass


def network(seed=0, rate=0.3):
    random = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, seed=random),
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.Sequential(nn.Dropout(rate, seed=9), nn.Flatten(), nn.Dropout(0.1, seed=np.random.default_rng(4))),
        nn.Affine(48, 3, seed=random),
    )


def noisy(x, random):
    return x + random.normal(0, 0.1, x.shape).astype(x.dtype)


OPTIMIZERS = {
    "sgd": lambda kind=nn.SGD: kind(0.05),
    "momentum": lambda: nn.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-4),
    "adam": lambda: nn.Adam(0.01),
}


def train(folder=None, *, kill=None, optimizer="momentum", model=None, **options):
    """A training from new objects; what it did, in bits, and its history. `kill`: an error after so many updates."""
    made, model = OPTIMIZERS[optimizer](), model or network()
    step = made.step

    def mortal(*arguments):
        if made.updates == kill:
            raise KilledError
        step(*arguments)

    made.step = mortal
    options = dict(x=X, y=Y, batch_size=5, updates=17, seed=1, validation=(X[:7], Y[:7])) | options
    history = nn.fit(model, nn.CrossEntropy(), made, checkpoint=folder, **options)
    return bits(model, made, history), history


def bits(model, optimizer, history):
    arrays = {**model.parameters, **model.buffers}
    arrays |= {f"{i}/{name}": a for name, kept in optimizer.state.items() for i, a in enumerate(kept)}
    epochs = [replace(epoch, seconds=0.0) for epoch in history.epochs]
    drawn = {name: repr(one.bit_generator.state) for name, one in model.generators.items()}
    return {name: a.tobytes() for name, a in arrays.items()}, optimizer.updates, history.losses, epochs, drawn


@pytest.mark.parametrize("every", [1, 3, 7, None])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_whenever_it_ends_the_bits_are_the_same(tmp_path, optimizer, every):
    """22 images by 5: five batches a pass, the last of two images."""
    expected, _ = train(optimizer=optimizer, augment=noisy)
    for kill in 0, 1, 4, 5, 6, 12, 16:
        folder = tmp_path / str(kill)
        with pytest.raises(KilledError):
            train(folder, kill=kill, optimizer=optimizer, every=every, augment=noisy)
        found, history = train(folder, optimizer=optimizer, every=every, augment=noisy)
        assert found == expected
        assert history.resumed == (kill // (every or 5)) * (every or 5)
        assert not history.interrupted


def test_without_a_seed_what_was_drawn_goes_on(tmp_path):
    """What is drawn afresh is drawn once; the second process has other weights and orders, until it goes on."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    with pytest.raises(KilledError):
        train(whole, kill=7, every=7, seed=None)
    parts.mkdir()
    for path in whole.iterdir():
        (parts / path.name).write_bytes(path.read_bytes())
    expected, _ = train(whole, seed=None, every=7)
    with pytest.raises(KilledError):
        train(parts, seed=None, every=2, kill=13)
    found, history = train(parts, seed=None, every=2, model=network(seed=77))
    assert found == expected
    assert history.resumed == 12


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM])
def test_any_generator_and_one_for_all(tmp_path, kind):
    """The network's dropout and the orders draw from one generator, which the checkpoint has in two states."""

    def shared(folder, kill=None):
        random = np.random.Generator(kind(5))
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.3, seed=random), nn.Affine(72, 3, seed=random))
        return train(folder, kill=kill, model=model, seed=random, every=2)

    expected, _ = shared(tmp_path / "a")
    with pytest.raises(KilledError):
        shared(tmp_path / "b", kill=13)
    found, history = shared(tmp_path / "b")
    assert history.resumed == 12
    assert found == expected


def test_a_finished_run_is_not_run_again_and_more_updates_train_on(tmp_path):
    expected, history = train(tmp_path, every=3)
    again, second = train(tmp_path, every=3)
    assert again == expected
    assert (history.resumed, second.resumed) == (0, 17)
    longer, third = train(tmp_path, updates=28)
    assert longer == train(updates=28)[0]  # the pass that 17 ends in is done to its end
    assert third.resumed == 17
    with pytest.raises(ValueError, match="updates, epochs: expected at least the 28 that the checkpoint has, got 20"):
        train(tmp_path, updates=20)
    assert train(tmp_path, updates=None, epochs=6)[0] == train(updates=None, epochs=6)[0]


def test_after_ctrl_c_it_goes_on(tmp_path):
    class Stopped(nn.SGD):
        def step(self, *arguments):
            super().step(*arguments)
            if self.updates == 8:
                signal.raise_signal(signal.SIGINT)

    model = network()
    history = nn.fit(
        *(model, nn.CrossEntropy(), Stopped(0.05), X, Y),
        **dict(batch_size=5, updates=17, seed=1, validation=(X[:7], Y[:7]), checkpoint=tmp_path, every=100),
    )
    assert (history.interrupted, history.updates) == (True, 8)
    # an optimiser of another name is another one, so its checkpoint is given ours
    (path,) = files.Checkpoints(tmp_path, 1, 1).paths()
    state = files._read(path.read_bytes())
    state.rest["run"]["optimizer"] = "SGD(learning_rate=0.05)"
    files.Checkpoints(tmp_path, 1, 1).write(8, state)
    found, history = train(tmp_path, optimizer="sgd")
    assert history.resumed == 8
    assert found == train(optimizer="sgd")[0]


def test_on_epoch_may_stop_and_does_so_again(tmp_path):
    def second(epoch):
        return epoch.updates == 10

    expected, history = train(tmp_path, on_epoch=second, every=100)
    assert (history.updates, history.stopped, history.interrupted) == (10, True, False)
    again, second_history = train(tmp_path, on_epoch=second, every=100)
    assert again == expected
    assert second_history.resumed == 10
    assert train(tmp_path)[0] == train()[0]
    assert train(on_epoch=lambda epoch: 1)[1].updates == 17  # True alone stops
    assert train(on_epoch=lambda epoch: np.float64(epoch.loss) > 0)[1].updates == 5


# ----------------------------------------------------------------------------------------- batches


def factory(number, rows=(9, 5, 8)):
    order = np.random.default_rng([8, number]).permutation(22)
    for part in np.split(order, np.cumsum(rows)[:-1]):
        yield X[part], Y[part]


BATCHES = dict(x=None, y=None, batch_size=None, batches=factory)


@pytest.mark.parametrize("length", [dict(updates=None, epochs=4), dict(updates=11)])
def test_batches_of_a_function(tmp_path, length):
    expected, history = train(**BATCHES, **length)
    assert [(e.updates, e.images) for e in history.epochs[:3]] == [(3, 22), (6, 22), (9, 22)]
    assert history.updates == (12 if "epochs" in length else 11)
    for kill in 2, 3, 7:
        folder = tmp_path / str(kill)
        with pytest.raises(KilledError):
            train(folder, kill=kill, every=1, **BATCHES, **length)
        assert train(folder, every=1, **BATCHES, **length)[0] == expected


def test_batches_are_those_of_arrays_in_order():
    def in_order(number):
        return ((X[i : i + 5], Y[i : i + 5]) for i in range(0, 22, 5))

    assert train(shuffle=False)[0] == train(x=None, y=None, batch_size=None, batches=in_order)[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(x=X), ValueError, "batches: expected without x, y and batch_size"),
        (dict(batch_size=5), ValueError, "batches: expected without x, y and batch_size"),
        (dict(batches=[X, Y]), TypeError, "batches: expected a function or None, got list"),
        (dict(batches=lambda number: 3), TypeError, r"batches\(0\): expected an iterable of \(x, y\), got int"),
        (dict(batches=lambda number: []), ValueError, r"batches\(0\): expected at least one batch, got none"),
        (dict(batches=lambda number: [X]), TypeError, r"batches\(0\), batch 0: expected \(x, y\), got ndarray"),
        (dict(batches=lambda number: [(X, Y[:3])]), ValueError, r"batches\(0\), batch 0, y: expected 22 rows"),
        (dict(augment=lambda x, random: x[1:]), ValueError, "augment's result: expected 9 images"),
        (dict(augment=lambda x, random: None), TypeError, "augment's result: expected a NumPy array, got NoneType"),
        (dict(every=3), ValueError, "every: expected with checkpoint only, got 3"),
        (dict(log=3), TypeError, "log: expected a path or None, got int"),
    ],
)
def test_bad_arguments_are_one_clear_error(options, error, message):
    with pytest.raises(error, match=message):
        train(**BATCHES | options)


def test_fewer_batches_than_before_are_found(tmp_path):
    with pytest.raises(KilledError):
        train(tmp_path, kill=3, every=1, **BATCHES)
    original = factory.__defaults__
    try:
        factory.__defaults__ = ((10, 12),)
        with pytest.raises(ValueError, match=r"batches\(0\): expected the 3 batches of before and more, got 2"):
            train(tmp_path, every=1, **BATCHES)
    finally:
        factory.__defaults__ = original


@pytest.mark.parametrize("view", ["plain", "reversed", "swapped"])
def test_a_memory_map_is_never_read_whole(tmp_path, view):
    rows = 200_000  # 28.8 MB; as a view of another layout a copy of it would be as large
    target = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", ">f4" if view == "swapped" else "f4", (rows, 1, 6, 6))
    target[:] = 0.5
    target.flush()
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    x = x[::-1] if view == "reversed" else x
    y = np.zeros(rows, "uint8")
    model = nn.Sequential(nn.Flatten(), nn.Affine(36, 2, seed=0))
    options = dict(batch_size=10, updates=5, shuffle=False, validation=(x[:50], y[:50]))
    nn.fit(model, nn.CrossEntropy(), nn.SGD(0.1), x[:100], y[:100], **options)
    tracemalloc.start()
    try:
        nn.fit(model, nn.CrossEntropy(), nn.SGD(0.1), x, y, checkpoint=tmp_path / "c", **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The order's 8 bytes a row and the slices of the batches, not the 144 bytes that a row's image has.
    assert peak < 8_000_000
    assert not x.flags.writeable


# -------------------------------------------------------------------------------- whose it is


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(model=network(rate=0.4)), r"model \(0\) Dropout\(rate=0.3\) there, \(0\) Dropout\(rate=0.4\) here"),
        (dict(optimizer="adam"), r"optimizer SGD\(.*\) there, Adam\(.*\) here"),
        (dict(seed=2), "seed 1 there, 2 here"),
        (dict(seed=np.random.SeedSequence(1)), r"seed 1 there, SeedSequence\(1, spawn_key=\(\)\) here"),
        (dict(batch_size=6), "batch_size 5 there, 6 here"),
        (dict(shuffle=False), "shuffle True there, False here"),
        (dict(x=X + 1), "data float32 .*sha256 .* there, float32"),
        (dict(y=(Y + 1) % 3), "data float32 .*sha256 .* there, float32"),
        (dict(x=X[:20], y=Y[:20]), r"data float32 \(22, 2, 6, 6\).* there, float32 \(20, 2, 6, 6\)"),
        (dict(augment=noisy), "augment None there, noisy here"),
        (dict(schedule=nn.CosineSchedule(9)), r"schedule None there, CosineSchedule\(total=9, last=0.0\) here"),
        (dict(validation=None), "validation float32 .* there, - here"),
        (BATCHES, "batches None there, factory here.*batch_size 5 there, None here"),
    ],
)
def test_another_run_s_checkpoint_is_refused(tmp_path, options, message):
    train(tmp_path, updates=6)
    (before,) = [path.read_bytes() for path in tmp_path.iterdir() if "0006" in path.name]
    with pytest.raises(ValueError, match=f"expected a checkpoint of this run, got another's: .*{message}"):
        train(tmp_path, **options)
    assert [path.read_bytes() for path in tmp_path.iterdir() if "0006" in path.name] == [before]


def test_another_back_end_is_another_run(tmp_path):
    import cnnx

    train(tmp_path, updates=2)
    with (
        cnnx.use_backend("reference"),
        pytest.raises(ValueError, match="back end optimized there, reference here"),
    ):
        train(tmp_path)


def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(tmp_path, caplog):
    expected, _ = train(tmp_path, every=3)
    *_, before, newest = sorted(tmp_path.iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    caplog.set_level(logging.INFO, "cnnx")
    found, history = train(tmp_path, every=3)
    assert found == expected
    assert history.resumed == 15
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert f"{newest}: damaged (BadZipFile: " in caplog.messages[0]
    assert caplog.messages[1] == f"going on after update 15, from {before}"
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"damaged .*; no checkpoint in .* can be read: choose another folder"):
        train(tmp_path, every=3)


def test_a_checkpoint_that_unpacks_to_far_more_is_refused_before(tmp_path):
    """64 MiB of zeros in 64 KiB."""
    train(tmp_path, every=3, keep=1)
    (path,) = tmp_path.iterdir()
    with np.load(path) as members:
        arrays = {name: members[name] for name in members.files}
    np.savez_compressed(path, **arrays | {"losses": np.zeros(2**23)})
    assert path.stat().st_size < 2**17
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=r"expected arrays of less than the file's \d+ bytes, got 6\d+\); no check"
        ):
            train(tmp_path, every=3)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_pipe_in_the_place_of_a_checkpoint_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "checkpoint-0000000003.npz")
    with pytest.raises(OSError, match=r"0000000003.npz: expected a file, got a directory, a pipe"):
        train(tmp_path)


@pytest.mark.parametrize("where", ["this process", "another"])
def test_a_second_training_in_the_folder_is_refused(tmp_path, where):
    """The first one is not disturbed, and the folder is free after it, however it ended."""
    said = []

    def second(epoch):
        before = sorted(tmp_path.iterdir())
        if where == "this process":
            with pytest.raises(ValueError, match="checkpoint: ") as error:
                train(tmp_path)
            said.append(str(error.value))
        else:
            code = (
                "import sys; from cnnx.nn.checkpoint import Checkpoints as C\nwith C(sys.argv[1], 1, 1).locked(): pass"
            )
            command = [sys.executable, "-c", code, str(tmp_path)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            said.append(done.stderr.splitlines()[-1].removeprefix("ValueError: "))
        assert sorted(tmp_path.iterdir()) == before

    expected, _ = train()
    assert train(tmp_path, on_epoch=second)[0] == expected
    assert set(said) == {
        f"checkpoint: expected a folder that no other training uses, got {tmp_path}, where one is running; wait for "
        "its end, or choose another folder"
    }
    assert all(path.suffix == ".npz" for path in tmp_path.iterdir())
    with pytest.raises(KilledError):
        train(tmp_path, updates=30, kill=20)
    assert train(tmp_path, updates=30)[1].resumed == 20


def test_two_trainings_at_the_same_time(tmp_path):
    """Each comes to its end or is refused; pairs of them deleted each other's files."""
    code = (
        "import sys, numpy as np\nfrom cnnx import nn\nmodel = nn.Sequential(nn.Affine(3, 2, seed=0))\n"
        "x, y = np.zeros((8, 3), 'float32'), np.zeros(8, int)\n"
        "nn.fit(model, nn.CrossEntropy(), nn.SGD(0.1), x, y, batch_size=4, updates=60, seed=0, every=1,"
        " checkpoint=sys.argv[1], progress=False)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ends = [(run.communicate(timeout=120)[1], run.returncode) for run in runs]
    assert ("", 0) in ends
    for err, code in ends:
        assert code == 0 or "ValueError: checkpoint: expected a folder that no other training uses" in err
    assert len(list(tmp_path.iterdir())) == 3


def test_a_lock_that_a_killed_training_left_is_none(tmp_path):
    (tmp_path / ".lock").write_bytes(b"")
    assert train(tmp_path)[0] == train()[0]
    assert not (tmp_path / ".lock").exists()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def none(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    assert train(tmp_path)[0] == train()[0]
    assert "no locks on this file system" in caplog.text


def test_no_flipped_bit_passes(tmp_path):
    """Anywhere in the file: it is damaged, or the bit means nothing (a member's date) and the result is the same."""
    expected, _ = train(tmp_path, updates=8, keep=1)
    (path,) = tmp_path.iterdir()
    good, noticed = path.read_bytes(), 0
    for bit in np.random.default_rng(0).integers(0, 8 * len(good), 200).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        try:
            assert train(tmp_path, updates=8, keep=1)[0] == expected
        except ValueError as error:
            noticed += "damaged" in str(error)
        path.write_bytes(good)
    assert noticed >= 150


def test_what_a_checkpoint_is(tmp_path):
    (tmp_path / ".checkpoint-0000000003.npz.1234.tmp").write_bytes(b"half of one")
    (tmp_path / "notes").mkdir()
    train(tmp_path, every=3, keep=2)
    (tmp_path / "notes").rmdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"checkpoint-{n:010}.npz" for n in (15, 17)]
    with np.load(tmp_path / "checkpoint-0000000017.npz", allow_pickle=False) as members:
        rest = json.loads(members["json"].tobytes())
        assert rest["format"] == "cnnx checkpoint 1"
        assert members["losses"].shape == (17,)
        names = {name.split("/")[0] for name in members.files}
        assert names == {"json", "losses", "parameters", "buffers", "optimizer"}
        assert all(members[name].dtype != object for name in members.files)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    train(tmp_path, updates=4)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        train(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_weights_that_are_no_numbers_are_not_written(tmp_path):
    class Bad(nn.SGD):
        def step(self, model, factor=1.0):
            super().step(model, factor)
            if self.updates == 5:
                model.parameters["4.weight"][0, 0] = np.inf

    model = network()
    options = dict(batch_size=5, updates=17, seed=1, checkpoint=tmp_path, every=2)
    with pytest.raises(FloatingPointError, match=r"update 5: 4.weight is not finite any more; try a smaller learning"):
        nn.fit(model, nn.CrossEntropy(), Bad(0.05), X, Y, **options)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"checkpoint-{n:010}.npz" for n in (2, 4)]
    last = files._read(max(tmp_path.iterdir()).read_bytes()).arrays
    for name, w in model.parameters.items():  # the model has what the last checkpoint has
        assert np.array_equal(w, last[f"parameters/{name}"])


@pytest.mark.parametrize("large", [0, 70])
def test_running_statistics_that_are_no_numbers_are_not_kept(large):
    """The images' variance overflows, and a batch's cost does not see it: (x - mean) / inf is a number."""
    x = np.random.default_rng(0).random((80, 2, 3, 3), dtype="float32")
    x[large:] *= np.float32(1e25)
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Affine(18, 3, seed=0))
    with pytest.raises(FloatingPointError, match=r"0.running_var is not finite any more; try"):
        nn.fit(model, nn.CrossEntropy(), nn.SGD(0.1), x, np.arange(80) % 3, batch_size=10, epochs=2, seed=0)
    assert all(np.isfinite(array).all() for array in (*model.parameters.values(), *model.buffers.values()))


# ------------------------------------------------------------------------------------------ SIGKILL

LIVES = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from cnnx import nn

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(50, 1, 6, 6)).astype("float32"), rng.integers(0, 3, 50)

def life(folder, updates):
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, seed=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.2, seed=2), nn.Flatten(),
        nn.Affine(48, 3, seed=3),
    )
    adam = nn.Adam(0.01)
    checkpoint = dict(checkpoint=folder / "c", every=3, log=folder / "log") if updates else {}
    history = nn.fit(
        model, nn.CrossEntropy(), adam, X, Y, batch_size=7, updates=400, seed=4, validation=(X, Y),
        augment=lambda x, random: x + random.normal(0, 0.1, x.shape).astype(x.dtype), **checkpoint,
    )
    arrays = [*model.parameters.values(), *model.buffers.values(), *(a for kept in adam.state.values() for a in kept)]
    epochs = [(e.updates, e.loss, e.accuracy, e.validation_loss) for e in history.epochs]
    folder.mkdir(exist_ok=True)
    (folder / "end").write_bytes(b"".join(a.tobytes() for a in arrays) + repr((history.losses, epochs)).encode())

def child(*arguments):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        life(*arguments)
        code = 0
    finally:
        os._exit(code)

here, moments = Path(sys.argv[1]), random.Random(5)
assert os.waitpid(child(here / "whole", False), 0)[1] == 0
expected = (here / "whole" / "end").read_bytes()
kills = runs = within = 0
while kills < 50:
    folder = here / f"run{runs}"
    while True:  # until one of its lives is long enough
        pid = child(folder, True)
        if kills < 50:
            time.sleep(moments.uniform(0, 0.25))
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            kills += 1
            within += any((folder / "c").glob("*.npz"))
            continue
        assert status == 0, status
        break
    assert (folder / "end").read_bytes() == expected, folder
    lines = (folder / "log").read_text().splitlines()
    assert len(lines) == 51, len(lines)  # 400 updates of a pass's eight, and the end
    left = [path.name for path in (folder / "c").iterdir() if path.suffix != ".npz"]
    assert len(left) <= 1, left
    runs += 1
print(kills, runs, within)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX has fork and SIGKILL")
def test_killed_fifty_times_it_ends_at_the_same_bits(tmp_path):
    """At random moments, while it writes too; each life goes on where the one before left its last checkpoint."""
    done = subprocess.run(
        [sys.executable, "-c", LIVES, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    kills, runs, within = map(int, done.stdout.split())
    assert kills == 50
    assert runs >= 1
    assert within >= 20  # had something to go on from
