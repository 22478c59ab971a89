"""Fuzz the public calls: python tests/fuzz.py --calls 1000000 --seed 1

A call is drawn from the cases in OPS or from random geometry, in any layout, with numbers of any kind; then some of its
arguments are spoiled. It has to return what the same call returns on plain copies with one thread, bit by bit, and, of
some calls that are small, what the reference returns; or raise an error that names the argument. It may not write to
its arguments. Calls run in processes of their own: one that crashes, or takes longer than --patience seconds, is named
by its number, which repeats it: --seed S --only NUMBER. CNNX_ISA chooses the kernels.
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
from cnnx.ops import OPS, Draw

FUNCTIONS = {function.__name__: (op, function) for op in OPS for function in (op.forward, op.backward)}
THREADS = 2 if native.build_info()["openmp"] else 1
BY_REFERENCE = 50  # one call in so many
AT_ONCE = 20_000  # calls of a process
STARTING = 120  # seconds that a process may take to its first call: imports are slow under sanitizers and load
NAMED = re.compile(r"\w+(\[\d\])*: \S|output of shape \(.*\): \S|\w+\(\) (got|missing|takes)")
NUMBERS = np.array([0, -0.0, 1, -1, 0.5, 3, -2.5, 1e-40, 1e-300, 1e30, -1e30, np.inf, -np.inf, np.nan])
INTEGERS = (1, 1, 1, 2, 2, 3, 4, 5, 7, 9, 16, 17, 31, 33)


class Lies:
    """An integer that is another one each time it is asked, an array that gives none."""

    def __index__(self):
        return int(time.perf_counter_ns() % 5)

    def __int__(self):
        return -1

    def __array__(self, dtype=None, copy=None):
        return None

    def __repr__(self):
        raise RuntimeError("no text")


JUNK = (
    None, True, False, 0, 1, 2, -1, 3.5, float("nan"), float("inf"), 2**31 - 1, 2**31, 2**62, 2**63, -(2**63), 10**5000,
    1e308, 1j, "", "same", "valid", "mean", "sum", "winograd", "é", b"x", (), [], {}, (1,), (1, 2), (2, 1), (1, 2, 3),
    ((0, 1), (2, 0)), ((0, 0), (2**31, 0)), [10**400], {1: 2}, object(), Lies(), Lies, len, np.float32(2), np.int8(1),
    np.int64(2), np.uint64(2**63), np.bool_(True), np.datetime64("2020-01-01"), np.array(2), np.array([1, 2]),
    np.zeros((0,)), np.zeros((1, 1, 1, 1), "float32"), np.zeros((2, 2), complex), np.array(["a"]), np.array([None]),
    np.ma.masked_array([1.0, 2.0], [True, False]), np.broadcast_to(np.float32(1), (2**20, 2**20, 2, 2)),
)  # fmt: skip


def array(rng, shape, dtype, drawn=None):
    """Numbers of a shape, or as a case describes them."""
    kind = getattr(drawn, "kind", "number")
    if kind == "mask":
        return np.asarray(rng.random(shape) < 0.5)
    if kind == "index":
        return np.asarray(rng.integers(0, drawn.high, shape))
    if kind == "probability":
        return np.full(shape, 1 / shape[-1], dtype)
    if kind == "positive":
        return (rng.random(shape) + 0.5).astype(dtype)
    with np.errstate(over="ignore"):
        if rng.random() < 0.2:
            return np.asarray(rng.choice(NUMBERS, shape)).astype(dtype)
        return np.asarray(rng.integers(-4, 5, shape) if rng.random() < 0.3 else rng.standard_normal(shape)).astype(
            dtype
        )


def one(rng, among=INTEGERS):
    """One of some values."""
    return among[rng.integers(len(among))]


def geometry(rng, op):
    """Array shapes and options of random size, for the ops whose kernels depend on them most; else None."""
    n, c, h, w = one(rng, (0, 1, 1, 2, 3, 9)), one(rng), one(rng), one(rng)
    if op.name == "conv2d":
        groups, r, s = one(rng, (1, 1, 1, 2, 3)), one(rng, (1, 1, 2, 3, 3, 5)), one(rng, (1, 1, 2, 3, 3, 7))
        weight = (groups * one(rng), c, r, s)
        options = {
            "stride": one(rng, (1, 1, 2, (2, 1), 3)),
            "padding": one(rng, (0, 1, "same", (1, 2), ((0, 2), (1, 0)))),
        }
        options |= {"dilation": one(rng, (1, 1, 2, (1, 3))), "groups": groups}
        if options["padding"] == "same":
            options["stride"] = 1
        return {"x": (n, groups * c, h, w), "weight": weight, "bias": weight[:1]}, options
    if op.name == "conv_transpose2d":
        groups, stride = one(rng, (1, 1, 1, 2, 3)), one(rng, (1, 2, 2, (2, 1), 3))
        weight = (groups * c, one(rng), one(rng, (1, 2, 2, 3, 3)), one(rng, (1, 2, 2, 3, 4)))
        options = {"stride": stride, "padding": one(rng, (0, 0, 1, (1, 2), ((0, 2), (1, 0)))), "groups": groups}
        options |= {"dilation": one(rng, (1, 1, 2, (1, 3))), "output_padding": one(rng, (0, 0, 1, (1, 0)))}
        return {"x": (n, groups * c, h, w), "weight": weight, "bias": (weight[1] * groups,)}, options
    if op.name.startswith("global_"):
        return {"x": (n, c, h, w)}, {}
    if op.name.endswith("pool2d"):
        options = {"kernel_size": one(rng, (1, 2, 2, 3, (2, 3), (5, 1))), "stride": one(rng, (None, 1, 2, (1, 3)))}
        options |= {"padding": one(rng, (0, 0, 1)), "ceil_mode": one(rng, (False, True))}
        return {"x": (n, c, h, w)}, options | (
            {"norm_type": one(rng, (1, 2, 2.5, 3.0))} if op.name == "lp_pool2d" else {}
        )
    if op.name == "affine":
        return {"x": (n, c * h), "weight": (w, c * h), "bias": (w,)}, {}
    if op.name in ("softmax", "log_softmax"):
        return {"x": (n, c, h)}, {"axis": one(rng, (0, 1, 2, -1))}
    return None


def valid(rng):
    """The name of a function and the arguments of a call that most probably is one."""
    op = one(rng, OPS)
    drawn = geometry(rng, op) if rng.random() < 0.5 else None
    if drawn is None:
        case = one(rng, op.cases)
        drawn = case.arrays, dict(case.options)
    dtype = one(rng, ("float32", "float64"))
    arguments = {
        key: array(rng, spec.shape if isinstance(spec, Draw) else spec, dtype, spec) for key, spec in drawn[0].items()
    } | drawn[1]
    name = one(rng, (op.forward.__name__, op.backward.__name__))
    known = inspect.signature(FUNCTIONS[name][1]).parameters
    if "grad_output" in known:
        accepted = inspect.signature(op.forward).parameters
        y = op.forward(**{key: value for key, value in arguments.items() if key in accepted})
        arguments["grad_output"] = array(rng, np.shape(y[0] if isinstance(y, tuple) else y), dtype)
    return name, {key: value for key, value in arguments.items() if key in known}


def accepted(rng):
    """The first such call whose random geometry the forward call accepts."""
    while True:
        try:
            return valid(rng)
        except ValueError:
            continue


def laid_out(rng, a):
    """The same numbers in another layout."""
    kind = one(rng, ("C", "F", "strided", "reversed", "swapped", "read-only", "broadcast", "offset"))
    if kind == "F":
        return np.asfortranarray(a)
    if kind == "strided" and a.ndim:
        return np.repeat(a, 2, axis=-1)[..., ::2]
    if kind == "reversed":
        return np.flip(np.flip(a).copy())
    if kind == "swapped" and a.dtype.kind == "f":
        return a.astype(a.dtype.newbyteorder())
    if kind == "broadcast" and a.size:
        return np.broadcast_to(a[:1] if a.ndim else a, a.shape)
    if kind == "offset":
        room = np.zeros(a.nbytes + 1, "uint8")
        room[1:] = np.frombuffer(a.tobytes(), "uint8")
        return room[1:].view(a.dtype).reshape(a.shape)
    a = a.copy()
    a.flags.writeable = kind != "read-only"
    return a


def spoiled(rng, name, arguments):
    """With some argument that does not fit, or none."""
    key = one(rng, [key for key in inspect.signature(FUNCTIONS[name][1]).parameters if key != "backend"])
    value = arguments.get(key)
    if isinstance(value, np.ndarray) and value.size < 2**20 and rng.random() < 0.6:
        shape = list(value.shape)
        if shape and rng.random() < 0.8:
            shape[rng.integers(len(shape))] = one(rng, (0, 1, 2, 3, 5, 8))
        else:
            shape = one(rng, ([*shape, 2], shape[1:], [1, *shape]))
        dtype = (
            value.dtype
            if rng.random() < 0.8
            else np.dtype(one(rng, ("float64", "float16", "int64", "bool", "complex64")))
        )
        return arguments | {key: array(rng, shape, dtype)}
    return arguments | {key: one(rng, JUNK)}


def call_of(seed, number):
    """Call `number` of a seed."""
    rng = np.random.default_rng((seed, number))
    name, arguments = accepted(rng)
    for key, value in arguments.items():
        if isinstance(value, np.ndarray) and rng.random() < 0.5:
            arguments[key] = laid_out(rng, value)
    for _ in range(one(rng, (0, 0, 1, 1, 2))):
        arguments = spoiled(rng, name, arguments)
    return name, arguments


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


def main():
    """All calls, some processes at once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
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
    print(f"{options.calls} calls, --seed {options.seed}, kernels: {native.instruction_set()}", flush=True)
    shares = [(n, min(AT_ONCE, options.calls - n)) for n in range(0, options.calls, AT_ONCE)]
    with ThreadPoolExecutor(options.jobs) as pool:
        faults = sum(pool.map(lambda share: supervised(options.seed, *share, options.patience), shares))
    print(f"{faults} faults in {options.calls} calls, --seed {options.seed}")
    return faults > 0


if __name__ == "__main__":
    sys.exit(main())
