"""Who does the audit's jobs: this process, or several workers; results come in the order of the jobs."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

from .supervise import Supervisor, Work

Job = tuple[Any, ...]
Begin = Callable[[Job], None]  # hears of a job before it is done


class Here:
    """This process does all jobs, one after the other."""

    def __init__(self, work: Work) -> None:
        self.do = work

    def each(self, jobs: Sequence[Job], begin: Begin) -> Iterator[Any]:
        """What the work gives of each job."""
        for job in jobs:
            begin(job)
            yield self.do(*job)


class Pool:
    """Workers in processes of their own.

    Parameters
    ----------
    work : callable
        As `Supervisor` takes it.
    limit : float or None
        Seconds that one case may take.
    workers : int
    """

    def __init__(self, work: Work, limit: float | None, workers: int) -> None:
        self._supervisors = [Supervisor(work, limit) for _ in range(workers)]

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for supervisor in self._supervisors:
            supervisor.close()

    def do(self, *job: Any) -> Any:
        """One job, by the first worker, while the others rest."""
        return self._supervisors[0].do(*job)

    def each(self, jobs: Sequence[Job], begin: Begin) -> Iterator[Any]:
        """What `do` says of each job, in their order, whichever is done first.

        Who stops to take results ends the workers: what they do then is lost.
        """
        idle: queue.SimpleQueue[Supervisor] = queue.SimpleQueue()
        for supervisor in self._supervisors:
            idle.put(supervisor)
        one_at_a_time = threading.Lock()

        def do(job: Job) -> Any:
            supervisor = idle.get()
            try:
                with one_at_a_time:
                    begin(job)
                return supervisor.do(*job)
            finally:
                idle.put(supervisor)

        with ThreadPoolExecutor(len(self._supervisors)) as threads:
            asked = [threads.submit(do, job) for job in jobs]
            try:
                for one in asked:
                    yield one.result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
                while not all(one.done() for one in asked):  # Ctrl-C, or an error
                    for supervisor in self._supervisors:
                        supervisor.kill()
                    time.sleep(0.1)
