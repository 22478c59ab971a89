"""Where the batches of a training come from: arrays, whose rows are taken, or a function that yields batches."""

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import _check
from .._check import Array
from ..ops._plan import Buffers
from ._share import Share
from .evaluate import batches, examples
from .parallel import Ranks

Factory = Callable[[int], Iterable[tuple[Array, Array]]]
Augment = Callable[[Array, np.random.Generator], Array]


class Batch(NamedTuple):
    """This process's rows of a batch."""

    x: Array
    y: Array
    images: int  # of the whole batch
    share: Share | None  # of the whole batch; None: all of it


class Source(Protocol):
    """What gives the batches of a pass."""

    def batches(self, number: int, skip: int, update: int) -> Iterator[Batch]:
        """Those of pass `number`, counted from 0, but for the first `skip`; the next is for `update`, counted from 1.

        What is random about their order is drawn at the call, before the first batch is asked for.
        """


class Arrays:
    """Rows of two arrays, in a new order for each pass; the arrays may be larger than memory."""

    def __init__(
        self, x: Array, y: Array, batch_size: int, shuffled: np.random.Generator | None, images: "Images"
    ) -> None:
        self._x, self._y, self._shuffled, self._images = x, y, shuffled, images
        self._slices = list(batches(len(x), batch_size))
        self._lent = Buffers()
        self.length = len(self._slices)  # of a pass

    def batches(self, number: int, skip: int, update: int) -> Iterator[Batch]:
        rows = len(self._x)
        order = np.arange(rows) if self._shuffled is None else self._shuffled.permutation(rows)
        return self._batches(order, skip, update)

    def _batches(self, order: Array, skip: int, update: int) -> Iterator[Batch]:
        ranks, augmented = self._images.ranks, self._images.augment is not None
        for which in self._slices[skip:]:
            taken = order[which]
            self._lent.start()
            if ranks is None or augmented:
                yield self._images.batch(self._rows(self._x, taken), self._rows(self._y, taken), update)
            else:
                part = Share(ranks.share(len(taken)), len(taken))
                mine = taken[part.rows]
                yield Batch(self._rows(self._x, mine), self._rows(self._y, mine), len(taken), part)
            update += 1

    def _rows(self, array: Array, rows: Array) -> Array:
        """These rows, in an array that is lent."""
        into = self._lent.lend((len(rows), *array.shape[1:]), array.dtype.newbyteorder("="))
        if array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative:
            # The order holds no other rows than there are; mode="raise" would make a copy of what it fills.
            array.take(rows, axis=0, out=into, mode="clip")
        else:
            into[...] = array[rows]  # `take` would copy the whole array first
        return into


class Yielded:
    """What a function yields for each pass."""

    def __init__(self, factory: Factory, images: "Images") -> None:
        self._factory, self._images = factory, images

    def batches(self, number: int, skip: int, update: int) -> Iterator[Batch]:
        given = self._factory(number)
        if not isinstance(given, Iterable):
            raise TypeError(f"batches({number}): expected an iterable of (x, y), got {type(given).__name__}")
        return self._batches(iter(given), number, skip, update)

    def _batches(self, given: Iterator[Any], number: int, skip: int, update: int) -> Iterator[Batch]:
        skipped = sum(1 for _ in islice(given, skip))
        if skipped < skip:
            raise ValueError(f"batches({number}): expected the {skip} batches of before and more, got {skipped}")
        for i in count(skip):
            pair = next(given, None)
            if pair is None:
                if not i:
                    raise ValueError(f"batches({number}): expected at least one batch, got none")
                return
            name = f"batches({number}), batch {i}"
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise TypeError(f"{name}: expected (x, y), got {type(pair).__name__}")
            x, y = examples(f"{name}, x", pair[0], f"{name}, y", pair[1])
            yield self._images.batch(x, y, update)
            update += 1


class Images:
    """What becomes of a whole batch: its images are changed at random, and each process keeps its rows.

    All processes change all images, so that each changes its own as a single process would.
    """

    def __init__(self, augment: Augment | None, seed: int, ranks: Ranks | None) -> None:
        self.augment, self.seed, self.ranks = augment, seed, ranks

    def batch(self, x: Array, y: Array, update: int) -> Batch:
        images = len(x)
        if self.augment is not None:
            # A generator of its own for each update: to go on with the n-th takes n alone.
            x = _check.unconverted("augment's result", self.augment(x, np.random.default_rng([self.seed, update])))
            if not x.ndim or len(x) != images:
                raise ValueError(f"augment's result: expected {images} images, as it was given, got shape {x.shape}")
        if self.ranks is None:
            return Batch(x, y, images, None)
        rows = self.ranks.share(images)
        return Batch(x[rows], y[rows], images, Share(rows, images))
