"""Which rows of a batch this process has, where several processes train on one batch together."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import NamedTuple

from .._check import Array


class Share(NamedTuple):
    """Rows of a batch."""

    rows: slice
    images: int  # how many the whole batch has


# None: the whole batch. What draws random numbers for each image draws them for the others' rows too, and so stays in
# step with them and with what a single process does.
share: ContextVar[Share | None] = ContextVar("cnnx_share", default=None)


# None: a batch's statistics are those of the images here. Else a batch is computed in parts, and this function gives
# the sum over all parts of an array of float64 that each of them calls it with.
meet: ContextVar[Callable[[Array], Array] | None] = ContextVar("cnnx_meet", default=None)
