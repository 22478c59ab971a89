"""The bits of public calls drawn at random, a line each: python tests/bits.py --calls 5000 --seed 1 > v3.txt

A line has the call's number, its function, and the SHA-256 of its results: two builds, compilers or processors that
give the same bits print the same text. Calls are those of draws.py, none spoiled, on 1, 2 and 3 threads in turn.
With --compare, kernels of every instruction set that runs here compute them, and the calls that differ are named;
Those without a fused multiply-add are left out. What a NaN's bits say beside "not a number" is not promised.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import cnnx
from cnnx import native

sys.path.append(str(Path(__file__).parent))  # tox keeps it away: cnnx beside it is not what is tested
from draws import accepted
from fuzz import outcome


def bits(results):
    """SHA-256 of arrays, with one NaN for all."""
    total = hashlib.sha256()
    for a in results:
        a = np.where(np.isnan(a), np.nan, a).astype(a.dtype) if a.dtype.kind == "f" else a
        total.update(f"{a.dtype.str} {a.shape};".encode() + a.tobytes())
    return total.hexdigest()[:16]


def lines(calls, seed):
    """The line of each call."""
    threads = (1, 2, 3) if native.build_info()["openmp"] else (1,)
    for number in range(calls):
        name, arguments = accepted(np.random.default_rng((seed, number)))
        cnnx.set_num_threads(threads[number % len(threads)])
        with np.errstate(all="ignore"), native.always_parallel():
            results = outcome(name, arguments)
        yield f"{number} {name} {bits(results) if isinstance(results, list) else 'refused'}"


def by_instruction_set(calls, seed):
    """The lines of each set of kernels that has fused multiply-adds."""
    return {
        isa: subprocess.run(
            [sys.executable, __file__, "--calls", str(calls), "--seed", str(seed)],
            env=os.environ | {"CNNX_ISA": isa},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for isa in native.instruction_sets()
        if native.has_fma(isa)
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    if not options.compare:
        for line in lines(options.calls, options.seed):
            print(line)
        return 0
    found = by_instruction_set(options.calls, options.seed)
    names = list(found)
    differing = [each for each in zip(*found.values(), strict=True) if len(set(each)) > 1]
    for each in differing:
        print(*(f"{isa}: {line}" for isa, line in zip(names, each, strict=True)), sep="; ")
    print(f"{options.calls} calls, kernels of {', '.join(names)}: {len(differing)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
