"""Which rows of a batch this process has, where several processes train on one batch together."""

from contextvars import ContextVar
from typing import NamedTuple


class Share(NamedTuple):
    """Rows of a batch."""

    rows: slice
    images: int  # how many the whole batch has


# None: the whole batch. What draws random numbers for each image draws them for the others' rows too, and so stays in
# step with them and with what a single process does.
share: ContextVar[Share | None] = ContextVar("cnnx_share", default=None)
