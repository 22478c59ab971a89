"""Calls in processes of their own: held to an instruction set, or the first ones of a process.

A process is started by the variables of its environment and kept for the next call. A fresh one makes a child by
fork() for each job, before anything was computed in it, so that a job's calls are the first.
"""

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from .. import backend as _backend
from ..ops import OPS, Case
from .data import Array, Arrays
from .trace import backward_arguments, forward_arguments, traced_own

FRESH = hasattr(os, "fork")  # whether first calls can be had


class Job(NamedTuple):
    """A case that is run forward and backward, `times` times; `kernels`: those of a registered back end."""

    backend: str
    kernels: Any
    op: str = ""
    case: Case | None = None
    arrays: Arrays | None = None
    grad_output: Array | None = None
    saved: Any = None  # what the forward call returned that the backward one is about
    times: int = 0


# Of one run: what the forward and the backward call returned; None where the op has none of it.
Results = tuple[Any, Any]


def run(job: Job, environment: Mapping[str, str], *, fresh: bool = False) -> list[Results]:
    """Run a job in a process with these variables, beside this one's.

    Raises
    ------
    Exception
        Whatever the back end raised there; RuntimeError where the process died.
    """
    variables = {**os.environ, **environment}
    key = fresh, job.backend, tuple(sorted(variables.items()))
    found = _running.get(key)
    if found is None or not found.alive:
        found = _running[key] = _Process(variables, fresh)
    done: list[Results] = found.do(job)
    return done


def end() -> None:
    """End all processes."""
    while _running:
        _running.popitem()[1].end()


def kernels_to_send(backend: str) -> Any:
    """The kernels of a registered back end, for a job; None for those that every process can load."""
    return _backend.registered_kernels(backend)


def refusal(backend: str) -> str:
    """Why other processes cannot have a back end, or ""."""
    kernels = kernels_to_send(backend)
    if kernels is None:
        return ""
    try:
        run(Job(backend, kernels), {})
    except Exception as error:
        return (
            f"{backend!r} is registered in this process alone and cannot be sent to another "
            f"({type(error).__name__}: {error}); make it an entry point of group {_backend.ENTRY_POINTS}"
        )
    return ""


class _Process:
    """A Python that serves jobs until its pipe is closed."""

    def __init__(self, environment: Mapping[str, str], fresh: bool):
        start = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve({fresh})"
        command, pipe = [sys.executable, "-c", start], subprocess.PIPE
        self._process: Any = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe)
        self.alive = True

    def do(self, job: Job) -> Any:
        message = pickle.dumps(job)  # before anything is sent, as it may fail
        try:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()
            what, said = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError) as error:
            self.end()
            raise RuntimeError(f"the process died: exit code {self._process.returncode}") from error
        except BaseException:  # Ctrl-C: what comes next would be the answer to this job
            self.end()
            raise
        if what == "error":
            raise said
        return said

    def end(self) -> None:
        self.alive = False
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_running: dict[Any, _Process] = {}
atexit.register(end)


# ------------------------------------------------------------------------------------- in the process


def serve(fresh: bool) -> None:
    """Do jobs from stdin until it ends. What a library prints goes to stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _backend.kernel_names("reference")
    if not fresh:
        _end_with_the_parent()
    while True:
        try:
            message = pickle.load(jobs)
        except EOFError:
            return
        try:
            job: Job = pickle.loads(message)
            _load(job, fresh)
        except Exception as error:
            _answer(answers, "error", error)
            continue
        if not fresh:
            _do(job, answers)
            continue
        child = os.fork()
        if child == 0:
            _end_with_the_parent()
            _do(job, answers)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            _answer(answers, "error", RuntimeError(f"the process died: status {status}"))


def _load(job: Job, fresh: bool) -> None:
    """Know the back end. Its library is imported, but cnnx's own kernels are not: a child would compute serially."""
    if job.kernels is not None:
        _backend.register_backend(job.backend, job.kernels)
    if not (fresh and job.backend == "optimized"):
        _backend.kernel_names(job.backend)


def _do(job: Job, answers: IO[bytes]) -> None:
    try:
        with np.errstate(all="ignore"):
            done = [_results(job) for _ in range(job.times)]
    except Exception as error:
        _answer(answers, "error", error)
    else:
        _answer(answers, "done", done)


def _results(job: Job) -> Results:
    op = next(op for op in OPS if op.name == job.op)
    assert job.case is not None
    assert job.arrays is not None
    forward = traced_own(op, op.forward, forward_arguments(op, job.case, job.arrays), job.backend).result
    delta = np.empty(0) if job.grad_output is None else job.grad_output
    arguments = backward_arguments(op, job.case, job.arrays, delta, job.saved)
    return forward, traced_own(op, op.backward, arguments, job.backend).result


def _answer(answers: IO[bytes], what: str, said: Any) -> None:
    try:
        message = pickle.dumps((what, said))
        pickle.loads(message)  # some exceptions can be written and not read
    except Exception:
        message = pickle.dumps(("error", RuntimeError(f"{type(said).__name__}: {said}")))
    answers.write(message)
    answers.flush()


def _end_with_the_parent() -> None:
    """A kernel that hangs does not outlive who wants its result."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
