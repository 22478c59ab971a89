"""Exact sums over ranks: the same bits for any number of them, and what one process without parts comes to."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import threading

import numpy as np
import pytest

from cnnx import nn
from cnnx.cli import main
from cnnx.nn._exact import in_step
from cnnx.nn._share import meet
from cnnx.nn.parallel import PARTS, tree

pytestmark = pytest.mark.once

MPIEXEC = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or not importlib.util.find_spec("mpi4py"),
    reason="needs mpi4py and an mpiexec: python -m pip install 'cnnx[mpi]' mpich",
)

# 37 images in batches of 10, 7 and 3: parts of none, one and two.
RUNS = """
import hashlib
import numpy as np
from cnnx import nn

rng = np.random.default_rng(2)
X, Y = rng.normal(size=(37, 2, 6, 6)), rng.integers(0, 3, 37)

def network(dtype):
    kind = dict(dtype=dtype, seed=np.random.default_rng(1))
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False, **kind), nn.BatchNorm2d(3, dtype=dtype), nn.Tanh(), nn.Dropout(0.3, seed=5),
        nn.MaxPool2d(2), nn.Flatten(), nn.Affine(12, 3, **kind),
    )

def branching(dtype):
    kind = dict(dtype=dtype, seed=np.random.default_rng(1))
    return nn.Graph(
        ("conv1", nn.Conv2d(2, 3, 3, **kind)),
        ("conv2", nn.Conv2d(3, 3, 3, padding=1, **kind)),
        ("bn", nn.BatchNorm2d(3, dtype=dtype)),
        ("drop", nn.Dropout(0.3, seed=5), "conv1"),
        ("add", nn.Add(), "bn", "drop", "conv1"),
        ("flat", nn.Flatten()),
        ("fc", nn.Affine(48, 3, **kind)),
    )

def plain(dtype):
    return nn.Sequential(nn.Flatten(), nn.Affine(72, 3, dtype=dtype, seed=1))

def noisy(x, random):
    return x + random.normal(0, 0.1, x.shape).astype(x.dtype)

RUNS = {
    "normalised": (network, dict(batch_size=10)),
    "fewer than parts": (network, dict(batch_size=3, optimizer=lambda: nn.Adam(0.01))),
    "sum": (network, dict(batch_size=7, cost=nn.CrossEntropy(reduction="sum"), optimizer=lambda: nn.SGD(0.01))),
    "squares": (plain, dict(batch_size=5, y=np.eye(3)[Y], cost=nn.SquaredError())),
    "augmented": (plain, dict(batch_size=9, augment=noisy)),
    "branching": (branching, dict(batch_size=10)),
}

def run(name, ranks, dtype):
    make, chosen = RUNS[name]
    options = dict(y=Y, cost=nn.CrossEntropy(), optimizer=lambda: nn.SGD(0.05, momentum=0.9)) | chosen
    y, cost, optimizer = (options.pop(key) for key in ("y", "cost", "optimizer"))
    x, y = X.astype(dtype), y.astype(dtype) if y.ndim > 1 else y
    model = make(dtype)
    history = nn.fit(
        model, cost, optimizer(), x, y, updates=25, seed=3, ranks=ranks, validation=(x[:11], y[:11]), progress=False,
        **options,
    )
    ends = [[e.loss, e.accuracy, e.validation_loss, e.validation_accuracy] for e in history.epochs]
    found = {**model.parameters, **model.buffers, "losses": np.array(history.losses), "ends": np.array(ends)}
    return {name: np.array(a) for name, a in found.items()}

def digest(found):
    return hashlib.sha256(b"".join(a.tobytes() for a in found.values())).hexdigest()
"""


def runs():
    found = {}
    exec(RUNS, found)
    return found


@pytest.mark.parametrize("name", ["normalised", "fewer than parts", "sum", "squares", "augmented", "branching"])
def test_parts_come_to_what_the_whole_batch_does(name):
    run = runs()["run"]
    whole, parts = run(name, None, "float64"), run(name, nn.Ranks(exact=True), "float64")
    assert whole.keys() == parts.keys()
    for key, array in whole.items():
        assert abs(parts[key] - array).max() < 1e-9, key
    again = run(name, nn.Ranks(exact=True), "float64")
    assert runs()["digest"](again) == runs()["digest"](parts)


@needs_mpi
@pytest.mark.parametrize("ranks", [1, 2, 3, pytest.param(4, marks=pytest.mark.thorough), 8])
def test_any_number_of_ranks_ends_at_the_same_bits(tmp_path, ranks):
    (tmp_path / "runs.py").write_text(RUNS)
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import json, sys
            sys.path.insert(0, {str(tmp_path)!r})
            import runs
            from cnnx import nn

            ranks = nn.Ranks(exact=True)
            assert ranks.size == {ranks}, "an MPI that is not mpiexec's"
            found = {{n: runs.digest(runs.run(n, ranks, "float32")) for n in runs.RUNS}}
            with open(f"{tmp_path}/{{ranks.rank}}.json", "w") as file:
                json.dump(found, file)
            """
        )
    )
    done = subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "mpi4py", str(program)],
        **dict(capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"}),
    )
    assert done.returncode == 0, done.stderr
    here = runs()
    expected = {name: here["digest"](here["run"](name, nn.Ranks(exact=True), "float32")) for name in here["RUNS"]}
    for rank in range(ranks):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == expected


# ------------------------------------------------------------------------------------------ sums, without MPI


class Together:
    """A communicator of threads; counts the bytes that leave a rank."""

    def __init__(self, size):
        self.size, self.box, self.barrier = size, {}, threading.Barrier(size)
        self.sent = [0] * size

    def rank_of(self, rank):
        world = self

        class One:
            size = world.size

            def Dup(self):
                return self

            def swap(self, mine):
                world.box[self.rank] = mine
                world.barrier.wait(30)
                every = [world.box[r] for r in range(world.size)]
                world.barrier.wait(30)
                return every

            def Alltoallv(self, out, into):
                (data, counts), (buffer, expected) = out, into
                sections = np.split(data, np.cumsum(counts)[:-1])
                world.sent[self.rank] += sum(s.nbytes for i, s in enumerate(sections) if i != self.rank)
                every = [sections[self.rank] for sections in self.swap(sections)]
                assert [len(a) for a in every] == list(expected)
                buffer[:] = np.concatenate(every)

            def Allgatherv(self, mine, into):
                buffer, expected = into
                world.sent[self.rank] += mine.nbytes * (world.size - 1)
                every = self.swap(mine.copy())
                assert [len(a) for a in every] == list(expected)
                buffer[:] = np.concatenate(every)

        one = One()
        one.rank = rank
        return one


def ranks_of(size):
    world, found = Together(size), []
    for rank in range(size):
        ranks = object.__new__(nn.Ranks)
        ranks.exact, ranks.rank, ranks.size, ranks._comm = True, rank, size, world.rank_of(rank)
        ranks._mpi = type("MPI", (), {"Exception": ()})
        found.append(ranks)
    return world, found


@pytest.mark.parametrize("size", range(1, PARTS + 1))
@pytest.mark.parametrize("count", [1, 5, 840])
def test_sums_are_one_tree_whatever_the_number_of_ranks(size, count):
    rng = np.random.default_rng(0)
    parts = (rng.normal(size=(PARTS, count)) * 10.0 ** rng.integers(-6, 6, (PARTS, count))).astype("float32")
    a, b, c, d, e, f, g, h = parts
    expected = ((a + b) + (c + d)) + ((e + f) + (g + h))
    assert tree(parts).tobytes() == expected.tobytes()
    world, every = ranks_of(size)
    got = [None] * size

    def add(rank):
        own = slice(*every[rank]._own(rank))
        got[rank] = every[rank].add_parts(parts[own])

    threads = [threading.Thread(target=add, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(total.tobytes() == expected.tobytes() for total in got)
    if count == 840 and size in (2, 4, 8):
        assert {*world.sent} == {(PARTS // size + 1) * (size - 1) * count * 4 // size}  # as the docstring says


@pytest.mark.parametrize("size", range(1, PARTS + 1))
def test_parts_are_all_rows_once_whatever_the_number_of_ranks(size):
    for images in 0, 1, 5, 8, 10, 100:
        _, every = ranks_of(size)
        rows = [part for ranks in every for part in ranks.parts(images)]
        assert rows == [slice(i * images // PARTS, (i + 1) * images // PARTS) for i in range(PARTS)]
        for ranks in every:
            mine = ranks.parts(images)
            assert ranks.share(images) == slice(mine[0].start, mine[-1].stop)


def test_parts_meet_in_step():
    order = []

    def part(i):
        def run():
            order.append(i)
            total = meet.get()(np.array([float(i)]))
            order.append(i)
            return total * 10

        return run

    found = in_step([part(i) for i in range(3)], lambda stacked: stacked.sum(axis=0))
    assert [a.tolist() for a in found] == [[30.0]] * 3
    assert order == [0, 1, 2, 0, 1, 2]


def test_a_part_that_fails_ends_the_others():
    def waits():
        meet.get()(np.zeros(1))
        raise AssertionError("it went on")

    def fails():
        raise FloatingPointError("a part's own")

    before = threading.active_count()
    with pytest.raises(FloatingPointError, match="a part's own"):
        in_step([waits, fails], lambda stacked: stacked)
    with pytest.raises(RuntimeError, match="expected the same layers for every part"):
        in_step([waits, lambda: np.zeros(1)], lambda stacked: stacked)
    assert threading.active_count() == before


def test_what_exact_sums_refuse(monkeypatch):
    class Own(nn.Layer):
        def __init__(self):
            super().__init__()
            self._buffers = {"seen": np.zeros(1)}

    x, y = np.zeros((4, 3)), np.zeros(4, int)
    with pytest.raises(ValueError, match=r"running statistics of BatchNorm2d alone, .* others too: 0.seen"):
        nn.fit(nn.Sequential(Own()), nn.CrossEntropy(), nn.SGD(0.1), x, y, batch_size=2, updates=1,
               ranks=nn.Ranks(exact=True))  # fmt: skip
    monkeypatch.setattr("cnnx.nn.parallel.Alone.size", PARTS + 1)
    with pytest.raises(ValueError, match="exact: expected at most 8 ranks"):
        nn.Ranks(exact=True)
    with pytest.raises(TypeError, match="exact: expected"):
        nn.Ranks(exact="yes")


def test_the_command_needs_no_mpi(capsys):
    found = []
    for options in ["--exact"], ["--exact"], []:
        assert main(["train", "ox", "--updates", "30", "--json", *options]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["outputs"] == found[1]["outputs"]
    assert np.allclose(found[0]["outputs"], found[2]["outputs"], rtol=1e-9)
    assert found[0]["settings"]["exact"] is True
