"""Fuzz the public calls: python tests/fuzz.py --calls 1000000 --geometries 20000 --seed 1

Calls are those of draws.py: of any geometry and layout, with numbers of any kind, some arguments spoiled. A call has to
return what the same call returns on plain copies with one thread, bit by bit, and, of some calls that are small, what
the reference returns; or raise an error that names the argument. It may not write to its arguments. Calls run in
processes of their own: one that crashes, or takes longer than --patience seconds, is named by its number, which repeats
it: --seed S --only NUMBER. --geometries are calls of ops/geometries.py: boundary values up to 2^62, each computed or
refused within 2 s. --minutes makes as many of both as it can. CNNX_ISA chooses the kernels.
"""

import argparse
import faulthandler
import inspect
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import cnnx
from cnnx import native

sys.path.append(str(Path(__file__).parent))  # tox keeps it away: cnnx beside it is not what is tested
from draws import FUNCTIONS, call_of

THREADS = 2 if native.build_info()["openmp"] else 1
BY_REFERENCE = 50  # one call in so many
AT_ONCE = 20_000  # calls of a process
STARTING = 120  # seconds that a process may take to its first call: imports are slow under sanitizers and load
NAMED = re.compile(r"\w+(\[\d\])*: \S|output of shape \(.*\): \S|\w+\(\) (got|missing|takes)")


def plain(value):
    """A C-contiguous copy in native byte order, of small arrays; whatever else as it is."""
    if isinstance(value, np.ndarray) and value.size < 2**20 and type(value) is np.ndarray:
        return np.array(value, value.dtype.newbyteorder("="), order="C")
    return value


def arrays_of(result):
    """All arrays of a result, in order."""
    if isinstance(result, tuple):
        return [a for part in result if part is not None for a in arrays_of(part)]
    return [np.asarray(result)]


def outcome(name, arguments, **backend):
    """What a call comes to: its arrays, or its error's type and text."""
    try:
        return arrays_of(FUNCTIONS[name][1](**arguments, **backend))
    except (TypeError, ValueError, MemoryError) as error:
        return type(error), str(error)


def fault(seed, number):
    """What is wrong with a call; "" for nothing."""
    name, arguments = call_of(seed, number)
    ours = {"backend": "optimized"} if "backend" in inspect.signature(FUNCTIONS[name][1]).parameters else {}
    before = {key: plain(value) for key, value in arguments.items()}
    if "backend" in arguments:
        ours = {}
    found = outcome(name, arguments, **ours)
    if isinstance(found, tuple):
        return "" if NAMED.match(found[1]) else f"an error that names no argument: {found[0].__name__}: {found[1]:.200}"
    for key, value in before.items():
        if isinstance(value, np.ndarray) and not np.array_equal(
            value, arguments[key], equal_nan=value.dtype.kind == "f"
        ):
            return f"{key} was written to"
    cnnx.set_num_threads(1)
    again = outcome(name, before, **ours)
    cnnx.set_num_threads(THREADS)
    if isinstance(again, tuple):
        return f"refused on plain copies: {again}"
    if any(a.tobytes() != b.tobytes() for a, b in zip(found, again, strict=True)):
        return "other bits on plain copies with one thread"
    if ours and number % BY_REFERENCE == 0 and sum(a.size for a in found) < 500:
        truth = outcome(name, before, backend="reference")
        if isinstance(truth, tuple):
            return f"the reference refuses it: {truth}"
        tame = all(
            ((np.abs(v) < 10) & ((v == 0) | (np.abs(v) > 1e-3))).all()
            for v in before.values()
            if isinstance(v, np.ndarray) and v.dtype.kind == "f"
        )
        for a, b in zip(found, truth, strict=True):
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"{a.dtype} {a.shape}, by the reference {b.dtype} {b.shape}"
            if tame and not np.allclose(a, b, 1e-3, 1e-3, equal_nan=True):
                return f"{a.ravel()[:5]}..., by the reference {b.ravel()[:5]}..."
    return ""


def described(arguments):
    """Arguments in a line: arrays by dtype and shape, junk by its type."""
    return ", ".join(
        f"{key}={value.dtype.str}{value.shape}" if isinstance(value, np.ndarray) else f"{key}: {type(value).__name__}"
        for key, value in arguments.items()
    )


def tried(seed, numbers, begin=lambda number: None):
    """Try calls; how many have a fault. `begin` hears of each before it is made."""
    faults = 0
    before = cnnx.get_num_threads()
    try:
        cnnx.set_num_threads(THREADS)
        with np.errstate(all="ignore"):
            for number in numbers:
                begin(number)
                wrong = fault(seed, number)
                if wrong:
                    name, arguments = call_of(seed, number)
                    print(f"call {number}: {name}({described(arguments)}): {wrong}", flush=True)
                    faults += 1
    finally:
        cnnx.set_num_threads(before)
    return faults


def work(seed, first, count, state):
    """A process's share. The file `state` has the call at hand, and at the end -1 less the number of faults."""
    faulthandler.enable()
    with Path(state).open("r+b", buffering=0) as file:

        def note(number):
            file.seek(0)
            file.write(b"%20d" % number)

        note(-1 - tried(seed, range(first, first + count), note))


def supervised(seed, first, count, patience):
    """A process that tries calls, and goes on behind one that crashes or hangs; how many have a fault."""
    faults = 0
    while count > 0:
        with tempfile.NamedTemporaryFile() as state:
            command = [sys.executable, __file__, "--seed", str(seed), "--work", str(first), str(count), state.name]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            seen, since, hung = None, time.monotonic(), False
            while process.poll() is None:
                time.sleep(0.2)
                now = Path(state.name).read_bytes()
                if now != seen:
                    seen, since = now, time.monotonic()
                elif time.monotonic() - since > (patience if seen else max(patience, STARTING)):
                    hung = True
                    process.kill()
            said = process.communicate()[1]
            seen = int(Path(state.name).read_bytes() or first)  # empty before the first call
        if seen < 0:
            return faults - 1 - seen
        print(f"call {seen}: {f'took over {patience} s' if hung else f'ended its process: {said[-500:]}'}", flush=True)
        faults += 1
        first, count = seen + 1, first + count - seen - 1
    return faults


def batch(options, seed):
    """So many calls and geometries of a seed; how many have a fault."""
    shares = [(n, min(AT_ONCE, options.calls - n)) for n in range(0, options.calls, AT_ONCE)]
    with ThreadPoolExecutor(options.jobs) as pool:
        faults = sum(pool.map(lambda share: supervised(seed, *share, options.patience), shares))
    print(f"{faults} faults in {options.calls} calls, --seed {seed}", flush=True)
    if options.geometries:
        sys.path.append(str(Path(__file__).parent / "ops"))
        import geometries

        computed, wrong = geometries.tried(seed, options.geometries)
        print(*wrong, sep="\n", end="\n" if wrong else "")
        print(f"{len(wrong)} faults in {options.geometries} geometries, {computed} of them computed", flush=True)
        faults += len(wrong)
    return faults


def main():
    """All calls, some processes at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--geometries", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="so many again, of the next seed, until that many are over")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--patience", type=float, default=20, help="seconds that a call may take")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this call alone, in this process")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        first, count, state = options.work
        return work(options.seed, int(first), int(count), state)
    if options.only is not None:
        return tried(options.seed, [options.only])
    end, seed, faults = time.monotonic() + 60 * (options.minutes or 0), options.seed, 0
    print(f"{options.calls} calls, --seed {seed}, kernels: {native.instruction_set()}", flush=True)
    while True:
        faults += batch(options, seed)
        seed += 1
        if time.monotonic() >= end:
            return faults > 0


if __name__ == "__main__":
    sys.exit(main())
