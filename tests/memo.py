"""What the reference computed is kept in a folder, so that audits of the same numbers need not compute it again.

tox names the folder in CNNX_TEST_MEMO: its environments audit several builds on the same numbers. Computations are the
same if their kernels, inputs and numbers are, to the last bit, and every source file of the reference and the audit.
Equations that a test has replaced are not looked up.
"""

import functools
import hashlib
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import cnnx
from cnnx import backend
from cnnx.audit.trace import KernelCall, address
from cnnx.audit.truth import error_bound
from cnnx.reference import _numbers

PACKAGE = Path(cnnx.__file__).parent
REFERENCE = str(PACKAGE / "reference") + os.sep
PROBES = 0.1, 1e-300  # what becomes of them tells which numbers an equation runs on


def sources() -> bytes:
    """What all results depend on: equations, arithmetic, Python and NumPy."""
    digest = hashlib.sha256(f"{sys.version} {np.__version__}".encode())
    for folder in ("audit", "reference"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.digest()


class Memo:
    """Results by the content of what they were computed from. Those of other sources are deleted."""

    def __init__(self, folder: Path):
        self._sources = sources()
        self._folder = folder / self._sources.hex()[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        for other in folder.iterdir():
            if other != self._folder:
                shutil.rmtree(other, ignore_errors=True)  # or by another process

    def of(self, key: Any, compute: Callable[[], Any]) -> Any:
        """What `compute()` returned when the key was met first."""
        path = self._folder / hashlib.sha256(self._sources + pickle.dumps(key)).hexdigest()
        try:
            return pickle.loads(path.read_bytes())
        except FileNotFoundError:
            value = compute()
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(pickle.dumps(value))
        part.rename(path)  # other processes see all of it or nothing
        return value


def own(elements: Mapping[str, Callable[..., Any]]) -> bool:
    """Whether the code of equations stands in the reference's files: none of them is replaced."""
    codes = (getattr(element, "__code__", None) for element in elements.values())
    return all(code is not None and code.co_filename.startswith(REFERENCE) for code in codes)


def content(a: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return a.dtype.str, a.shape, a.tobytes()


def remembered_kernels(memo: Memo) -> Callable[..., Any]:
    """`computes` whose kernels look up calls that the audit watches, known by read-only inputs.

    Other calls are computed: who takes the reference's time wants it to run.
    """
    computes = _numbers.computes

    def computes_or_looks_up(**elements: Callable[..., Any]) -> Callable[..., Any]:
        def decorate(kernel: Callable[..., Any]) -> Callable[..., Any]:
            compute = computes(**elements)(kernel)

            @functools.wraps(compute)
            def array_function(*arrays: np.ndarray, **numbers: float) -> None:
                outputs = arrays[-len(compute.elements) :]
                inputs = arrays[: -len(outputs)]
                if any(a.flags.writeable for a in inputs) or not own(compute.elements):
                    return compute(*arrays, **numbers)

                def computed() -> tuple[np.ndarray, ...]:
                    compute(*arrays, **numbers)
                    return outputs

                shapes = [(a.dtype.str, a.shape) for a in outputs]
                key = kernel.__name__, [content(a) for a in inputs], shapes, sorted(numbers.items())
                for output, value in zip(outputs, memo.of(key, computed), strict=True):
                    output[...] = value
                return None

            return array_function

        return decorate

    return computes_or_looks_up


def remembered_replay(memo: Memo) -> Callable[..., Any]:
    """`replay` that looks calls up, for the numbers that bounds are made of."""
    replay = error_bound.replay

    def looked_up(calls: list[KernelCall], lift: Any, number: Any, m: Any) -> dict[tuple[int, int], np.ndarray]:
        if not all(own(backend.equations(call.kernel)) for call in calls):
            return replay(calls, lift, number, m)
        outputs = [address(a) for call in calls for a in call.outputs]

        def computed() -> list[np.ndarray]:
            found = replay(calls, lift, number, m)
            return [found[a] for a in outputs]

        chain = [
            (
                call.kernel,
                [(content(a), outputs.index(address(a)) if address(a) in outputs else None) for a in call.inputs],
                [(a.dtype.str, a.shape) for a in call.outputs],
                sorted(call.numbers.items()),
            )
            for call in calls
        ]
        key = chain, [lift(np.array(PROBES), call) for call in calls], [number(value) for value in PROBES], m
        return dict(zip(outputs, memo.of(key, computed), strict=True))

    return looked_up


def install(folder: Path) -> None:
    """Look up and keep from here on. Before any kernel of the reference is loaded."""
    assert not any(name.startswith("cnnx.reference.") and name != _numbers.__name__ for name in sys.modules)
    memo = Memo(folder)
    _numbers.computes = remembered_kernels(memo)
    error_bound.replay = remembered_replay(memo)
