"""cnnx's own files: safetensors, with the network's layers as JSON in the metadata."""

import json
import math
import os
from io import BufferedReader
from typing import Any

import numpy as np

from .. import _check, nn
from .._check import Array
from .._files import reading, replacing
from ..nn._arguments import instance
from . import _layers

try:
    import safetensors.numpy
except ImportError as error:
    message = f"cnnx.io needs safetensors: python -m pip install 'cnnx[io]' ({error})"
    raise ModuleNotFoundError(message, name="safetensors") from error

FORMAT = 1
KEY = "cnnx"  # in the metadata: {"format": 1, "model": layers}
LARGEST_HEADER = 2**20  # bytes; some 10,000 layers
_DTYPES = {"float32": "F32", "float64": "F64"}


def save_model(model: nn.Layer, path: str | os.PathLike[str]) -> None:
    """Write a network to one file: layers, weights and running statistics.

    The file is safetensors, which other programs read too; the layers stand in its metadata as JSON. It appears as
    a whole or not at all: a file of that name is replaced at the end. Back ends, seeds and modes are not saved.

    Parameters
    ----------
    model : Layer
        Layers of cnnx.nn, usually a Sequential; classes of one's own have no name that a file could give.
    path : str or path
        ".safetensors" is the usual ending.

    Raises
    ------
    ModuleNotFoundError
        safetensors is not installed (extra `io`).
    TypeError
        No layer, or one of another class than cnnx.nn's.
    ValueError
        A network that `load_model` would refuse: arrays of shapes or dtypes that the layers' arguments do not give,
        very many layers.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from cnnx import io, nn
    >>> model = nn.Sequential(nn.Affine(4, 3), nn.BatchNorm2d(3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     io.save_model(model, path)
    ...     again = io.load_model(path)
    >>> again
    Sequential(
      (0) Affine(4, 3)
      (1) BatchNorm2d(3)
    )
    >>> bool((again.parameters["0.weight"] == model.parameters["0.weight"]).all())
    True
    """
    instance("model", model, nn.Layer)
    description = _layers.describe(model)
    found, expected = _layers.arrays(model), _layers.arrays(_layers.build(description))
    for name, array in expected.items():
        ours = found.get(name)
        if type(ours) is not np.ndarray or (ours.shape, ours.dtype) != (array.shape, array.dtype):
            got = f"{ours.dtype} {ours.shape}" if isinstance(ours, np.ndarray) else type(ours).__name__
            raise ValueError(f"{name}: expected an array {array.dtype} {array.shape}, as its layer says, got {got}")
    if found.keys() != expected.keys():
        raise ValueError(f"model: expected the arrays {list(expected)}, got {list(found)}")
    text = json.dumps({"format": FORMAT, "model": description}, separators=(",", ":"), allow_nan=False)
    contiguous = {name: np.asarray(array, order="C") for name, array in found.items()}
    data = safetensors.numpy.save(contiguous, {KEY: text})
    if int.from_bytes(data[:8], "little") > LARGEST_HEADER:
        raise ValueError(f"model: expected layers whose description takes at most {LARGEST_HEADER} bytes, got more")
    with replacing(path) as file:
        file.write(data)


def load_model(path: str | os.PathLike[str]) -> nn.Layer:
    """Read a network that `save_model` wrote: the same layers, the same bits.

    Nothing in a file is executed, and no memory is taken for what a file claims before its size bears it out.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Layer
        In evaluation mode: `train()` it before a step of one's own (`fit` does).

    Raises
    ------
    ModuleNotFoundError
        safetensors is not installed (extra `io`).
    ValueError
        The file is not such a network, or not a whole one: cut short, changed, of a newer format, with layers,
        arguments or arrays that are unknown, missing or too many.
    OSError
        The file cannot be read, or is a directory or a device.

    Examples
    --------
    >>> import tempfile
    >>> from cnnx import io
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     io.load_model(file.name)
    Traceback (most recent call last):
        ...
    ValueError: /tmp/...: expected a model that cnnx saved: a file of 0 bytes has no header
    """
    with reading(path) as file:
        try:
            return _read(file)
        except (ValueError, RecursionError) as error:
            why = "nested too deeply" if isinstance(error, RecursionError) else error
            raise ValueError(f"{os.fspath(path)}: expected a model that cnnx saved: {why}") from None


# The library's own reader keeps the last of two arrays of one name, takes headers of 100 MB, and maps the file, so that
# the process dies if the file is cut short meanwhile. What is left, once all is checked, is to read.
def _read(file: BufferedReader) -> nn.Layer:
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 8:
        raise ValueError(f"a file of {size} bytes has no header")
    if length > min(size - 8, LARGEST_HEADER):
        raise ValueError(
            f"a header of {length} bytes, where the file has {size} in all and {LARGEST_HEADER} is the most"
        )
    header = _json("header", file.read(length))
    model = _layers.build(_description(header.pop("__metadata__", None)))
    expected = _layers.arrays(model)
    found = {name: np.empty(array.shape, array.dtype) for name, array in _in_order(header, expected, size - 8 - length)}
    for name, array in found.items():
        if file.readinto(array.data.cast("B")) != array.nbytes:
            raise ValueError(f"the file ends within {name}; it was changed while it was read")
    if not np.little_endian:
        found = {name: array.byteswap() for name, array in found.items()}
    _layers.fill(model, found)
    return model.eval()


def _json(what: str, text: bytes | str) -> dict[str, Any]:
    """An object of JSON, without what Python's reader lets pass."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            raise ValueError("a key twice in one object")
        return made

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    try:
        found = json.loads(
            text.decode() if isinstance(text, bytes) else text, object_pairs_hook=unique, parse_constant=refuse
        )
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{what}: expected a JSON object, got {_check.shown(found)}")
    return found


def _description(metadata: Any) -> object:
    """The layers' description out of the metadata."""
    if not isinstance(metadata, dict) or not isinstance(metadata.get(KEY), str):
        raise ValueError(f"no text {KEY!r} in the metadata; arrays alone do not make a model")
    ours = _json(f"metadata {KEY!r}", metadata[KEY])
    version = ours.get("format")
    if type(version) is not int or version < 1:
        raise ValueError(f"format: expected an integer from 1, got {_check.shown(version)}")
    if version > FORMAT:
        raise ValueError(f"format: expected at most {FORMAT}, got {_check.shown(version)}; update cnnx to read it")
    if ours.keys() != {"format", "model"}:
        raise ValueError(f"metadata {KEY!r}: expected ['format', 'model'], got {_check.shown(sorted(ours))}")
    return ours["model"]


def _canonical(value: object) -> str:
    """Equal for what is the same in JSON, where 1 is not true."""
    return json.dumps(value, sort_keys=True)


def _in_order(header: dict[str, Any], expected: dict[str, Array], room: int) -> list[tuple[str, Array]]:
    """The expected arrays in the order in which they lie in the file, if that is what the header says and has room."""
    if header.keys() != expected.keys():
        missing, extra = sorted(expected.keys() - header.keys()), sorted(header.keys() - expected.keys())
        raise ValueError(f"arrays: missing {_check.shown(missing)}, not expected {_check.shown(extra)}")
    begins = {}
    for name, array in expected.items():
        count = math.prod(array.shape) * array.itemsize
        entry = header[name]
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        begin = offsets[0] if isinstance(offsets, list) and offsets and type(offsets[0]) is int else 0
        layout = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [begin, begin + count],
        }
        if _canonical(entry) != _canonical(layout):
            raise ValueError(f"array {name}: expected {layout}, got {_check.shown(entry)}")
        if not 0 <= begin <= room - count:
            place = [begin, begin + count]
            raise ValueError(f"array {name}: expected it among the file's {room} bytes of arrays, got {place}")
        begins[begin] = name
    end, order = 0, []
    for begin, name in sorted(begins.items()):
        if begin != end:
            break
        order.append((name, expected[name]))
        end += math.prod(expected[name].shape) * expected[name].itemsize
    if len(order) < len(expected) or end != room:
        raise ValueError(f"arrays: expected them to fill {room} bytes one behind the other")
    return order
