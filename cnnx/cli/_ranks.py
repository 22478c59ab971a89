"""A command on several processes that mpiexec started."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import cnnx
from cnnx.nn.parallel import Ranks, launched


@contextmanager
def together(exact: bool = False) -> Iterator[Ranks | None]:
    """A block that several processes run together, as the environment says.

    None for one process, unless sums are to be exact.

    Processors are shared out among the ranks of a machine, unless CNNX_NUM_THREADS or OMP_NUM_THREADS says how many
    threads each has. An
    error that all ranks have is rank 0's alone to tell; one that some have ends all.
    """
    if launched() == 1:
        yield Ranks(exact=True) if exact else None
        return
    ranks = Ranks(exact=exact)
    if not {"OMP_NUM_THREADS", "CNNX_NUM_THREADS"} & os.environ.keys():
        cnnx.set_num_threads(max(1, cnnx.get_num_threads() // ranks.neighbours()))
    try:
        yield ranks
    except BaseException as error:
        if not ranks.all_ended():
            said = " ".join(str(error).split()) or type(error).__name__
            print(f"cnnx: error on rank {ranks.rank} of {ranks.size}: {said}", file=sys.stderr, flush=True)
            ranks.abort(2)
        if ranks.rank > 0:
            raise SystemExit(2) from error
        raise
