"""Shared memory for a kernel's arrays, and how they lie in it between guard pages."""

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data import Array
from .child import INPUTS, OUTPUTS

GUARD = 1 << 16  # bytes beside each array that nobody may touch: more than a row of most images
PAGE = max(mmap.PAGESIZE, 4096)
LINE = 64  # bytes of a cache line, beyond whose start arrays begin where the caller has them
LARGE, NOT_A_NUMBER = 0x7149_0000, 0x7FF8_0000  # the first bits of what outputs hold before a run, in float32 and 64

# Where arrays lie: up to a guard page, from one on, or as the caller's lie in a cache line.
END, START, AS_GIVEN = "end", "start", "as given"


@dataclass(frozen=True)
class Place:
    """Where an array lies: its bytes from `offset` on, its pages from `start` to `stop`."""

    area: int
    start: int
    stop: int
    offset: int
    nbytes: int
    view: Array  # of the array, in this process
    pages: Array  # of all of its pages, as 32-bit numbers


@dataclass
class Layout:
    """The arrays of a kernel's run in shared memory, and what its process is told of it.

    names : of its inputs and outputs. copies : of each output, where it is copied when the kernel returns.
    ends : where it ends in each piece of shared memory.
    """

    name: str
    inputs: list[Place]
    outputs: list[Place]
    copies: list[Array]
    said: dict[str, Any] = field(repr=False)
    names: Sequence[str] = ()
    ends: list[int] = field(default_factory=lambda: [0, 0])
    known: bool = False  # whether the process has been told
    pattern: int = 0

    def fill(self, inputs: Sequence[Array], pattern: int) -> None:
        """Lay out inputs for a run; what lies around them and in the outputs is `pattern`, where numbers are of two
        bytes each of its halves."""
        if any(place.view.itemsize == 2 for place in self.outputs):
            pattern = _of_halves(pattern)
        self.pattern = pattern
        for place, a in zip(self.inputs, inputs, strict=True):
            place.pages.fill(pattern)
            place.view[...] = a
        for place in self.outputs:
            place.pages.fill(pattern)

    def unchanged(self, i: int) -> Array:
        """Of output i, by element, whether it is what it was before the run."""
        copy = np.ascontiguousarray(self.copies[i])
        if copy.itemsize == 2:
            return np.asarray(copy.view(np.uint16) == np.uint16(self.pattern & 0xFFFF))
        if copy.itemsize % 4:
            return np.zeros(copy.shape, bool)
        words = copy.reshape(-1).view(np.uint32).reshape(copy.size, copy.itemsize // 4)
        return np.asarray((words == np.uint32(self.pattern)).all(axis=1).reshape(copy.shape))

    def spilt(self) -> "tuple[int, int] | None":
        """An output around which something was written, and how many bytes behind its end (or, negative, before its
        first byte); None where there is none."""
        for i, place in enumerate(self.outputs):
            around = place.pages.view(np.uint8)
            expected = np.full(1, self.pattern, np.uint32).view(np.uint8)
            before, behind = place.offset - place.start, place.offset - place.start + place.nbytes
            for start, stop, base in ((0, before, before), (behind, len(around), behind)):
                wrong = np.flatnonzero(around[start:stop] != np.resize(np.roll(expected, -(start % 4)), stop - start))
                if wrong.size:
                    return i, int(start + wrong[0 if start else -1] - base)
        return None

    def late(self) -> int | None:
        """An output that is no longer what it was when the kernel returned."""
        for i, (place, copy) in enumerate(zip(self.outputs, self.copies, strict=True)):
            if place.view.tobytes() != copy.tobytes():
                return i
        return None


class Arena:
    """Two pieces of shared memory, without a name: they are gone with the processes, however these end."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._descriptors = [_memory(size) for _ in (INPUTS, OUTPUTS)]
        self._maps = [mmap.mmap(descriptor, size, mmap.MAP_SHARED) for descriptor in self._descriptors]

    def to_share(self) -> list[int]:
        """Descriptors for the other process: the inputs' can only be read."""
        inputs, outputs = self._descriptors
        try:
            return [os.open(f"/proc/self/fd/{inputs}", os.O_RDONLY), os.dup(outputs)]
        except OSError:  # no Linux: its mapping alone is read-only
            return [os.dup(inputs), os.dup(outputs)]

    def close(self) -> None:
        """Give it up. Arrays of it may still be alive, so the mappings go with the last of them."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors, self._maps = [], []

    def layout(
        self,
        name: str,
        said: dict[str, Any],
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        where: str,
        ends: Sequence[int] = (0, 0),
        names: Sequence[str] = (),
    ) -> Layout:
        """Lay out a run's arrays from `ends` on, which are multiples of a page.

        Raises
        ------
        MemoryError
            They do not fit; it says how much they need.
        """
        at = [end + GUARD for end in ends]
        guards = [[area, ends[area], GUARD] for area in (INPUTS, OUTPUTS)]
        spans: list[tuple[int, int, int, int, Array]] = []  # area, start, stop, the array's offset, it
        for area, arrays in ((INPUTS, inputs), (OUTPUTS, outputs)):
            for a in arrays:
                beyond = a.__array_interface__["data"][0] % LINE if where == AS_GIVEN else 0
                length = max(-(-(a.nbytes + beyond) // PAGE), 1) * PAGE
                stop = at[area] + length
                spans.append((area, at[area], stop, stop - a.nbytes if where == END else at[area] + beyond, a))
                guards.append([area, stop, GUARD])
                at[area] = stop + GUARD
        copied = []
        for area, _, _, offset, a in spans:
            if area == OUTPUTS:
                copied.append([offset, a.nbytes, at[OUTPUTS]])
                at[OUTPUTS] += -(-a.nbytes // LINE) * LINE
        at = [-(-end // PAGE) * PAGE for end in at]
        if max(at) > self.size:
            raise MemoryError(str(max(at)))
        places = [self._place(*span) for span in spans]
        described = [
            [p.area, p.offset, list(p.view.shape), _word(p.view.dtype), _order(a)]
            for p, (*_, a) in zip(places, spans, strict=True)
        ]
        copies = [
            np.ndarray(a.shape, a.dtype, self._maps[OUTPUTS], offset, order=_order(a))
            for (_, _, offset), a in zip(copied, outputs, strict=True)
        ]
        said = {**said, "arrays": described, "outputs": copied, "guards": guards}
        return Layout(name, places[: len(inputs)], places[len(inputs) :], copies, said, names, at)

    def _place(self, area: int, start: int, stop: int, offset: int, a: Array) -> Place:
        return Place(
            area,
            start,
            stop,
            offset,
            a.nbytes,
            np.ndarray(a.shape, a.dtype, self._maps[area], offset, order=_order(a)),
            np.frombuffer(self._maps[area], np.uint32, (stop - start) // 4, start),
        )


def _of_halves(pattern: int) -> int:
    """The same kind of pattern in numbers of two bytes: in float16 and bfloat16 large, or NaN."""
    half = (0x7100 if pattern < NOT_A_NUMBER else 0x7FC0) + 1 + pattern % 0x3E
    return half << 16 | half


def _word(dtype: Any) -> str:
    """A dtype as the other process is told it; NumPy has no word of its own for those of ml_dtypes."""
    return str(dtype.name if dtype.kind == "V" else dtype.str)


def _order(a: Array) -> Any:
    """How an array lies in memory: C, or Fortran."""
    if a.flags.c_contiguous:
        return "C"
    if a.flags.f_contiguous:
        return "F"
    raise ValueError(f"expected an array in one piece, got strides {a.strides} for shape {a.shape}")


def _memory(size: int) -> int:
    """A file that has no name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("cnnx-audit")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
