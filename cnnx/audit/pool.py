"""Who does the audit's jobs: this process, or several workers; results come in the order of the jobs."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

from .supervise import Supervisor, Work

Job = tuple[Any, ...]
Begin = Callable[[Job], None]  # hears of a job before it is done


class Here:
    """This process does all jobs, one after the other."""

    def __init__(self, work: Work) -> None:
        self.do = work

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

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
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(jobs)):
            waiting.put(number)
        done: list[queue.SimpleQueue[tuple[bool, Any]]] = [queue.SimpleQueue() for _ in jobs]
        ended, one_at_a_time = threading.Event(), threading.Lock()

        def serve(supervisor: Supervisor) -> None:
            while not ended.is_set():
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                with one_at_a_time:
                    begin(jobs[number])
                try:
                    answer = True, supervisor.do(*jobs[number])
                except Exception as error:
                    answer = False, error
                done[number].put(answer)

        threads = [threading.Thread(target=serve, args=(one,), daemon=True) for one in self._supervisors]
        try:
            for thread in threads:
                thread.start()
            for answers in done:
                worked, told = answers.get()
                if not worked:
                    raise told
                yield told
        finally:
            ended.set()
            while any(thread.is_alive() for thread in threads):  # Ctrl-C, or an error
                for supervisor in self._supervisors:
                    supervisor.kill()
                for thread in threads:
                    thread.join(0.1)
