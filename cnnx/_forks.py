"""Whether this process is a copy of another one, and lacks threads that were there. Linux alone says so."""

import os
import time
from pathlib import Path

FLAGS, THREADS = 6, 17  # where /proc/PID/stat has a process's flags and the number of its threads, behind its name
FORKED_WITHOUT_EXEC = 0x40  # PF_FORKNOEXEC, one of the flags
FORKSERVER = b"from multiprocessing.forkserver import main"  # the program that it is started with
LOOKS = 50  # at its threads, a millisecond apart


def made_by_fork(pid: int | str = "self") -> bool:
    """Whether a process was made by fork() and runs the program of who called that."""
    stat = _stat(pid)
    return bool(stat and stat[FLAGS] & FORKED_WITHOUT_EXEC)


def made_by_idle_forkserver() -> bool:
    """Whether this process is a copy of multiprocessing's forkserver, which has no threads that the copy would lack.

    It is there to be copied, but what it imported before may have started threads: the main program from Python 3.14
    on, or what was to be preloaded. A BLAS's own end whenever the process forks, so it is known only afterwards which
    are left. The server still has them: all it does is to wait for who wants the next copy.
    """
    server = os.getppid()
    try:
        if FORKSERVER not in Path(f"/proc/{server}/cmdline").read_bytes():
            return False
    except OSError:
        return False
    if not made_by_fork() or made_by_fork(server):  # a copy's own copies have its command line
        return False
    for _ in range(LOOKS):
        if _stat(server)[THREADS:][:1] == [1]:
            return True
        time.sleep(0.001)  # a thread that ended and was waited for is counted until the system has put it away
    return False


def _stat(pid: int | str) -> list[int]:
    """What Linux says of a process in numbers, from its state on; nothing where it says nothing."""
    try:
        return [0, *map(int, Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1:])]
    except (OSError, ValueError):
        return []
