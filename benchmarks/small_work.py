"""From which work on two threads are faster than one: what `small_work` in cnnx/optimized/_threads.pyx stands on.

python benchmarks/small_work.py

Prints for an elementwise op (memory) and a convolution (multiply-adds) the best time of each number of threads, in
microseconds. The best times show what a parallel region costs where both cores are free. What it costs where another
process wants one (several milliseconds, now and then) is in the last column, the 99th percentile of two threads.
"""

import time

import numpy as np

import cnnx
from cnnx import native

SECONDS = 0.4  # for each figure


def times(call):
    """Seconds of each call, for a while."""
    found, end = [], time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        call()
        found.append(time.perf_counter() - start)
    return np.array(found) * 1e6


def row(name, work, call):
    """One line: work, both times, their ratio."""
    one, two = [], []
    for _ in range(3):  # alternating
        for count, found in (1, one), (2, two):
            cnnx.set_num_threads(count)
            with native.always_parallel():
                call()
                found.append(times(call))
    one, two = np.concatenate(one), np.concatenate(two)
    print(
        f"{name:12} {work:>10,}  {one.min():8.1f} {two.min():8.1f}  {one.min() / two.min():5.2f}"
        f"  {np.percentile(one, 99):9.1f} {np.percentile(two, 99):9.1f}"
    )


def main():
    print("op                 work  1 thread 2 threads  ratio  99 %: 1         2")
    for n in 8_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000:
        x = np.ones(n, np.float32)
        row("relu", n, lambda x=x: cnnx.relu(x))
    weight = np.ones((16, 16, 3, 3), np.float32)
    for images in 1, 2, 4, 8, 16, 32:
        x = np.ones((images, 16, 8, 8), np.float32)
        work = images * 16 * 8 * 8 * 16 * 9
        row("conv2d", work, lambda x=x: cnnx.conv2d(x, weight, padding=1))


if __name__ == "__main__":
    main()
