"""Calls whose extents and options are boundary values up to 2^62 (geometry_calls.py), one after another.

    python tests/ops/geometries.py SEED COUNT [FIRST]

prints a line for each call before it is made, and whatever is wrong with it: slower than 2 s of processor time, an
error that names nothing, gradients that are not the adjoint's. Arrays beyond memory are views of one number.
test_geometry.py and fuzz.py run it in processes with a limit on their address space.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import cnnx

sys.path.append(str(Path(__file__).parent))  # PYTHONSAFEPATH keeps it away
from geometry_calls import KINDS, PRODUCTS

AT_ONCE = 500  # calls of a process
ADDRESSES = 768 << 20  # bytes; what is beyond them has to be refused


def main(seed, count, first=0):
    cnnx.set_num_threads(1)
    done = wrong = 0
    for i in range(first, first + count):
        rng = np.random.default_rng((seed, i))
        said, work, call = KINDS[i % len(KINDS)](rng)
        print(f"{seed} {i} {said}", flush=True)
        if work > PRODUCTS:
            continue
        start, found = time.process_time(), None
        try:
            found = call()
            done += found is None
        except (ValueError, MemoryError) as error:
            found = None if ": " in str(error) else repr(error)
        except Exception as error:
            found = repr(error)
        took = time.process_time() - start
        if took > 2:
            found = f"{took:.1f} s"
        if found is not None:
            wrong += 1
            print(f"WRONG: {found}", flush=True)
    print(f"done: {done} computed, {wrong} wrong")


def limited():
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))


def tried(seed, count, patience=600):
    """Make calls of a seed in processes with a limit on addresses; how many were computed, and what is wrong."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    computed, wrong = 0, []
    for first in range(0, count, AT_ONCE):
        command = [sys.executable, __file__, *map(str, (seed, min(AT_ONCE, count - first), first))]
        with tempfile.TemporaryFile("w+") as printed:
            try:
                done = subprocess.run(
                    command, env=environment, preexec_fn=limited, stdout=printed, stderr=subprocess.PIPE, text=True,
                    timeout=patience, check=False,
                )  # fmt: skip
                ended = f"ended its process, {done.returncode}: {done.stderr[-500:]}"
            except subprocess.TimeoutExpired:
                ended = f"took over {patience} s, with those before"
            printed.seek(0)
            lines = printed.read().splitlines()
        wrong += [f"{call}: {said}" for call, said in itertools.pairwise(lines) if said.startswith("WRONG")]
        if lines and lines[-1].startswith("done: "):
            computed += int(lines[-1].split()[1])
        else:
            wrong.append(f"{''.join(lines[-1:])}: {ended}")
    return computed, wrong


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
