"""The IDX format, in which MNIST is published: a header of axes and big-endian numbers behind it."""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from .._files import reading
from ._dataset import Array

# The third byte of the magic number.
_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_MOST_AXES = 64  # NumPy's limit
_MOST_EXPANSION = 1032  # deflate cannot do better: 258 bytes from two bits
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> Array:
    """Read an IDX file, gzip-compressed or not (its content decides, not its name).

    Memory is taken only for what the file really holds, whatever its header claims, and no more of a
    compressed file is expanded than its header says.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    array
        Of the shape in the header; uint8, int8, int16, int32, float32 or float64 in native byte order.

    Raises
    ------
    OSError
        The file cannot be opened or read; it is a directory, a pipe or a device.
    ValueError
        It is no IDX file, it is shorter or longer than its header says, or its compression is corrupt.
        The message names the file, what was expected and what came.

    Examples
    --------
    >>> import cnnx.data, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "two-by-three")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
    ...     cnnx.data.read_idx(path)
    array([[1, 2, 3],
           [4, 5, 6]], dtype=uint8)
    """
    path = Path(path)
    with reading(path) as file:
        stored = os.fstat(file.fileno()).st_size
        start = file.read(len(_GZIP))
        file.seek(0)
        if start != _GZIP:
            return _read(path, file, stored, "the file")
        with gzip.GzipFile(fileobj=file) as unpacked:
            try:
                return _read(path, unpacked, stored * _MOST_EXPANSION, f"{stored} compressed bytes")
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                _refuse(path, "an intact gzip file", f"one that cannot be unpacked ({error})", error)


def _read(path: Path, file: BinaryIO | gzip.GzipFile, most: int, holder: str) -> Array:
    """The array in `file`, which holds at most `most` bytes."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        _refuse(path, "an IDX file, which starts with two zero bytes", f"0x{magic.hex()}" if magic else "no bytes")
    kind, axes = magic[2:]
    if kind not in _DTYPES:
        known = ", ".join(f"0x{k:02x}" for k in _DTYPES)
        _refuse(path, f"an IDX type ({known}) in byte 2", f"0x{kind:02x}")
    if not 1 <= axes <= _MOST_AXES:
        _refuse(path, f"1 to {_MOST_AXES} axes in byte 3", str(axes))
    header = file.read(4 * axes)
    if len(header) < 4 * axes:
        _refuse(path, f"{axes} extents of 4 bytes behind the first 4 bytes", f"{len(header)} bytes")
    shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(0, len(header), 4))
    dtype = np.dtype(_DTYPES[kind])
    size = math.prod(shape) * dtype.itemsize
    expected = f"{size} bytes behind the header (shape {shape}, {dtype.name})"
    if size > most - len(magic) - len(header):
        _refuse(path, expected, f"at most {max(0, most - len(magic) - len(header))} in {holder}")

    # In pieces: one large read would take `size` bytes of memory before it knew that they exist.
    content = bytearray()
    while len(content) < size and (piece := file.read(min(_CHUNK, size - len(content)))):
        content += piece
    if len(content) < size:
        _refuse(path, expected, f"{len(content)}")
    if file.read(1):
        _refuse(path, expected, "more")
    try:
        values = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:  # no element, but extents whose product overflows
        _refuse(path, "a shape that an array can have", str(shape), error)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _refuse(path: Path, expected: str, came: str, cause: Exception | None = None) -> NoReturn:
    raise ValueError(f"{path}: expected {expected}, got {came}") from cause
