"""Does `cnnx bench --against` judge other people's projects rightly? python benchmarks/any_project.py [PACKAGE]

A pinned release, from its sources, becomes a git repository in a temporary folder, with benchmarks of this script's.

    unchanged   the tree against its own commit: any alarm is false
    slowed      one function waits, after its work, for a share of the time that the work took
    drift       twenty commits, of which five in a row make the function 2 % slower each; every commit is measured
                against the first one and recorded, then `--history` names what changed, and `--bisect` the commit

more-itertools is pure Python and is measured by pytest-benchmark's fixture, bitarray is an extension and has functions
in its pyproject.toml. Each line has the machine's load. Needs an index of packages; takes 15 to 40 minutes a package.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

STEPS, BEFORE, BEHIND = 5, 9, 6  # commits: slower by --step each, those before the first, those after the last

SPEED_OF_MORE_ITERTOOLS = """
import collections

import more_itertools as m
import pytest

NUMBERS = [(7 * i) % 1009 for i in range(1000)]
NESTED = [[i, [i, (i, i)]] for i in range(100)]


def run(iterable):
    return collections.deque(iterable, maxlen=0)


def test_map_reduce(benchmark):
    found = benchmark(m.map_reduce, NUMBERS, lambda n: n % 10, lambda n: n + 1, sum)
    assert sum(found.values()) == sum(NUMBERS) + 1000


@pytest.mark.parametrize("name", ["all_equal", "all_unique", "ilen", "minmax", "sort_together"])
def test_of_numbers(benchmark, name):
    benchmark(getattr(m, name), [NUMBERS] if name == "sort_together" else NUMBERS)


@pytest.mark.parametrize("size", [2, 30])
@pytest.mark.parametrize("name", ["chunked", "windowed", "divide", "sliding_window", "grouper"])
def test_by_size(benchmark, name, size):
    function = getattr(m, name)
    arguments = (size, NUMBERS) if name == "divide" else (NUMBERS, size)
    benchmark(lambda: run(function(*arguments)))


@pytest.mark.parametrize("name", ["consecutive_groups", "unique_everseen", "pairwise", "run_length.encode"])
def test_lazily(benchmark, name):
    function = m
    for part in name.split("."):
        function = getattr(function, part)
    benchmark(lambda: run(function(NUMBERS)))
"""
SLOW_MAP_REDUCE = """

def _slowed(function):
    from time import perf_counter

    def slowed(*args, **kwargs):
        begin = perf_counter()
        found = function(*args, **kwargs)
        end = perf_counter()
        while perf_counter() < end + {share} * (end - begin):
            pass
        return found

    return slowed


map_reduce = _slowed(map_reduce)
"""

SPEED_OF_BITARRAY = """
import bitarray.util


def bits(n):
    return bitarray.util.zeros(n) | bitarray.bitarray([i % 3 == 0 for i in range(n)])


def count(a):
    return a.count()


def find(a):
    return a.find(bitarray.bitarray("11"))


def both(a):
    return a & ~a


def as_list(a):
    return a.tolist()


def to_hex(a):
    return bitarray.util.ba2hex(a)
"""
SETTINGS_OF_BITARRAY = """
[tool.cnnx.bench]
functions = [
    { call = "speed:count", setup = "speed:bits", parameters = { n = [200_000] } },
    { call = "speed:find", setup = "speed:bits", parameters = { n = [2_000] } },
    { call = "speed:both", setup = "speed:bits", parameters = { n = [200_000] } },
    { call = "speed:as_list", setup = "speed:bits", parameters = { n = [10_000] } },
    { call = "speed:to_hex", setup = "speed:bits", parameters = { n = [100_000] } },
]
"""
SLOW_COUNT = """
#include <time.h>
static double
seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static PyObject *
slowed_count(bitarrayobject *self, PyObject *args)
{
    double begin = seconds_now();
    PyObject *found = bitarray_count(self, args);
    double end = seconds_now();
    while (seconds_now() < end + SHARE * (end - begin));
    return found;
}

"""


def slow_map_reduce(root, share):
    path = root / "more_itertools" / "more.py"
    before = path.read_text().partition(SLOW_MAP_REDUCE[:20])[0]
    path.write_text(before + SLOW_MAP_REDUCE.format(share=share))


def slow_count(root, share):
    path = root / "bitarray" / "_bitarray.c"
    text = path.read_text()
    there, table = "(PyCFunction) bitarray_count,", "static PyMethodDef bitarray_methods[]"
    if SLOW_COUNT not in text:
        if text.count(there) != 1 or text.count(table) != 1:
            raise SystemExit(f"any_project.py: error: {path} has changed: say here where its methods are")
        text = text.replace(there, "(PyCFunction) slowed_count,").replace(table, SLOW_COUNT + table)
    lines = [line for line in text.splitlines() if not line.startswith("#define SHARE ")]
    path.write_text("\n".join([f"#define SHARE {share}", *lines]) + "\n")


# Package: its version, the files that are added, what is added to pyproject.toml, how one function is slowed, options.
PACKAGES = {
    "more-itertools": (
        "10.7.0",
        {"benchmarks/test_speed.py": SPEED_OF_MORE_ITERTOOLS},
        "",
        slow_map_reduce,
        ["--pytest", "benchmarks"],
    ),
    "bitarray": ("3.4.2", {"speed.py": SPEED_OF_BITARRAY}, SETTINGS_OF_BITARRAY, slow_count, []),
}


def git(root, *words):
    identity = ("-c", "user.name=any", "-c", "user.email=any@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *words], cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def commit(root, words):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", words)
    return git(root, "rev-parse", "HEAD")[:12]


def repository(name, folder):
    """The release with our benchmarks, as the first commit of a repository."""
    version, files, settings, *_ = PACKAGES[name]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        ":all:",
    ]
    subprocess.run([*command, "-d", str(folder), f"{name}=={version}"], check=True)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        file.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    sdist.unlink()
    (root,) = folder.iterdir()
    for path, text in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    with open(root / "pyproject.toml", "a") as file:
        file.write(settings)
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root, f"{name} {version}")
    return root


def bench(root, *options):
    """A run: the exit code, and what it printed."""
    command = [sys.executable, "-m", "cnnx", "bench", *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        words = f"{' '.join(command[2:])} ended with exit code {done.returncode}: {done.stderr}"
        raise SystemExit(f"any_project.py: error: {words}")
    return done


def load():
    return f"load {os.getloadavg()[0]:.1f}"


def runs(kind, root, count, options):
    """So many runs, a line for each."""
    alarms = 0
    for number in range(1, count + 1):
        start = time.monotonic()
        found = json.loads(bench(root, "--against", "HEAD", "--json", *options).stdout)
        if found["failed"]:
            raise SystemExit(f"any_project.py: error: {found['failed']}")
        alarms += bool(found["regressions"])
        words = "; ".join(found["regressions"]) or "no regression"
        seconds = time.monotonic() - start
        print(f"{kind}, run {number}, {len(found['figures'])} figures, {seconds:.0f} s, {load()}: {words}", flush=True)
    print(f"{kind}: {alarms} of {count} runs raised an alarm", flush=True)


def drift(root, step, slow, options):
    """Twenty commits with five slower ones, each recorded; then what is said of them."""
    first = git(root, "rev-parse", "HEAD")[:12]
    slow(root, 0.0)  # so that the wait itself is in all of them
    first = commit(root, "as fast as before")
    commits = [first]
    for number in range(1, BEFORE + STEPS + BEHIND):
        steps = min(max(0, number - BEFORE + 1), STEPS)
        slow(root, round(step * steps, 3))
        (root / "CHANGES.txt").write_text(f"{number}\n")
        commits.append(commit(root, f"{number}: {steps} steps"))
    print(f"drift: from {commits[BEFORE]} to {commits[BEFORE + STEPS - 1]}, after {commits[BEFORE - 1]}", flush=True)
    history = root.parent / "history.jsonl"
    for name in commits:
        git(root, "checkout", "--quiet", name)
        start = time.monotonic()
        bench(root, "--against", first, "--rounds", "10", "--record", str(history), *options)
        print(
            f"{name} ({git(root, 'show', '-s', '--format=%s')}): {time.monotonic() - start:.0f} s, {load()}", flush=True
        )
    print("$ cnnx bench --history history.jsonl")
    print(bench(root, "--history", str(history)).stdout, flush=True)
    print(f"$ cnnx bench --against {first} --bisect {' '.join(options)}")
    print(bench(root, "--against", first, "--bisect", *options).stdout, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("package", nargs="?", choices=PACKAGES, help="default: each")
    parser.add_argument("--runs", type=int, default=10, help="unchanged, and slowed (default 10)")
    parser.add_argument("--by", type=float, default=0.1, help="how much slower the function is made (default 0.1)")
    parser.add_argument("--step", type=float, default=0.02, help="of a commit of the drift (default 0.02)")
    parser.add_argument("--only", choices=("unchanged", "slowed", "drift"), help="one of the three")
    parser.add_argument("--case", action="append", default=[], help="for cnnx bench; may be given again")
    asked = parser.parse_args()
    for name in [asked.package] if asked.package else PACKAGES:
        version, _, _, slow, options = PACKAGES[name]
        options = [*options, *(word for case in asked.case for word in ("--case", case))]
        print(f"{name} {version}, {load()}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            root = repository(name, Path(folder))
            if asked.only in (None, "unchanged"):
                runs("unchanged", root, asked.runs, options)
            if asked.only in (None, "slowed"):
                slow(root, asked.by)
                runs("slowed", root, asked.runs, options)
                git(root, "checkout", "--quiet", ".")
            if asked.only in (None, "drift"):
                drift(root, asked.step, slow, options)


if __name__ == "__main__":
    main()
