"""Say what is installed, how it was built and what runs here; exit 1 when something is wrong."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cnnx
from cnnx import _processors, backend, native, ops

EXTRAS = {
    "plot": "matplotlib",
    "sklearn": "scikit-learn",
    "cli": "rich",
    "audit": "mpmath",
    "bench": "scipy",
    "io": "safetensors",
    "jax": "jax",
    "keras": "keras",
    "mlx": "mlx",
    "mnn": "mnn",
    "ncnn": "ncnn",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "opencv": "opencv-python-headless",
    "openvino": "openvino",
    "paddle": "paddlepaddle",
    "report": "jinja2",
    "mpi": "mpi4py",
    "tensorflow": "tensorflow-cpu",
    "tinygrad": "tinygrad",
    "torch": "torch",
    "tract": "tract",
}

# Back ends that are loaded here; those of other adapters in a process each, as some libraries end one that has another
# of them (PaddlePaddle and TensorFlow). By what module they are imported, where that is not their name.
HERE = ("numpy", "torch", "onnxruntime")
MODULES = {"mnn": "MNN", "onnx-reference": "onnx", "opencv": "cv2"}
SECONDS = 120  # to import a library


# An onnxruntime session, torch.set_flush_denormal, a library that was linked with -ffast-math.
FLUSHING = (
    "some library has switched flush-to-zero on: numbers below the smallest normal one (1.2e-38 in float32) count as 0 "
    "in this thread, in NumPy and in Python too; cnnx's kernels switch it off while they run"
)


class Findings:
    """What was found: facts by name, notices (worth knowing) and problems (something to repair)."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.notices: list[str] = []
        self.problems: list[str] = []

    def find(self, name: str, look: Callable[[], Any]) -> Any:
        """Keep the fact that `look` finds; what it raises is a problem, and the fact None."""
        try:
            self.facts[name] = look()
        except Exception as error:  # whatever is broken: to say so is what this command is for
            self.facts[name] = None
            problem = " ".join(str(error).split()) or type(error).__name__
            if problem not in self.problems:
                self.problems.append(problem)
        return self.facts[name]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx doctor`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Examine, print, and return the exit code."""
    findings = examine()
    print(json.dumps(vars(findings), indent=2) if arguments.json else _text(findings))
    return 1 if findings.problems else 0


def examine() -> Findings:
    """Look at everything that decides whether cnnx runs, and how."""
    findings = Findings()
    find = findings.find
    find("cnnx", lambda: f"{cnnx.__version__} ({Path(cnnx.__file__).parent})")
    find("Python", lambda: f"{platform.python_version()} ({sys.executable})")
    find("NumPy", lambda: np.__version__)
    find("platform", platform.platform)
    find("processor", native.processor)

    built = find("build", native.build_info) or {}
    del findings.facts["build"]
    find("extension", lambda: built.get("path"))
    find("compiler", lambda: f"{built['compiler']}, Cython {built['cython']}" if built else None)
    find("instruction set", _instruction_set)
    find("instruction sets built", lambda: ", ".join(built["instruction_sets"]) if built else None)
    find("checked", lambda: built.get("checked"))
    find("OpenMP", lambda: built.get("openmp"))
    find("threads", _threads)
    if built.get("checked"):
        findings.notices.append("the kernels are checked ones, slow and for tests; build without CNNX_CHECKED for use")
    if built.get("openmp") is False:
        findings.notices.append("the kernels were built without OpenMP and use one thread; build with CNNX_OPENMP=on")

    better = native.better_instruction_set() if built else None
    if better:
        findings.notices.append(
            f"this processor has {better}, which would be faster and was not built: build cnnx on this machine "
            f"(pip install --force-reinstall --no-cache-dir .), or with CNNX_BUILD_ISA={better}"
        )

    for name in backend.backends():
        find(f"back end {name}", partial(_back_end, name))
    if find("flush to zero", native.flushes):
        findings.notices.append(FLUSHING)
    find("active", _active)
    find("agreement", _agreement)
    find("digests", _digests)
    find("counting", _counting)
    for extra, distribution in EXTRAS.items():
        find(f"extra {extra}", partial(_distribution, distribution))
    return findings


def _counting() -> str:
    """Who can count instructions and cache misses (cnnx bench --count)."""
    from cnnx.bench import counting

    perf, callgrind = counting.why_no_perf(), counting.why_no_callgrind()
    return f"{perf or counting.PERF}; {callgrind or counting.CALLGRIND + ', which has no AVX-512'}"


def _instruction_set() -> str:
    """Which one the kernels use, who said so, and which others could be."""
    name = native.instruction_set()
    source = "CNNX_ISA" if os.environ.get("CNNX_ISA") else "the best of this processor and this build"
    return f"{name} ({source}; usable: {', '.join(native.instruction_sets())})"


def _threads() -> str:
    """How many threads the kernels use, and who said so."""
    count = native.get_num_threads()
    for name in ("CNNX_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name):
            return f"{count} ({name}={os.environ[name]})"
    if native.build_info()["forked"]:
        return f"{count} (this process was made by fork())"
    words, given = [f"of {os.cpu_count()} processors"], _processors.quota()
    if _processors.in_affinity() != os.cpu_count():
        words.append(f"{_processors.in_affinity()} in this process's affinity")
    if given is not None:
        words.append(f"a quota of {given:g} from its control groups")
    return f"{count} ({', '.join(words)})"


def _back_end(name: str) -> str:
    """Where a back end comes from and how many kernels it has; loading it is the test."""
    points = importlib.metadata.entry_points(group=backend.ENTRY_POINTS)
    values = [point.value for point in points if point.name == name]
    adapter = any(value.startswith("cnnx.adapters.") for value in values)
    if adapter and name not in HERE:
        return _apart(name)
    try:
        count = len(backend.kernel_names(name))
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None)
        if adapter and missing == name:
            return f"{name} is not installed"  # an extra: nothing is wrong
        raise
    about = backend.about(name)
    return f"{count} kernels{''.join(f' (entry point {value})' for value in values)}{about and f'; {about}'}"


def _apart(name: str) -> str:
    """What a process of its own says of a back end."""
    if importlib.util.find_spec(MODULES.get(name, name)) is None:
        return f"{name} is not installed"
    code = f"from cnnx import backend as b; print(len(b.kernel_names({name!r})), b.about({name!r}), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ImportError(f"a process that loads it ends with {last}")
    count, about = done.stdout.strip().splitlines()[-2:]
    return f"{count} kernels (entry point {backend.entry_point(name)}); {about}"


def _active() -> str:
    name = backend.get_backend()
    return f"{name} ({'CNNX_BACKEND' if os.environ.get('CNNX_BACKEND') else 'default'})"


def _agreement() -> str:
    """A small convolution of integers, which both back ends must compute to the same bits."""
    for dtype in ("float32", "float64"):
        x = (np.arange(2 * 3 * 5 * 4) % 7 - 3).reshape(2, 3, 5, 4).astype(dtype)
        weight = (np.arange(2 * 3 * 3 * 2) % 5 - 2).reshape(2, 3, 3, 2).astype(dtype)
        fast, slow = (ops.conv2d(x, weight, padding=1, backend=name) for name in ("optimized", "reference"))
        if not np.array_equal(fast, slow):
            raise ArithmeticError(
                f"conv2d of the optimized back end differs from the reference ({dtype}); "
                "run `cnnx audit`, and build cnnx again (pip install --force-reinstall --no-cache-dir .)"
            )
    return "conv2d of optimized equals the reference"


def _digests() -> str:
    """Whether every op gives, on its small cases, the bits that this release gives."""
    from cnnx.audit.digest import FMA, expected, kind, short  # here: what is broken in there is a problem, not the end

    which = kind("optimized")
    known, found = expected(which)["short"], short()
    if not known:
        return f"none are recorded for kernels with {which}"
    others = [op for op, digest in found.items() if known.get(op) != digest]
    if others:
        raise ArithmeticError(
            f"other bits than cnnx {cnnx.__version__} gives elsewhere: {', '.join(others)}; `cnnx digest` says where, "
            "`cnnx audit` whether they are wrong: the fault of a compiler, a processor or memory (an overclocked one); "
            "who changed kernels records theirs with `cnnx digest --write`"
        )
    without = "" if which == FMA else f" with {which}: others than with one"
    return f"{len(found)} ops give the bits of cnnx {cnnx.__version__}{without}"


def _distribution(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} is not installed"


def _text(findings: Findings) -> str:
    shown = {None: "not known", True: "yes", False: "no"}
    width = max(map(len, findings.facts))
    lines = [f"{name:{width}}  {shown.get(value, value)}" for name, value in findings.facts.items()]
    lines += [
        "",
        *(f"notice: {text}" for text in findings.notices),
        *(f"problem: {text}" for text in findings.problems),
    ]
    count = len(findings.problems)
    return "\n".join([*lines, f"{count} problem{'s' * (count > 1)} found" if count else "nothing is wrong"])
