"""Data-parallel training over MPI: several processes, each with its share of every batch (extra `mpi`: mpi4py).

M17's cost is a sum over the images n, and so is its gradient: each of P ranks computes the terms of its rows, and one
Allreduce per update adds them, with the cost and the count of right answers, in one flat buffer. Every rank then takes
the same step. What is random is drawn for the whole batch by all ranks (orders, augmentation, dropout's masks), so that
the result is a single process's but for the order in which terms are added.

How long an update takes on P ranks, with n parameters of b bytes and a batch of B images:

    T(P) = c0 + c1 B/P + 2 log2(P) alpha + 2 (P - 1)/P n b / beta

c0 is what an update costs however few its images, c1 an image's share, alpha a message's latency, beta bytes per second
(an Allreduce halves and doubles: log2(P) messages each way). More ranks stop paying where the last two terms reach the
second. For CN's network (n b = 17 kB; one thread of a current processor: c0 = 0.16 ms, c1 = 0.025 ms) and 64 ranks that
is, with alpha = 2 us and beta = 10 GB/s, at 27 us: batches of less than 70 images, one per rank. With Ethernet's 30 us
and 0.12 GB/s it is at 0.65 ms: batches of less than 1,700. c0 is not shared, which bounds the gain from the start: with
64 images an update on 64 ranks can be 8 times as fast as on one, and no more.

Exact sums, `Ranks(exact=True)`: a batch has 8 parts, each of which is computed by itself, however many ranks there are;
rank j is sent its section of every part's gradient (Alltoallv), adds the 8 up as a tree, and the sections go to all
(Allgatherv). A rank sends (8/P + 1) (P - 1)/P n b bytes, where an Allreduce has 2 (P - 1)/P n b: 2.5 times as many on 2
ranks, 1.5 on 4, as many on 8. Statistics of batch normalisation are two such sums forward and one backward, per layer.
c0 is there 8/P times.
"""

import os
import time
import types
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from .. import _check
from .._check import Array
from .checkpoint import difference

Made = TypeVar("Made")

PARTS = 8  # of a batch, for exact sums

_UNEQUAL = (
    "ranks: expected the same number of batches in a pass on all of them, got fewer on one, or a rank that is gone; "
    "let `batches` yield as many on each rank"
)
_SIZES = "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"  # MPICH and Intel MPI, Open MPI, MVAPICH


def launched() -> int:
    """How many processes an mpiexec started together with this one; 1 without.

    Returns
    -------
    int
        As the environment says that MPICH, Intel MPI, Open MPI and MVAPICH give their processes.

    Examples
    --------
    >>> from cnnx.nn.parallel import launched
    >>> launched()
    1
    """
    return max((int(size) for size in map(os.environ.get, _SIZES) if size and size.isdecimal()), default=1)


class Ranks:
    """The processes of an MPI communicator, which train one model together: `fit(..., ranks=Ranks())`.

    Every rank makes the same calls with the same arguments: model, data, seeds. (Rank 0's weights and random states
    count, so that seed=None will do.) Rank 0 alone shows progress, calls `on_epoch` and writes logs and checkpoints.

    A rank that raises leaves the others waiting: start a program of your own with `python -m mpi4py`, which then ends
    them all; `cnnx train` does so itself.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or None
        None takes MPI.COMM_WORLD.
    exact : bool
        Every batch is computed in 8 parts, whose gradients (and batch statistics) are added in a fixed order: any
        number of ranks up to 8 ends at the same bits. It takes the time of 8 small batches, and more bytes (see above).
        Without mpiexec it needs no mpi4py: the one process computes as the ranks do.

    Attributes
    ----------
    rank, size : int

    Raises
    ------
    ModuleNotFoundError
        mpi4py is not installed.
    RuntimeError
        mpi4py finds no MPI library, or one that is not mpiexec's.
    ValueError
        `exact` and more than 8 ranks.

    Examples
    --------
    >>> from cnnx import nn
    >>> nn.Ranks(exact=True)
    Ranks(rank=0, size=1, exact=True)
    """

    def __init__(self, comm: Any = None, *, exact: bool = False) -> None:
        self.exact = _check.flag("exact", exact)
        if comm is None and exact and launched() == 1:
            comm, self._mpi = Alone(), types.SimpleNamespace(IN_PLACE=None, Exception=())
        else:
            self._mpi = _mpi()
        world = self._mpi.COMM_WORLD if comm is None else comm
        if comm is None and world.size == 1 < launched():
            library = self._mpi.Get_library_version().split("\n")[0].strip()
            raise RuntimeError(
                f"mpiexec started {launched()} processes, but mpi4py's MPI ({library}) sees one; "
                "use the mpiexec of that MPI"
            )
        self._comm, self._ends = world.Dup(), world.Dup()
        self.rank, self.size = self._comm.rank, self._comm.size
        if exact and self.size > PARTS:
            raise ValueError(f"exact: expected at most {PARTS} ranks, one for each part of a batch, got {self.size}")

    def __repr__(self) -> str:
        return f"Ranks(rank={self.rank}, size={self.size}{', exact=True' if self.exact else ''})"

    def share(self, images: int) -> slice:
        """Which rows of a batch are this rank's: as many as the others', or one more or less; if exact, its parts."""
        if self.exact:
            parts = self.parts(images)
            return slice(parts[0].start, parts[-1].stop)
        return slice(self.rank * images // self.size, (self.rank + 1) * images // self.size)

    def parts(self, images: int) -> list[slice]:
        """The rows of each part of a batch that this rank computes, where it is exact."""
        first, last = self._own(self.rank)
        return [slice(i * images // PARTS, (i + 1) * images // PARTS) for i in range(first, last)]

    def _own(self, rank: int) -> tuple[int, int]:
        return rank * PARTS // self.size, (rank + 1) * PARTS // self.size

    def first(self, make: Callable[[], Made]) -> Made:
        """What `make()` returned, or raised, on rank 0, which alone calls it."""
        outcome: Any = None
        if self.rank == 0:
            try:
                outcome = make(), None
            except Exception as error:
                outcome = None, error
        made, failed = self._comm.bcast(outcome)
        if failed is not None:
            raise failed
        return made  # type: ignore[no-any-return]

    def agree(self, described: dict[str, str]) -> None:
        """Raise on all ranks, unless all were started with the same."""
        for rank, other in enumerate(every := self._comm.allgather(described)):
            if other != every[0]:
                what = difference(every[0], other, "on rank 0", f"on rank {rank}")
                raise ValueError(f"ranks: expected the same on all of them, got {what}")

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Each number's sum over the ranks."""
        summed = np.array(numbers, np.float64)
        self.add_up(summed)
        return summed.tolist()  # type: ignore[no-any-return]

    def add_up(self, flat: Array) -> None:
        """Make each number of a flat buffer its sum over the ranks: one Allreduce."""
        try:
            self._comm.Allreduce(self._mpi.IN_PLACE, flat)
        except self._mpi.Exception as error:  # of buffers of different lengths: "message truncated"
            raise RuntimeError(f"{_UNEQUAL} ({error})") from error

    def add_parts(self, parts: Array) -> Array:
        """The sum of all parts of a batch, the same bits on each rank and for any number of them.

        Each rank adds up, of all parts, its section of the numbers, and tells the others.

        Parameters
        ----------
        parts : array (this rank's parts, numbers)
        """
        count = parts.shape[1]
        if self.size == 1:
            return tree(parts)
        cuts = np.arange(self.size + 1) * count // self.size
        sections = np.diff(cuts)
        own = np.array([last - first for first, last in map(self._own, range(self.size))])
        mine = int(sections[self.rank])
        sent = np.concatenate([parts[:, a:b].ravel() for a, b in pairwise(cuts)])
        received = np.empty(PARTS * mine, parts.dtype)
        total = np.empty(count, parts.dtype)
        try:
            self._comm.Alltoallv([sent, len(parts) * sections], [received, own * mine])
            self._comm.Allgatherv(tree(received.reshape(PARTS, mine)), [total, sections])
        except self._mpi.Exception as error:
            raise RuntimeError(f"{_UNEQUAL} ({error})") from error
        return total

    def neighbours(self) -> int:
        """How many ranks run on this machine, this one included."""
        return int(self._comm.Split_type(self._mpi.COMM_TYPE_SHARED).size)

    def all_ended(self, seconds: float = 2.0) -> bool:
        """Whether every rank calls this within some seconds: then each may end, else `abort` has to."""
        waiting, until = self._ends.Ibarrier(), time.monotonic() + seconds
        while not waiting.Test():
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True

    def abort(self, code: int) -> None:
        """End all ranks, at once."""
        self._mpi.COMM_WORLD.Abort(code)


class Alone:
    """The communicator of one process, where exact sums are wanted without MPI."""

    rank, size = 0, 1

    def Dup(self) -> "Alone":
        return self

    def bcast(self, said: Any) -> Any:
        return said

    def allgather(self, said: Any) -> list[Any]:
        return [said]

    def Allreduce(self, in_place: None, numbers: Array) -> None:
        pass

    def Ibarrier(self) -> "Alone":
        return self

    def Test(self) -> bool:
        return True


def tree(parts: Array) -> Array:
    """The sum over the first axis, of length PARTS: pairs, pairs of pairs, and so on."""
    while len(parts) > 1:
        parts = parts[0::2] + parts[1::2]
    return np.ascontiguousarray(parts[0])


def _mpi() -> Any:
    try:
        import mpi4py  # noqa: F401 - tells what is missing: mpi4py, or an MPI for it
    except ImportError as error:
        message = f"training on several processes needs mpi4py: python -m pip install 'cnnx[mpi]' ({error})"
        raise ModuleNotFoundError(message, name="mpi4py") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of another MPI's mpiexec: `Ranks` says it as an error
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            f"mpi4py finds no MPI library; install one, or `python -m pip install mpich` ({error})"
        ) from error
    return MPI
