"""Does `cnnx bench --against` cry wolf, and does it see a wolf? python benchmarks/alarms.py [--runs 10] [--by 0.15]

Run in the repository. First compares an unchanged tree with its own commit, then one whose convolution waits, after
its work, for a share of the time that the work took. Both are clones in a temporary folder, built there once. Prints
each run's verdict and how many raised an alarm; takes about as long as 20 runs of `cnnx bench --against`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KERNEL = Path("cnnx", "optimized", "conv2d.pyx")
WORK = "\n            sum_images_of(&job, &arrays, threads, align_to_line(memory, scratch))\n"
SLOWED = """
            begin = now(){work}            end = now()
            while now() < end + {share} * (end - begin):
                pass
"""
CLOCK = '''
cdef extern from *:
    """
    #include <time.h>
    static double now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec + 1e-9 * t.tv_nsec;
    }
    """
    double now() nogil


cdef int convolve('''


def slow_down(source, share):
    """The kernel's source, with a wait of so large a share."""
    if source.count(WORK) != 1 or source.count("\ncdef int convolve(") != 1:
        raise SystemExit(f"alarms.py: error: {KERNEL} has changed: say here where its work is done")
    declared = source.replace("\ncdef int convolve(", CLOCK, 1)
    start = declared.index("cdef int convolve(")
    body = declared[start:].replace("    cdef Sums sums\n", "    cdef Sums sums\n    cdef double begin, end\n", 1)
    return declared[:start] + body.replace(WORK, SLOWED.format(work=WORK, share=share), 1)


def verdict(folder, options):
    """The regressions that one run in a folder finds."""
    command = [sys.executable, "-P", "-m", "cnnx", "bench", "--against", "HEAD", "--json", *options]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"alarms.py: error: {' '.join(command[2:])} ended with exit code {done.returncode}")
    return json.loads(done.stdout)["regressions"]


def runs(name, folder, count, options):
    """So many runs, a line for each; how many raised an alarm."""
    alarms = 0
    for number in range(1, count + 1):
        start = time.monotonic()
        found = verdict(folder, options)
        alarms += bool(found)
        shown = "; ".join(found) or "no regression"
        print(f"{name}, run {number}, {time.monotonic() - start:.0f} s: {shown}", flush=True)
    return alarms


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10, help="of each kind (default 10)")
    parser.add_argument("--by", type=float, default=0.15, help="how much slower the kernel is made (default 0.15)")
    parser.add_argument("--only", choices=("unchanged", "slowed"), help="one of the two")
    parser.add_argument("options", nargs="*", help="for cnnx bench, after --")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("unchanged", "slowed"):
            if asked.only in (None, name):
                clone = Path(folder, name)
                subprocess.run(["git", "clone", "--quiet", ".", str(clone)], check=True)
                built = Path("build", "against")
                if built.exists():
                    shutil.copytree(built, clone / built)
                if name == "slowed":
                    kernel = clone / KERNEL
                    kernel.write_text(slow_down(kernel.read_text(), asked.by))
                alarms = runs(name, clone, asked.runs, asked.options)
                print(f"{name}: {alarms} of {asked.runs} runs raised an alarm", flush=True)


if __name__ == "__main__":
    main()
