"""Arrays that are written over when the same call comes again."""

from typing import Any, ClassVar, Self

from .. import _check
from ..ops._replay import Replay


class Reuse:
    """What layers and costs share: the arrays that the ops they call return may be lent instead of given."""

    # Whether its calls may be lent arrays that are written over when the same call comes again: it keeps none of
    # them for longer. A class of one's own has to say so; others, and what they call, are given new ones.
    _borrows: ClassVar[bool] = False

    def __init__(self) -> None:
        self._forward_buffers: Replay | None = None
        self._backward_buffers: Replay | None = None

    @property
    def reuses_buffers(self) -> bool:
        """Whether `reuse_buffers` was switched on."""
        return self._forward_buffers is not None

    def reuse_buffers(self, on: bool = True) -> Self:
        """Write what a call returns over what it returned before, where the shapes are the same.

        A step of training then allocates nothing that the next one could use. But **what `forward` and
        `backward` return, and what `gradients` holds, changes with the next call**: copy what is to be kept.
        `fit` does this while it trains. Off at first, in copies and in pickles; to switch it off leaves the
        arrays of the last calls to who holds them. Layers of one's own take no part.

        Parameters
        ----------
        on : bool

        Returns
        -------
        This layer or cost; a network's covers all layers in it, when they are called through it.
        """
        if not _check.flag("on", on):
            self._forward_buffers = self._backward_buffers = None
        elif self._borrows and not self.reuses_buffers:
            self._forward_buffers, self._backward_buffers = Replay(), Replay()
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_saved": None, "_forward_buffers": None, "_backward_buffers": None}
