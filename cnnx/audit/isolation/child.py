"""What runs in the process of a back end that is isolated: it loads the back end and runs its kernels.

It is started by its path and imports NumPy and, beside the back end, nothing of cnnx; what the back end imports of cnnx
comes with it, but for the reference and the audit, for which a file of contracts gets a stand-in (`recorded.py`). A
run's arrays lie in memory that the audit shares: inputs on pages that can only be read, every array between pages that
can neither be read nor written. Requests and answers are JSON, so that nothing from here is run there.
"""

import contextlib
import ctypes
import functools
import importlib
import importlib.abc
import importlib.util
import json
import mmap
import os
import platform
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

INPUTS, OUTPUTS = 0, 1  # the two pieces of shared memory; of the first this process has a read-only descriptor
REFUSED = ("cnnx.reference", "cnnx.audit")
PATIENCE = 0.2  # seconds that a thread which a call began may go on, until it counts as one of a pool that stays
NOBODY_MAY, MAY_READ, MAY_WRITE = 0, 1, 3  # as mprotect takes them
SA_SIGINFO, PR_SET_PDEATHSIG = 4, 1
SIGNALS = platform.system() == "Linux" and sys.maxsize > 2**32
ERROR_CODE = 192 if platform.machine() in ("x86_64", "AMD64") else None  # in a ucontext_t: bit 1 says "a write"
SMALLEST = 5e-324

# What a kernel has no business to replace: clocks, and what compares numbers.
WATCHED = {
    "time": ("perf_counter", "perf_counter_ns", "time", "time_ns", "monotonic", "monotonic_ns", "process_time"),
    "numpy": ("allclose", "isclose", "array_equal", "array_equiv", "abs", "isnan", "isfinite", "finfo", "nextafter"),
    "math": ("isclose", "isnan", "fabs"),
}
_monotonic, _sleep = time.monotonic, time.sleep  # the real ones


class Gate(importlib.abc.MetaPathFinder):
    """Refuses to import what knows the truth, and notes who asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in REFUSED or name.startswith(tuple(f"{refused}." for refused in REFUSED)):
            self.asked.append(name)
            raise ImportError(f"{name} is not to be had in the process of a kernel that is judged", name=name)


class Layout:
    """A kernel's run as it is repeated: the same objects at the same addresses, whatever numbers lie there."""

    def __init__(self, said: dict[str, Any], memory: "list[Any]") -> None:
        self.kernel, self.dtype, self.numbers = said["kernel"], said.get("dtype", ""), said.get("numbers", {})
        self.guards, self.contract = said["guards"], said.get("contract")
        self._said, self._memory = said["arrays"], memory
        self.make()
        outputs = [np.frombuffer(memory[OUTPUTS], np.uint8, nbytes, offset) for offset, nbytes, _ in said["outputs"]]
        copies = [np.frombuffer(memory[OUTPUTS], np.uint8, nbytes, offset) for _, nbytes, offset in said["outputs"]]
        self._copied = list(zip(copies, outputs, strict=True))

    def make(self) -> None:
        """The arrays, which a kernel may have given other shapes."""
        if self.contract is not None:
            self.arrays = _recorded().arrays(self._said, self._memory)
            return
        self.arrays = [
            np.ndarray(shape, dtype, self._memory[area], offset, order=order)
            for area, offset, shape, dtype, order in self._said
        ]
        self._shapes = [(a.shape, a.strides) for a in self.arrays]

    def copy(self) -> None:
        """Copy the outputs as they are now."""
        for copy, output in self._copied:
            copy[...] = output
        if self.contract is None and [(a.shape, a.strides) for a in self.arrays] != self._shapes:
            self.make()


class Memory:
    """The shared memory here, and its guards."""

    def __init__(self, descriptors: list[int], size: int) -> None:
        self.maps = [
            mmap.mmap(descriptor, size, mmap.MAP_SHARED, prot)
            for descriptor, prot in zip(descriptors, (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE), strict=True)
        ]
        for descriptor in descriptors:
            os.close(descriptor)
        self.starts = [np.frombuffer(m, np.uint8).ctypes.data for m in self.maps]
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._guarded: list[list[int]] = []

    def guard(self, guards: list[list[int]]) -> None:
        """Have these parts be beyond reach, and those of before no longer."""
        if guards is self._guarded:
            return
        for area, offset, length in self._guarded:
            self._protect(area, offset, length, MAY_WRITE if area == OUTPUTS else MAY_READ)
        self._guarded = guards
        for area, offset, length in guards:
            self._protect(area, offset, length, NOBODY_MAY)

    def _protect(self, area: int, offset: int, length: int, what: int) -> None:
        if self._libc.mprotect(self.starts[area] + offset, length, what):
            raise OSError(ctypes.get_errno(), "mprotect")


class Action(ctypes.Structure):
    """struct sigaction of Linux's C libraries."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class Child:
    """Loads a back end, and runs its kernels as it is asked."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._layouts: dict[str, Layout] = {}
        self._tasks = _tasks()
        self._guards: dict[str, list[list[int]]] = {}
        self._gate = Gate()
        self._contracts: Any = None
        self._watched = [
            (module, name, getattr(module, name))
            for module, names in ((importlib.import_module(m), n) for m, n in WATCHED.items())
            for name in names
        ]
        self._threads = contextlib.ExitStack()
        self._libc = ctypes.CDLL(None)
        if SIGNALS:
            self._libc.prctl(
                PR_SET_PDEATHSIG, signal.SIGKILL
            )  # a kernel that hangs does not outlive who wants its result
            self._handler = HANDLER(self._fault)
            self._action = Action(ctypes.cast(self._handler, ctypes.c_void_p).value, flags=SA_SIGINFO)

    def serve(self) -> None:
        """Do what is asked until nobody asks any more."""
        while (request := self.ask()) is not None:
            try:
                answer = getattr(self, f"do_{request.pop('do')}")(**request)
            except BaseException as error:
                answer = {"error": _error(error)}
            self.answer({**answer, **self._seen()})

    def do_load(self, path: list[str], candidate: dict[str, str], descriptors: list[int], size: int) -> dict[str, Any]:
        """Know the back end; what its author says of its kernels."""
        sys.path[:] = path
        sys.meta_path.insert(0, self._gate)
        memory = Memory(descriptors, size)
        self._memory = memory
        if "contracts" in candidate:
            self._contracts = _recorded().Contracts(candidate, self._gate.asked)
            self._tasks = _tasks()
            return {"contracts": self._contracts.said(), "starts": memory.starts}
        self._kernels, of = _loaded(candidate)
        self._with_threads = getattr(of, "with_threads", None)
        self._tasks = _tasks()
        kernels = {}
        for name, kernel in self._kernels.items():
            supports = {
                number: list(v) if isinstance(v, (tuple, list, set, frozenset, range)) else [v]
                for number, v in (getattr(kernel, "supports", None) or {}).items()
            }
            kernels[name] = {"supports": supports, "types": list(getattr(kernel, "__signatures__", None) or ())}
        return {
            "kernels": kernels,
            "left_out": dict(getattr(of, "left_out", None) or {}),
            "compat": getattr(of, "compat", ""),
            "threads": self._with_threads is not None,
            "instruction_sets": getattr(of, "instruction_sets", None),
            "starts": memory.starts,
        }

    def do_threads(self, count: int) -> dict[str, Any]:
        """Use so many threads from now on; 0: as many as before."""
        self._threads.close()
        if count:
            assert self._with_threads is not None
            self._threads.enter_context(self._with_threads(count))
        return {}

    def do_run(self, runs: list[str], new: dict[str, Any]) -> dict[str, Any]:
        """Run kernels, one after the other, and copy what each gave the moment that it returns."""
        for name, said in new.items():
            said["guards"] = self._guards.setdefault(str(said["guards"]), said["guards"])  # those of a batch are one
            self._layouts[name] = Layout(said, self._memory.maps)
        layouts = [self._layouts[name] for name in runs]
        late = self._late()
        if SIGNALS:
            self._libc.sigaction(int(signal.SIGSEGV), ctypes.byref(self._action), None)  # a library may have its own
        with np.errstate(all="ignore"):
            kinds = [self._run(layout, alone=len(layouts) == 1) for layout in layouts]
        return {"returned": next(filter(None, kinds), None), "flushing": not SMALLEST * 2.0, "late": late}

    def do_forget(self) -> dict[str, Any]:
        """Keep no layouts."""
        self._late()
        self._layouts.clear()
        self._guards.clear()
        return {}

    def do_settle(self) -> dict[str, Any]:
        """Wait for threads that the runs began, but not for those that stay."""
        end = _monotonic() + PATIENCE
        new = _tasks() - self._tasks
        while new and _monotonic() < end:
            _sleep(0.001)
            new &= _tasks()
        self._tasks |= new
        return {"late": self._late()}

    def _late(self) -> str | None:
        return None if self._contracts is None else self._contracts.late()

    def _run(self, layout: Layout, *, alone: bool) -> str | None:
        if self._contracts is not None:
            self._memory.guard(layout.guards)
            self._contracts.run(layout, alone=alone)
            return None
        kernel = self._kernels[layout.kernel]
        by_type = getattr(kernel, "__signatures__", None)
        if by_type and layout.dtype:
            kernel = by_type[layout.dtype]
        self._memory.guard(layout.guards)
        returned = kernel(*layout.arrays, **layout.numbers)
        layout.copy()
        return None if returned is None else type(returned).__name__

    def _seen(self) -> dict[str, Any]:
        """What the back end did beside computing."""
        other = [seen for seen in self._watched if getattr(seen[0], seen[1], None) is not seen[2]]
        replaced = [f"{module.__name__}.{name}" for module, name, _ in other]
        for module, name, own in other:
            setattr(module, name, own)
        asked = [*self._gate.asked]
        self._gate.asked.clear()
        tasks = _tasks() - self._tasks
        return {"replaced": replaced, "asked": asked, "began": len(tasks)}

    def _fault(self, number: int, info: int, context: int) -> NoReturn:
        """An address that may not be touched was: say which. The signal's own action would say nothing."""
        try:
            written = None if ERROR_CODE is None else bool(ctypes.c_ulong.from_address(context + ERROR_CODE).value & 2)
            self.answer({"fault": ctypes.c_ulong.from_address(info + 16).value, "written": written})
        finally:
            os._exit(1)

    def ask(self) -> dict[str, Any] | None:
        """The next request; None where there is none any more."""
        head = self._read(4)
        return None if head is None else json.loads(self._read(struct.unpack("=I", head)[0]) or b"null")

    def _read(self, size: int) -> bytes | None:
        found = b""
        while len(found) < size:
            part = os.read(self._requests, size - len(found))
            if not part:
                return None
            found += part
        return found

    def answer(self, said: dict[str, Any]) -> None:
        """Say it."""
        words = json.dumps(said).encode()
        os.write(self._answers, struct.pack("=I", len(words)) + words)


@functools.cache
def _recorded() -> Any:
    """The module beside this one, which has no package here."""
    spec = importlib.util.spec_from_file_location("cnnx_isolated_recorded", Path(__file__).with_name("recorded.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _error(error: BaseException) -> dict[str, Any]:
    return {
        "kind": type(error).__name__,
        "words": str(error),
        "what": str(getattr(error, "what", "")),
        "why": str(getattr(error, "why", "")),
        "code": getattr(error, "code", None) if isinstance(error, SystemExit) else None,
    }


def _tasks() -> set[str]:
    """The threads of this process."""
    try:
        return set(os.listdir("/proc/self/task"))
    except OSError:  # no Linux: those that Python knows
        return {str(thread.ident) for thread in threading.enumerate()}


def _loaded(candidate: dict[str, str]) -> tuple[dict[str, Any], Any]:
    """The kernels of a back end by name, and what has further things to say of them."""
    if "builtin" in candidate:
        registry = importlib.import_module("cnnx.backend.registry")
        found = registry.kernels_of(candidate["builtin"])
    elif "file" in candidate:
        spec = importlib.util.spec_from_file_location("kernel_file", candidate["file"])
        assert spec is not None
        assert spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = found
        spec.loader.exec_module(found)
    else:
        found = importlib.import_module(candidate["module"])
    for name in filter(None, candidate.get("name", "").split(".")):
        found = getattr(found, name)
    kernels = getattr(found, "as_backend", None)  # a description of a kernel gives the kernels of cnnx that it makes
    if callable(kernels):
        found = kernels()
    if isinstance(found, ModuleType):
        own = {n: f for n, f in vars(found).items() if callable(f) and not n.startswith("_") and n != "with_threads"}
        return own, found
    return dict(found), found


if __name__ == "__main__":
    requests, answers = map(int, sys.argv[1:])
    os.dup2(2, 1)  # what a library prints
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the audit's
    Child(requests, answers).serve()
