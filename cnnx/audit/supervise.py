"""The audit's work in a process of its own, watched: a kernel that hangs or crashes is a finding, not the end."""

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from .report.result import Discrepancy, Result

# What a worker is asked to do: called there with `say`, which tells of each case before it is judged.
Work = Callable[..., Any]
START = 60.0  # seconds that a worker may take to begin, beyond the limit: imports, the back end's own start


class EndedError(Exception):
    """The worker hung or died, which the message says."""

    def __init__(self, message: str, said: tuple[Any, ...]) -> None:
        super().__init__(message)
        self.said = said  # what it told last


class Supervisor:
    """Does one job after the other in a worker, a new one after a death.

    Parameters
    ----------
    work : callable
        Called as `work(*job, say=say)` in the worker; to be pickled, as its arguments and result are.
    limit : float or None
        Seconds that one case may take; None: as many as it wants.
    who : str
        Who works there, for messages.
    """

    def __init__(self, work: Work, limit: float | None, who: str = "the back end"):
        self._work, self._limit, self._who = work, limit, who
        self._process: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def do(self, op: str, check: str, *job: Any) -> Any:
        """`work(op, check, *job)`; or, where the worker hung or died, a Result that says so."""
        try:
            return self.ask(op, check, *job)
        except EndedError as error:
            case, dtype, repro = error.said or ("", "", "")
            result = Result(op, check)
            result.discrepancies.append(Discrepancy(op, check, case, dtype, str(error), repro=repro))
            return result

    def ask(self, *job: Any) -> Any:
        """`work(*job)`.

        Raises
        ------
        EndedError
            The worker hung or died. Whatever else `work` raises.
        """
        said: tuple[Any, ...] = ()
        patience = None if self._limit is None else self._limit + START
        if self._pipe is None:
            self._begin()
        assert self._pipe is not None
        try:
            self._pipe.send(job)
            while self._pipe.poll(patience):
                what, told = self._pipe.recv()
                if what == "done":
                    return told
                if what == "error":
                    raise told
                said, patience = told, self._limit
            end = f"{self._who} hangs: no result after {patience:g} s"
        except (EOFError, BrokenPipeError, ConnectionResetError):
            self._process.join(START)
            end = f"{self._who}'s process died: {death(self._process.exitcode)}"
        self.close()
        raise EndedError(end, said)

    def kill(self) -> None:
        """End the worker in the midst of a job that another thread asks for, which hears of it."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the worker; the next job begins another."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(self._work, theirs), daemon=True)
        process.start()
        self._process = process  # not before it can be killed
        theirs.close()


def _serve(work: Work, pipe: Connection) -> None:
    """The worker: one job after the other, until it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's
    while True:
        try:
            job = pipe.recv()
        except EOFError:  # the supervisor was killed
            return
        try:
            done = work(*job, say=lambda *said: pipe.send(("case", said)))
        except Exception as error:
            pipe.send(("error", error))
        else:
            pipe.send(("done", done))


def death(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        return f"{signal.Signals(-code).name} ({signal.strsignal(-code)})"
    return f"exit code {code}"
