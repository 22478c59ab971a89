"""The measuring side of a worker: starts it, asks it, waits until it has come to rest."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import cnnx

WORKER = Path(__file__).with_name("worker.py")
OURS = Path(cnnx.__file__).resolve().parent.parent  # the folder that cnnx is imported from

# What somebody's shell has set must not decide which kernels run or how many threads.
FOREIGN = ("CNNX_", "OMP_", "GOMP_", "KMP_", "MKL_", "ATEN_", "ONEDNN_", "DNNL_", "OPENBLAS_", "MALLOC_")
# Freed memory stays with the process: with glibc's defaults a large output is new pages from the kernel at every
# call, which costs more than the layer.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 26)}
# What holds the peers to the instruction set of our kernels; onnxruntime and NumPy cannot be held.
LIMITED = {
    "v2": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "v3": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}


class WorkerError(RuntimeError):
    """A worker died or could not compute a figure."""


class AbsentError(ImportError):
    """What a worker measures is not installed."""


def environment(threads: int, instruction_set: str, folder: Path = OURS, *, keep_memory: bool = True) -> dict[str, str]:
    """The whole environment of a worker that imports cnnx from `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*FOREIGN, "PYTHON"))}
    numbers = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    limited = LIMITED.get(instruction_set, {})
    memory = KEEP_MEMORY if keep_memory else {}
    return {**kept, **memory, **numbers, **limited, "CNNX_ISA": instruction_set, "PYTHONPATH": str(folder)}


class Worker:
    """A worker's process.

    Parameters
    ----------
    name : str
        "cnnx", or a peer.
    environment : dict
        As `environment` makes it.
    program : path
        What serves, and is given the name.
    python : path, optional
        What runs it, if not this process's Python.

    Raises
    ------
    AbsentError
        What it measures cannot be imported.
    WorkerError
        It died.
    """

    def __init__(
        self, name: str, environment: dict[str, str], program: Path = WORKER, python: Path | None = None
    ) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [*([sys.executable, "-P"] if python is None else [str(python)]), str(program), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            process_group=0,  # Ctrl-C is for the parent, which then ends its workers
        )
        try:
            first = self._answer()
            if "absent" in first:
                raise AbsentError(f"{name} cannot be imported: {first['absent']}")
            self.about: dict[str, Any] = first["ready"]
        except BaseException:
            self.close()
            raise

    def ask(self, question: str, **more: Any) -> dict[str, Any]:
        """Send a question and wait for the answer, doing nothing meanwhile."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": question, **more}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._dead() from None
        answer = self._answer()
        if "failed" in answer:
            raise WorkerError(f"{self.name}: {answer['failed']}")
        return answer

    def turn(self, what: str = "call") -> float:
        """Seconds of a call, or of its work at the limit; returns when the process has come to rest."""
        seconds: float = self.ask("turn", what=what)["seconds"]
        self.rest()
        return seconds

    def rest(self) -> None:
        """Wait until no thread of the process runs."""
        wait_for_rest(self._process.pid)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._dead()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _dead(self) -> WorkerError:
        return WorkerError(f"{self.name}: its process ended with code {self._process.wait(10)}")

    def close(self) -> None:
        """End the process, and what it has started."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # a question that a dead process has not read
                if pipe is not None:
                    pipe.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:  # in the middle of a long turn
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # none of its group is left
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for_rest(pid: int, most: float = 0.1) -> None:
    """Until no thread of the process runs: those of OpenMP spin for some milliseconds after their work is done.

    A process of one thread has answered and does nothing more: it would only be asked whether it has been put to sleep,
    which on a busy machine takes long.
    """
    tasks = Path("/proc", str(pid), "task")
    if not tasks.exists():
        time.sleep(0.02)
        return
    with contextlib.suppress(OSError):
        if len(list(tasks.iterdir())) == 1:
            return
    end = time.monotonic() + most
    while time.monotonic() < end:
        if not any(_runs(task) for task in tasks.iterdir()):
            return
        time.sleep(0.0005)


def _runs(task: Path) -> bool:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0] == "R"
    except OSError:  # it is gone
        return False
