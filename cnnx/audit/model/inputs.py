"""What goes into a model: files that the user has, or random numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import _check
from ..._check import Array
from .graph import Input

PICTURES = (".png", ".jpg", ".jpeg")
MOST = 2**28  # elements


def drawn(inputs: Sequence[Input], rng: np.random.Generator, size: Sequence[int] = ()) -> dict[str, Array]:
    """Normal numbers of the shapes that the graph declares; the batch is 1 where it is open, other extents are `size`,
    in their order."""
    found = {}
    if size and not any(one.shape is not None and None in one.shape[1:] for one in inputs):
        raise ValueError(f"size: expected none, since the graph says its inputs' shapes, got {list(size)}")
    for one in inputs:
        if one.shape is None or (None in one.shape[1:] and not size):
            raise ValueError(
                f"input {one.name!r}: expected data (--input) or sizes (--size), since the graph leaves its shape open"
            )
        count = one.shape[1:].count(None)
        if count not in (0, len(size)):
            raise ValueError(f"size: expected {count} for {_open(one.shape)} of input {one.name!r}, got {list(size)}")
        ahead = iter(size)
        shape = tuple(
            extent if extent is not None else 1 if axis == 0 else next(ahead) for axis, extent in enumerate(one.shape)
        )
        if one.dtype.kind != "f":
            raise ValueError(f"input {one.name!r}: expected data (--input) for {one.dtype}, of which none is drawn")
        if np.prod(shape, dtype=float) > MOST:
            raise ValueError(f"input {one.name!r}: expected at most {MOST} numbers to draw, got shape {shape}")
        found[one.name] = rng.standard_normal(shape).astype(one.dtype)
    return found


def _open(shape: Sequence[int | None]) -> str:
    """A shape in words."""
    return f"({', '.join('?' if extent is None else str(extent) for extent in shape)})"


def fitting(inputs: Sequence[Input], given: Mapping[str, Array] | Array) -> dict[str, Array]:
    """Arrays by the names of the graph's inputs; a single array is the only input's."""
    if not isinstance(given, Mapping):
        if len(inputs) != 1:
            raise ValueError(f"inputs: expected arrays by name, {[one.name for one in inputs]}, got one array")
        given = {inputs[0].name: given}
    elif len(inputs) == len(given) == 1:
        given = {inputs[0].name: next(iter(given.values()))}  # whatever the file calls it
    names = [one.name for one in inputs]
    if set(names) != set(given):
        raise ValueError(f"inputs: expected {names}, got {sorted(given)}")
    found = {}
    for one in inputs:
        array = _check.array(one.name, given[one.name])
        if array.dtype.kind == one.dtype.kind == "f":
            array = array.astype(one.dtype)
        if array.dtype != one.dtype:
            raise TypeError(f"input {one.name!r}: expected {one.dtype}, got {array.dtype}")
        if one.shape is not None and not _fits(array.shape, one.shape):
            shape = tuple("?" if extent is None else extent for extent in one.shape)
            raise ValueError(f"input {one.name!r}: expected shape {shape}, got {array.shape}")
        found[one.name] = np.asarray(array, order="C")
    return found


def _fits(shape: tuple[int, ...], declared: tuple[int | None, ...]) -> bool:
    pairs = zip(shape, declared, strict=False)
    return len(shape) == len(declared) and all(want is None or have == want for have, want in pairs)


def read(path: str, inputs: Sequence[Input]) -> Mapping[str, Array] | Array:
    """A file .npy or .npz, or a folder of pictures (PNG, JPEG) of the input's size, as numbers from 0 to 1.

    Raises
    ------
    ModuleNotFoundError
        Pillow, which reads pictures, is not installed.
    ValueError
        The file holds something else; pictures of another size or number of channels.
    OSError
        It cannot be read.
    """
    place = Path(path)
    if place.is_dir():
        return _pictures(place, inputs)
    try:
        found = np.load(place, allow_pickle=False)
        return {name: found[name] for name in found.files} if isinstance(found, np.lib.npyio.NpzFile) else found
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected .npy or .npz, or a folder of pictures: {error}") from None


def _pictures(folder: Path, inputs: Sequence[Input]) -> Array:
    try:
        from PIL import Image
    except ImportError as error:
        message = f"pictures need Pillow: python -m pip install pillow; or give an .npz ({error})"
        raise ModuleNotFoundError(message, name="PIL") from error
    if len(inputs) != 1 or inputs[0].shape is None or len(inputs[0].shape) != 4:
        raise ValueError(f"{folder}: expected .npz for this model; pictures are for one input of four axes")
    shape = inputs[0].shape
    last = shape[1] not in (1, 3)
    channels, size = (shape[3], shape[1:3]) if last else (shape[1], shape[2:])
    if channels not in (1, 3):
        raise ValueError(f"{folder}: expected .npz for this model; pictures have 1 or 3 channels, not {channels}")
    names = sorted(each for each in folder.iterdir() if each.suffix.lower() in PICTURES)
    if not names:
        raise ValueError(f"{folder}: expected pictures ({', '.join(PICTURES)}), got none")
    found: list[Any] = []
    for name in names[: shape[0] or len(names)]:
        with Image.open(name) as picture:
            pixels = np.asarray(picture.convert("RGB" if channels == 3 else "L"), np.float32) / 255
        pixels = pixels.reshape(*pixels.shape[:2], channels)
        if not _fits(pixels.shape[:2], tuple(size)):
            raise ValueError(f"{name}: expected a picture of {tuple(size)} rows and columns, got {pixels.shape[:2]}")
        found.append(pixels if last else pixels.transpose(2, 0, 1))
    return np.stack(found)
