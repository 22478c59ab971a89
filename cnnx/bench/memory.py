"""The memory that `cnnx.conv2d` needs beside its arguments and its result, as Linux sees it.

Each figure has fresh processes: they make the arrays, call small convolutions (threads and code are there then), have
the system forget the highest resident size so far, and convolve. The rise above arrays and result is what the layer
needed. Allowed is one copy of the padded image for each column of the kernel (S) and each thread; im2col takes R x S.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import cnnx

from .. import native
from .peers._asked import in_full, window
from .process import environment
from .worker import tuples

RUNS = 3  # the least of them counts: what else the process does only adds
SLACK = 1 << 20  # bytes: how far the system's count may be off, and a thread's stack
FORGET = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Needed:
    """Bytes of a convolution: what it took, what it may take, and what im2col takes of an image and of the batch."""

    extra: int
    allowed: int
    im2col: int
    im2col_batch: int

    @property
    def within(self) -> bool:
        """Whether it takes no more than it may, as far as the system counts."""
        return self.extra <= self.allowed + SLACK


def needed(arrays: Mapping[str, np.ndarray], threads: int, options: dict[str, Any]) -> Needed:
    """Measure one convolution of x, weight and bias.

    Raises
    ------
    OSError
        The system is not Linux.
    """
    if not FORGET.exists():
        raise OSError(f"--memory: expected Linux's {FORGET}, which is not there")
    x, geometry = arrays["x"], window(dict(arrays), in_full("conv2d", "forward", options))
    (N, C, H, W), (R, S) = x.shape, geometry.size
    height, width = H + sum(geometry.rows), W + sum(geometry.columns)
    P, Q = (
        (extent - d * (r - 1) - 1) // u + 1
        for extent, r, u, d in zip((height, width), geometry.size, geometry.stride, geometry.dilation, strict=True)
    )
    image = x.itemsize * C * R * S * P * Q
    with tempfile.TemporaryDirectory() as folder:
        file, by_name = Path(folder, "arrays.npz"), dict[str, Any](arrays)
        np.savez(file, **by_name)
        command = [sys.executable, "-P", "-m", "cnnx.bench.memory", str(file), json.dumps(options)]
        surroundings = environment(threads, native.instruction_set(), keep_memory=False)
        runs = [
            subprocess.run(command, env=surroundings, stdout=subprocess.PIPE, text=True, check=True)
            for _ in range(RUNS)
        ]
    allowed = x.itemsize * threads * S * C * height * width
    return Needed(min(int(run.stdout) for run in runs), allowed, image, N * image)


def resident() -> dict[str, int]:
    """Bytes now (VmRSS) and at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line[:5]: int(line.split()[1]) * 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}


def main(path: str, options: dict[str, Any]) -> int:
    """In a process of its own: the bytes that a convolution needs beside its arrays."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    dtype = arrays["x"].dtype
    for x, weight in (((1, 1, 3, 3), (1, 1, 3, 3)), ((64, 1, 28, 28), (8, 1, 3, 3))):  # the second has every thread
        cnnx.conv2d(np.ones(x, dtype), np.ones(weight, dtype), padding=1)
    FORGET.write_text("5")
    before = resident()["VmRSS"]
    y = cnnx.conv2d(**arrays, **{name: tuples(value) for name, value in options.items()})
    return max(0, resident()["VmHWM"] - before - y.nbytes)


if __name__ == "__main__":
    print(main(sys.argv[1], json.loads(sys.argv[2])))
