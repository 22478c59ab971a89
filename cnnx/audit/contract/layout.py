"""How an array lies in memory, by a word: NHWC, HWIO, or in blocks, nChw16c."""

import re
from dataclasses import dataclass

import numpy as np

from ..data import Array

# The axes of an array as cnnx has them, by the name of its contract and its rank.
IMAGES, KERNELS, TRANSPOSED, ROWS, MATRIX = "NCHW", "OIHW", "IOHW", "NC", "OI"
EXAMPLES = {
    IMAGES: "NHWC or nChw16c", KERNELS: "HWIO or OIhw16i16o", TRANSPOSED: "HWOI", ROWS: "CN", MATRIX: "IO",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The order of an array's axes, the outermost first; an axis in blocks comes twice, the block last.

    word : as it was given. axes : cnnx's order. order : letter and block, 0 for an axis itself.
    """

    word: str
    axes: str
    order: tuple[tuple[str, int], ...]

    @classmethod
    def parse(cls, word: object, axes: str, where: str) -> "Layout":
        """A word for an array of these axes; ValueError that names `where`."""
        if not isinstance(word, str):
            raise TypeError(f"{where}: expected a layout as a string, got {type(word).__name__}")
        wrong = ValueError(
            f"{where}: expected an order of the axes {', '.join(axes)}, such as {axes}, {EXAMPLES[axes]}; got {word!r}"
        )
        parts = re.findall(r"(\d*)([A-Za-z])", word)
        if "".join(number + letter for number, letter in parts) != word:
            raise wrong
        order = tuple((letter.upper(), int(number or 0)) for number, letter in parts)
        whole = [letter for letter, block in order if not block]
        blocks = [letter for letter, block in order if block]
        if sorted(whole) != sorted(axes) or len(set(blocks)) < len(blocks) or not set(blocks) <= set(axes):
            raise wrong
        if any(number and int(number) < 1 for number, _ in parts) or any(b for _, b in order[: len(axes)]):
            raise wrong
        return cls(word, axes, order)

    @property
    def _blocks(self) -> dict[str, int]:
        return {letter: block for letter, block in self.order if block}

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The extents in memory of an array of this shape; an axis in blocks is filled up to whole ones."""
        extents, blocks = dict(zip(self.axes, shape, strict=True)), self._blocks
        return tuple(block or -(-extents[letter] // blocks.get(letter, 1)) for letter, block in self.order)

    def put(self, a: Array) -> Array:
        """The array in this layout, C-contiguous: a copy. What fills up blocks is 0."""
        filled = np.zeros(self._filled(a.shape), a.dtype)
        filled[tuple(slice(n) for n in a.shape)] = a
        split = filled.reshape(self._split(a.shape))
        return np.ascontiguousarray(split.transpose([self._places[part] for part in self.order]))

    def take(self, laid: Array, shape: tuple[int, ...]) -> Array:
        """What was put: the array of this shape out of one in this layout."""
        back = np.argsort([self._places[part] for part in self.order])
        filled = laid.transpose(back).reshape(self._filled(shape))
        return np.asarray(filled[tuple(slice(n) for n in shape)])

    def _filled(self, shape: tuple[int, ...]) -> list[int]:
        blocks = [self._blocks.get(letter, 1) for letter in self.axes]
        return [-(-n // block) * block for n, block in zip(shape, blocks, strict=True)]

    @property
    def _places(self) -> dict[tuple[str, int], int]:
        """Where an axis, or its block, stands among cnnx's axes with those in blocks split."""
        blocks, places = self._blocks, dict[tuple[str, int], int]()
        for letter in self.axes:
            places[letter, 0] = len(places)
            if letter in blocks:
                places[letter, blocks[letter]] = len(places)
        return places

    def _split(self, shape: tuple[int, ...]) -> list[int]:
        blocks, found = self._blocks, []
        for letter, n in zip(self.axes, shape, strict=True):
            block = blocks.get(letter)
            found += [n] if block is None else [-(-n // block), block]
        return found
