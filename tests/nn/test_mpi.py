"""Training on several processes: what one process comes to, for any number of ranks; and what ends the job."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import textwrap
import types

import numpy as np
import pytest

from cnnx import nn
from cnnx.nn import parallel

pytestmark = pytest.mark.once

MPIEXEC = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or not importlib.util.find_spec("mpi4py"),
    reason="needs mpi4py and an mpiexec: python -m pip install 'cnnx[mpi]' mpich",
)
CNNX = [sys.executable, "-c", "import sys; from cnnx.cli import main; sys.exit(main(sys.argv[1:]))"]


def mpiexec(ranks, *command, timeout=90):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [MPIEXEC, "-n", str(ranks), *map(str, command)],
        **dict(capture_output=True, text=True, timeout=timeout, env=environment),
    )


def script(tmp_path, text):
    """A program whose uncaught exceptions end all ranks, as `python -m mpi4py` has it."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    return sys.executable, "-m", "mpi4py", path


# What single and several processes both run: 37 images, so that neither batches nor ranks divide them.
RUNS = """
import numpy as np
from cnnx import nn

rng = np.random.default_rng(2)
X, Y = rng.normal(size=(37, 1, 6, 6)), rng.integers(0, 3, 37)

def noisy(x, random):
    return x + random.normal(0, 0.1, x.shape)

def batches(number):
    order = np.random.default_rng(number).permutation(37)
    return ((X[rows], Y[rows]) for rows in np.split(order, [1, 10, 12, 30]))

def network():
    double = dict(dtype="float64", seed=np.random.default_rng(1))
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, **double), nn.Tanh(), nn.Dropout(0.3, seed=5), nn.MaxPool2d(2), nn.Flatten(),
        nn.Affine(12, 3, **double),
    )

RUNS = {
    "plain": dict(batch_size=10),
    "fewer than ranks": dict(batch_size=3, optimizer=nn.Adam(0.01)),
    "sum": dict(batch_size=7, cost=nn.CrossEntropy(reduction="sum"), optimizer=nn.SGD(0.01)),
    "squares": dict(batch_size=5, y=np.eye(3)[Y], cost=nn.SquaredError()),
    "augmented": dict(batch_size=9, augment=noisy, schedule=nn.CosineSchedule(100)),
    "batches": dict(x=None, y=None, batches=batches),
}

def run(name, ranks=None, **more):
    options = dict(x=X, y=Y, cost=nn.CrossEntropy(), optimizer=nn.SGD(0.05, momentum=0.9), updates=100, seed=3)
    options |= RUNS[name] | more | dict(ranks=ranks)
    x, y, cost, optimizer = (options.pop(key) for key in ("x", "y", "cost", "optimizer"))
    validation = X[:11], np.eye(3)[Y[:11]] if name == "squares" else Y[:11]
    model = network()
    history = nn.fit(model, cost, optimizer, x, y, validation=validation, **options)
    ends = [[e.updates, e.images, e.loss, e.accuracy, e.validation_loss, e.validation_accuracy] for e in history.epochs]
    return dict(model.parameters) | {"losses": np.array(history.losses), "epochs": np.array(ends, float)}
"""


def single():
    """The functions of RUNS, in this process."""
    module = types.ModuleType("runs")
    exec(RUNS, module.__dict__)
    return module


@needs_mpi
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_result_is_that_of_one_process(tmp_path, ranks):
    (tmp_path / "runs.py").write_text(RUNS)
    program = script(
        tmp_path,
        f"""
        import sys
        import numpy as np
        sys.path.insert(0, {str(tmp_path)!r})
        import runs
        from cnnx import nn

        ranks = nn.Ranks()
        assert (ranks.size, ranks.rank) == ({ranks}, ranks._comm.rank), "an MPI that is not mpiexec's"
        for name in runs.RUNS:
            found = runs.run(name, ranks)
            np.savez(f"{tmp_path}/{{name}} {{ranks.rank}}.npz", **found)
        """,
    )
    done = mpiexec(ranks, *program)
    assert done.returncode == 0, done.stderr
    runs = single()
    for name in runs.RUNS:
        expected = runs.run(name)
        for rank in range(ranks):
            with np.load(tmp_path / f"{name} {rank}.npz") as found:
                assert set(found.files) == set(expected)
                for key, array in expected.items():
                    assert found[key].shape == array.shape
                    assert abs(found[key] - array).max() < 1e-10, (name, rank, key)


@needs_mpi
def test_unlike_starts_one_message_a_step_and_rank_0_alone_tells(tmp_path):
    program = script(
        tmp_path,
        f"""
        import numpy as np
        from mpi4py import MPI
        from cnnx import nn

        class Counting:
            calls = 0
            def __init__(self, comm):
                self.comm = comm
            def Dup(self):
                return self
            def Allreduce(self, *arguments):
                Counting.calls += 1
                return self.comm.Allreduce(*arguments)
            def __getattr__(self, name):
                return getattr(self.comm, name)

        ranks = nn.Ranks(Counting(MPI.COMM_WORLD))
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(20, 4)).astype("float32"), rng.integers(0, 2, 20)
        model = nn.Sequential(nn.Affine(4, 3), nn.Dropout(0.5), nn.Affine(3, 2))  # every rank draws others
        told = []
        history = nn.fit(
            model, nn.CrossEntropy(), nn.SGD(0.1), x, y, batch_size=4, epochs=2, validation=(x, y), ranks=ranks,
            on_epoch=lambda epoch: told.append(epoch) or len(told) == 2, log=f"{tmp_path}/log{{ranks.rank}}",
        )
        other = nn.Affine(4, 2)
        assert Counting.calls == 10 + 2 + 2, Counting.calls  # steps; validations; ends of passes
        assert len(told) == (2 if ranks.rank == 0 else 0)
        assert history.stopped and history.epochs[0].images == 20
        nn.fit(other, nn.CrossEntropy(), nn.SGD(0.1), x, y, batch_size=4, epochs=1, ranks=ranks)
        weights = np.concatenate([w.ravel() for m in (model, other) for w in m.parameters.values()])
        every = MPI.COMM_WORLD.allgather((weights.tobytes(), history.losses, history.epochs[0].loss))
        assert all(one == every[0] for one in every)
        """,
    )
    done = mpiexec(3, *program)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.glob("log*")] == ["log0"]
    lines = [json.loads(line) for line in (tmp_path / "log0").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["epoch", "epoch", "end"]


@needs_mpi
def test_what_ranks_cannot_do_is_said(tmp_path):
    program = script(
        tmp_path,
        """
        import numpy as np
        from cnnx import nn

        ranks = nn.Ranks()
        x, y = np.ones((8, 1, 4, 4), "float32"), np.zeros(8, int)

        def error(model, x, **options):
            try:
                nn.fit(model, nn.CrossEntropy(), nn.SGD(0.1), x, y, batch_size=4, updates=2, ranks=ranks, **options)
            except (ValueError, FloatingPointError) as error:
                return str(error)

        plain = lambda: nn.Sequential(nn.Flatten(), nn.Affine(16, 2, seed=0))
        found = [error(nn.Sequential(nn.BatchNorm2d(1), plain()), x)]
        bad = x.copy()
        bad[3] = np.nan
        model = plain()
        start = model.parameters["1.weight"].copy()
        found.append(error(model, bad, shuffle=False))  # of one rank; all have the error, and the start's weights
        assert np.array_equal(model.parameters["1.weight"], start)
        found.append(error(plain(), x + ranks.rank))
        print(*found, sep="\\n", flush=True) if ranks.rank == 1 else None
        """,
    )
    done = mpiexec(2, *program)
    assert (
        "ranks: expected a model without running statistics, got one with 0.running_mean, 0.running_var" in done.stdout
    )
    assert "update 1: the cost is nan" in done.stdout
    assert re.search("ranks: expected the same on all of them, got data .* on rank 0, .* on rank 1", done.stdout), done


# ------------------------------------------------------------------------------------ the command


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A small folder like MNIST's."""
    folder = tmp_path_factory.mktemp("digits")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 10_000).astype("uint8")
    images = rng.integers(0, 60, (10_000, 6, 6)).astype("uint8")
    images.reshape(-1, 36)[np.arange(10_000), 3 * labels] = 255
    for name, array in ("images-idx3", images), ("labels-idx1", labels):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / f"t10k-{name}-ubyte").write_bytes(header + array.tobytes())
    return folder


def command(digits, *options):
    return [*CNNX, "train", "mnist", "--data", digits, "--dtype", "float64", "--seed", "1", *options]


@needs_mpi
def test_the_command_is_one_on_several_ranks(tmp_path, digits):
    done = mpiexec(2, *command(digits, "--updates", 60, "--batch-size", 15, "--log", tmp_path / "log"))
    assert done.returncode == 0, done.stderr
    assert "60 updates of 15 images, learning rate 0.1, 2 processes of 1 threads\n" in done.stdout
    assert done.stdout.count("test accuracy ") == 2  # the table's head and the result
    assert len((tmp_path / "log").read_text().splitlines()) == 2
    found = mpiexec(2, *command(digits, "--updates", 60, "--json")).stdout
    alone = subprocess.run(command(digits, "--updates", "60", "--json"), capture_output=True, text=True, timeout=60)
    reports = [json.loads(text) for text in (found, alone.stdout)]
    assert [report["ranks"] for report in reports] == [2, 1]
    two, one = (report["epochs"][0] for report in reports)
    assert abs(two["loss"] - one["loss"]) < 1e-10
    assert abs(two["validation_loss"] - one["validation_loss"]) < 1e-10
    assert two["validation_accuracy"] == one["validation_accuracy"]


@needs_mpi
def test_an_error_of_all_is_said_once(digits):
    for options, message in (
        (["--data", "no-such-folder"], "no-such-folder: expected a folder of MNIST files"),
        (["--learning-rate", "1e30", "--dtype", "float32"], "the cost is"),
        (["--log", "no-such-folder/log"], "no-such-folder/log: No such file or directory"),
    ):
        done = mpiexec(2, *command(digits, "--updates", 50, *options))
        assert done.returncode == 2
        assert done.stderr.count("cnnx: error") == 1, done.stderr
        assert message in done.stderr


@needs_mpi
def test_an_error_of_one_ends_all(tmp_path, digits):
    program = script(
        tmp_path,
        """
        import sys
        from cnnx import nn
        from cnnx.cli import main
        from mpi4py import MPI

        class Poor(nn.SGD):
            def step(self, *arguments):
                if self.updates == 20 and MPI.COMM_WORLD.rank == 1:
                    raise MemoryError("no more")
                super().step(*arguments)

        nn.SGD = Poor
        sys.exit(main(sys.argv[1:]))
        """,
    )
    done = mpiexec(3, *program, *command(digits, "--updates", 100_000)[3:])
    assert done.returncode != 0
    assert "cnnx: error on rank 1 of 3: no more\n" in done.stderr


def weights(folder):
    newest = max(folder.glob("checkpoint-*.npz"))
    with np.load(newest) as members:
        return {name: members[name] for name in members.files if name != "json"}


@needs_mpi
def test_a_killed_rank_ends_the_job_and_another_number_of_ranks_goes_on(tmp_path, digits):
    def kept(name, updates):
        return command(digits, "--updates", updates, "--checkpoint", tmp_path / str(name), "--every", 20)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert mpiexec(2, *kept("whole", 200)).returncode == 0
    program = script(
        tmp_path,
        """
        import os, signal, sys
        from pathlib import Path
        from cnnx import nn
        from cnnx.cli import main
        from mpi4py import MPI

        class Mortal(nn.SGD):
            def step(self, *arguments):
                if self.updates == 70 and MPI.COMM_WORLD.rank == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                super().step(*arguments)

        Mortal.__name__ = "SGD"
        nn.SGD = Mortal
        sys.exit(main(sys.argv[1:]))
        """,
    )
    done = mpiexec(2, *program, *kept("parts", 200)[3:])
    assert done.returncode != 0
    assert "9" in done.stdout + done.stderr  # what mpiexec says of it, in its words
    assert {path.name for path in parts.glob("*.npz")} == {f"checkpoint-{n:010}.npz" for n in (20, 40, 60)}
    others = {}
    for ranks in 2, 3, 1:
        shutil.copytree(parts, tmp_path / str(ranks))
        done = mpiexec(ranks, *kept(ranks, 200))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("going on after update 60, from ") == 1
        others[ranks] = weights(tmp_path / str(ranks))
    expected = weights(whole)
    assert len(expected["losses"]) == 200
    for name, array in expected.items():
        assert np.array_equal(others[2][name], array), name
        assert all(abs(other[name] - array).max() < 1e-10 for other in others.values()), name


@needs_mpi
def test_ctrl_c_ends_all_ranks_with_what_was_learnt(digits):
    with subprocess.Popen(
        [MPIEXEC, "-n", "2", *map(str, command(digits, "--updates", 10_000_000))],
        **dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True),
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("     1 "):
                process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 130
    assert re.fullmatch(r"test accuracy (-|\d+\.\d\d %) after \d+ updates, stopped by Ctrl-C\n", lines[-1])


# ------------------------------------------------------------------------------------ without MPI


def test_shares_are_all_rows_once():
    for size in 1, 2, 3, 7:
        for images in 0, 1, 5, 7, 100:
            ranks = [object.__new__(nn.Ranks) for _ in range(size)]
            for rank, one in enumerate(ranks):
                one.rank, one.size, one.exact = rank, size, False
            parts = [list(range(images))[one.share(images)] for one in ranks]
            assert [row for part in parts for row in part] == list(range(images))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_what_truncated_messages_mean_is_said():
    class TruncatedError(Exception):
        pass

    def truncated(*buffers):
        raise TruncatedError("MPI_ERR_TRUNCATE: message truncated")

    ranks = object.__new__(nn.Ranks)
    ranks._mpi = types.SimpleNamespace(IN_PLACE=None, Exception=TruncatedError)
    ranks._comm = types.SimpleNamespace(Allreduce=truncated)
    with pytest.raises(RuntimeError, match=r"ranks: expected the same number of batches in a pass .*message truncated"):
        ranks.total([1.0])


def test_without_mpi4py_the_error_names_the_extra(monkeypatch, capsys):
    from cnnx.cli import main

    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'cnnx\[mpi\]'"):
        nn.Ranks()
    for variable in "PMI_SIZE", "OMPI_COMM_WORLD_SIZE":
        monkeypatch.setenv(variable, "4")
        assert parallel.launched() == 4
        assert main(["train", "ox"]) == 2  # four trainings are not what was asked for
        out, err = capsys.readouterr()
        assert out == ""
        assert "pip install 'cnnx[mpi]'" in err
        assert err.count("\n") == 1
        monkeypatch.setenv(variable, "1")
    assert main(["train", "ox", "--updates", "1"]) == 0


def test_without_an_mpi_library_the_error_says_so(monkeypatch, tmp_path):
    package = types.ModuleType("mpi4py")
    package.__path__ = [str(tmp_path)]
    (tmp_path / "MPI.py").write_text("raise RuntimeError('cannot load MPI library')")
    monkeypatch.setitem(sys.modules, "mpi4py", package)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    with pytest.raises(RuntimeError, match=r"mpi4py finds no MPI library; .*mpich.* \(cannot load MPI library\)"):
        nn.Ranks()


@needs_mpi
def test_another_mpi_than_mpiexec_s_is_found():
    """Each of four processes would otherwise train alone, and all would write the same files."""
    done = subprocess.run(
        [*CNNX, "train", "ox"],
        **dict(capture_output=True, text=True, timeout=60),
        env=os.environ | {"OMPI_COMM_WORLD_SIZE": "4"},
    )
    assert done.returncode == 2
    assert re.search(
        r"mpiexec started 4 processes, but mpi4py's MPI \(.+\) sees one; use the mpiexec of that", done.stderr
    )
    assert done.stderr.count("\n") == 1
