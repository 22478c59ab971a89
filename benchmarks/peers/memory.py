"""The memory that cnnx.conv2d needs beside its arguments and its result, as the system sees it.

For each shape a fresh process: it makes the arguments, calls a tiny convolution (threads and code are there then),
has the system forget the highest resident size so far, and convolves. The rise above inputs and output is what the
layer needed. Allowed is one S-fold copy of the padded image per thread; im2col would take R x S.
"""

import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import report
from .figures import CONVOLUTIONS, FIGURES, Shape
from .measure import environment, inherited

RUNS = 3  # the least of them counts: what else the process does only adds
SLACK = 1 << 20  # bytes: how far the system's count may be off, and a thread's stack
HEADER = ("shape", "extra", "allowed", "im2col, an image", "im2col, the batch", "within")


def resident() -> dict[str, int]:
    """Bytes now (VmRSS) and at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line[:5]: int(line.split()[1]) * 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}


def worker(name: str) -> int:
    """In a process of its own: bytes that the convolution `name` needs beside its arrays."""
    import cnnx

    tiny, wanted = FIGURES["overhead conv2d (1,1,3,3)"], FIGURES[f"conv {name}"]
    for figure in (tiny, FIGURES["conv A"]):  # the second is large enough for every thread
        arrays = figure.arrays()
        cnnx.conv2d(arrays["x"], arrays["weight"], arrays["bias"], **figure.options)
    arrays = wanted.arrays()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident()["VmRSS"]
    y = cnnx.conv2d(arrays["x"], arrays["weight"], arrays["bias"], **wanted.options)
    return max(0, resident()["VmHWM"] - before - y.nbytes)


def measured(name: str, threads: int, isa: str | None) -> int:
    """The least of some processes."""
    code = f"from peers import memory; print(memory.worker({name!r}))"
    chosen = inherited(environment("cnnx", threads, isa, keep_memory=False))
    runs = [
        subprocess.run([sys.executable, "-P", "-c", code], env=chosen, stdout=subprocess.PIPE, text=True, check=True)
        for _ in range(RUNS)
    ]
    return min(int(run.stdout) for run in runs)


def allowed(shape: Shape, threads: int) -> int:
    """Bytes of one S-fold copy of a padded image for each thread."""
    return 4 * threads * shape.S * shape.C * (shape.H + 2 * shape.padding) * (shape.W + 2 * shape.padding)


def im2col(shape: Shape) -> int:
    """Bytes of an image's windows, side by side."""
    _, _, P, Q = shape.output
    return 4 * shape.C * shape.R * shape.S * P * Q


def main(threads: Sequence[int], isa: str | None, *, markdown: bool = False, shapes: Sequence[str] = ()) -> int:
    """Measure, print, and return the exit code."""
    if not Path("/proc/self/clear_refs").exists():
        print("vs_peers.py: error: --memory needs Linux's /proc/self/clear_refs", file=sys.stderr)
        return 2
    for n in threads:
        lines = []
        for name in shapes or CONVOLUTIONS:
            shape = CONVOLUTIONS[name]
            extra, most = measured(name, n, isa), allowed(shape, n)
            within = "yes" if extra <= most + SLACK else "no"
            batch = shape.N * im2col(shape)
            lines.append((name, *(f"{size / 2**20:.2f} MiB" for size in (extra, most, im2col(shape), batch)), within))
        heading = f"memory that conv2d needs beside its arrays, {n} thread(s)"
        report.show(heading, lines, HEADER, markdown=markdown)
    return 0


def processor() -> str:
    """The processor's name, as Linux has it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
