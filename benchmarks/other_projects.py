"""Two projects that are not ours, for any_project.py: their releases, benchmarks of them, how a function is slowed."""

import subprocess
import sys
import tarfile

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
FUNCTIONS_OF_MORE_ITERTOOLS = """
import more_itertools as m


def numbers(n):
    return [(7 * i) % 1009 for i in range(n)]


def map_reduce(values):
    return m.map_reduce(values, lambda n: n % 10, lambda n: n + 1, sum)


def sort_together(values):
    return m.sort_together([values, values])


def minmax(values):
    return m.minmax(values)
"""
SETTINGS_OF_MORE_ITERTOOLS = """
[tool.cnnx.bench]
functions = [
    { call = "speed:map_reduce", setup = "speed:numbers", parameters = { n = 1000 } },
    { call = "speed:sort_together", setup = "speed:numbers", parameters = { n = 1000 } },
    { call = "speed:minmax", setup = "speed:numbers", parameters = { n = 1000 } },
]
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
        {"benchmarks/test_speed.py": SPEED_OF_MORE_ITERTOOLS, "speed.py": FUNCTIONS_OF_MORE_ITERTOOLS},
        SETTINGS_OF_MORE_ITERTOOLS,
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
