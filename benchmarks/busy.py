"""What two threads gain, and what they cost where other processes want the processors.

python benchmarks/busy.py                     this build, the machine free and with a busy process for each processor
python benchmarks/busy.py --other FOLDER      beside another build (a clone with its kernels built in place)
python benchmarks/busy.py --always            small work is split among the threads too: what `small_work` in
                                              cnnx/optimized/_threads.pyx stands on

Times are seconds of a turn by its calls: what somebody waits who makes many. Sides take turns, a process each.

Free: one thread in microseconds; two threads by one; two threads by the other build's two. Busy: the same. A number
below 1 is a gain. `--most R` ends with 1 where two threads take more than R times as long as one on the busy machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def calls():
    """What is measured, by name."""
    import numpy as np

    import cnnx
    from cnnx import nn

    def numbers(*shape):
        return np.random.default_rng(1).standard_normal(shape).astype("float32")

    def step(size, batch):
        model, cost = nn.cnn((1, 28, 28), 10, kernel_size=size, seed=0), nn.CrossEntropy()
        optimizer = nn.SGD(0.01)
        x, target = numbers(batch, 1, 28, 28), np.arange(batch) % 10

        def call():
            cost.forward(model.forward(x), target)
            model.backward(cost.backward())
            optimizer.step(model)

        return call

    def conv(shape, K, size, backward):
        x, weight = numbers(*shape), numbers(K, shape[1], size, size)
        if not backward:
            return lambda: cnnx.conv2d(x, weight, padding=size // 2)
        y = cnnx.conv2d(x, weight, padding=size // 2)
        return lambda: cnnx.conv2d_backward(y, x, weight, padding=size // 2)

    def relu(n):
        x = numbers(n)
        return lambda: cnnx.relu(x)

    def affine(N, J, units):
        x, weight = numbers(N, J), numbers(units, J)
        return lambda: cnnx.affine(x, weight)

    small, large = (10, 8, 14, 14), (8, 64, 56, 56)
    return {
        "step, 3x3, 10 images": step(3, 10),
        "step, 7x7, 10 images": step(7, 10),
        "step, 7x7, 64 images": step(7, 64),
        "conv2d, small": conv(small, 16, 3, False),
        "conv2d, small, backward": conv(small, 16, 3, True),
        "conv2d, large": conv(large, 64, 3, False),
        "conv2d, large, backward": conv(large, 64, 3, True),
        "relu, 64 thousand": relu(64_000),
        "relu, 512 thousand": relu(512_000),
        "relu, 8 million": relu(8_000_000),
        "affine, small": affine(64, 200, 100),
        "affine, middle": affine(64, 400, 120),
        "affine, large": affine(64, 4096, 1024),
    }


def worker(always):
    """Answers lines [case, threads, seconds] with how long a call took."""
    import cnnx
    from cnnx import native

    known = calls()
    print(json.dumps([cnnx.__file__, *known]), flush=True)
    with ExitStack() as stack:
        for line in sys.stdin:
            name, threads, seconds = json.loads(line)
            cnnx.set_num_threads(threads)
            if always:
                stack.enter_context(native.always_parallel())
            call, count, start = known[name], 0, time.perf_counter()
            while (taken := time.perf_counter() - start) < seconds or not count:
                call()
                count += 1
            print(json.dumps(taken / count), flush=True)


class Side:
    """A process with a build's kernels."""

    def __init__(self, folder, always):
        command = [sys.executable, os.path.abspath(__file__), "--worker", *(["--always"] if always else [])]
        keep = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**26)}
        there = os.environ | keep | {"PYTHONPATH": folder}
        self.process = subprocess.Popen(
            command, env=there, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        path, *self.names = json.loads(self.process.stdout.readline())
        if not os.path.realpath(path).startswith(os.path.realpath(folder)):
            raise SystemExit(f"{folder}: expected a clone with its kernels built in place, got cnnx of {path}")

    def seconds(self, *job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def busy(count):
    """So many processes that compute all the time."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def turns(sides, name, arguments):
    """One thread, two threads, another build's two: the mean of the turns (busy) or their median."""
    jobs = [(sides[0], 1), *((side, 2) for side in sides)]
    found = [[] for _ in jobs]
    for turn in range(arguments.rounds):
        for i in range(len(jobs)) if turn % 2 else reversed(range(len(jobs))):
            found[i].append(jobs[i][0].seconds(name, jobs[i][1], arguments.seconds))
            time.sleep(0.005)  # libgomp's threads spin for some milliseconds more
    return found


def ratios(found, middle):
    one, *two = [middle(times) for times in found]
    words = f"{one * 1e6:10.1f} {two[0] / one:6.2f}"
    return words + (f" {two[0] / two[1]:6.2f} {two[1] / one:7.2f}" if two[1:] else ""), two[0] / one


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--other", metavar="FOLDER")
    parser.add_argument("--always", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--case", action="append", help="part of a name")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, os.cpu_count()], help="how many busy processes")
    parser.add_argument("--most", type=float, default=float("inf"))
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments.always)
    folders = [HERE, *([os.path.abspath(arguments.other)] if arguments.other else [])]
    sides = [Side(folder, arguments.always) for folder in folders]
    names = [name for name in sides[0].names if any(part in name for part in arguments.case or [""])]
    worst = 0.0
    for count in arguments.busy:
        beside = ", by the other's 2; the other's 2 by 1" if folders[1:] else ""
        print(f"{count} busy processes beside it; 2 threads by 1{beside}")
        with busy(count):
            for name in names:
                words, ratio = ratios(turns(sides, name, arguments), statistics.mean if count else statistics.median)
                print(f"  {name:26} {words}", flush=True)
                worst = max(worst, ratio if count else 0.0)
    for side in sides:
        side.process.stdin.close()
        side.process.wait()
    return int(worst > arguments.most)


if __name__ == "__main__":
    sys.exit(main())
