"""Checkpoints: all that a training needs to go on with the same bits, in files that are whole or not there.

A checkpoint is a NumPy archive (`np.load` reads it; nothing in it is pickled): the arrays under "parameters/NAME",
"buffers/NAME", "optimizer/NUMBER/NAME" and "losses", and "json", bytes of UTF-8, which hold the rest: the run that it
belongs to, random states, the passes so far and the place in the present one. Each member has a CRC-32.
"""

import fcntl
import hashlib
import io
import json
import logging
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from .._files import reading, replacing
from ._layer import Layer
from .optimizer import Optimizer

FORMAT = "cnnx checkpoint 1"
_NAME = re.compile(r"checkpoint-(\d{10,})\.npz")
_SAMPLE = 256  # rows of the data that its description looks at

_log = logging.getLogger("cnnx")


@dataclass(frozen=True)
class State:
    """Where a training stands: arrays by name, and what JSON takes."""

    arrays: dict[str, Array]
    rest: dict[str, Any]


def learnt(model: Layer) -> dict[str, Array]:
    """The model's own arrays, by their names in a checkpoint."""
    parts = ("parameters", model.parameters), ("buffers", model.buffers)
    return {f"{kind}/{name}": array for kind, arrays in parts for name, array in arrays.items()}


def momenta(optimizer: Optimizer) -> dict[str, Array]:
    """What the optimiser keeps, likewise."""
    state = optimizer.state.items()
    return {f"optimizer/{i}/{name}": array for name, kept in state for i, array in enumerate(kept)}


def put_back(optimizer: Optimizer, updates: int, arrays: Mapping[str, Array]) -> None:
    """Give the optimiser back what `momenta` returned after so many updates."""
    kept: dict[str, tuple[Array, ...]] = {}
    for full, array in arrays.items():
        kind, _, rest = full.partition("/")
        if kind == "optimizer":
            name = rest.partition("/")[2]
            kept[name] = (*kept.get(name, ()), array)
    optimizer.restore(updates, kept)


class Checkpoints:
    """The checkpoints of one run, in a folder of their own.

    Parameters
    ----------
    folder : str or path
        Made if it is not there.
    every : int or None
        Updates from one to the next; None writes one at the end of each pass.
    keep : int
        How many of the newest stay.
    """

    def __init__(self, folder: str | os.PathLike[str], every: int | None, keep: int) -> None:
        self.folder = Path(folder)
        self.every = None if every is None else _check.integer("every", every, 1)
        self.keep = _check.integer("keep", keep, 1)
        self.folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """A block in which no other training may use the folder.

        Raises
        ------
        ValueError
            Another one does, in this process or another.
        """
        path = self.folder / ".lock"
        while True:
            file = path.open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                    break
            except FileNotFoundError:  # another training has ended and taken it away: once more
                pass
            except BlockingIOError:
                file.close()
                raise ValueError(
                    f"checkpoint: expected a folder that no other training uses, got {self.folder}, where one is "
                    "running; wait for its end, or choose another folder"
                ) from None
            except OSError as error:
                _log.warning("%s: no locks on this file system (%s): start no second training there", path, error)
                break
            file.close()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            file.close()

    def paths(self) -> list[Path]:
        """The checkpoints that are there, the newest last."""
        found = [(int(match[1]), path) for path in self.folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [path for _, path in sorted(found)]

    def write(self, updates: int, state: State) -> None:
        """One more, after so many updates; those that are too many go."""
        text = json.dumps(state.rest | {"arrays": list(state.arrays)}, default=_plain).encode()
        path = self.folder / f"checkpoint-{updates:010}.npz"
        for stray in self.folder.glob(".checkpoint-*.tmp"):  # of a write that was killed
            stray.unlink(missing_ok=True)
        members: dict[str, Any] = {"json": np.frombuffer(text, np.uint8), **state.arrays}
        with replacing(path) as file:
            np.savez(file, **members)  # NumPy 2.0 takes allow_pickle, which these do not need, for one more of them
        for old in self.paths()[: -self.keep]:
            old.unlink(missing_ok=True)

    def newest(self, run: Mapping[str, str]) -> State | None:
        """The newest that can be read, None where there are none; a damaged one is left out with a warning.

        Raises
        ------
        ValueError
            It belongs to another run than the one described, or all are damaged.
        """
        damaged = ""
        for path in reversed(self.paths()):
            with reading(path) as file:
                data = file.read()  # an OSError is the disk's: the file may be all right
            try:
                state = _read(data)
            except Exception as error:  # zipfile, NumPy and json raise all kinds for a file that is not what it was
                damaged = f"{path}: damaged ({type(error).__name__}: {error})"
                _log.warning("%s; it is left out", damaged)
                continue
            there = state.rest["run"]
            if there != run:
                raise ValueError(
                    f"{path}: expected a checkpoint of this run, got another's: {difference(there, run)}; "
                    "go on with the same arguments, or choose another folder"
                )
            _log.info("going on after update %d, from %s", len(state.arrays["losses"]), path)
            return state
        if damaged:
            raise ValueError(f"{damaged}; no checkpoint in {self.folder} can be read: choose another folder")
        return None


def _read(data: bytes) -> State:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > len(data):  # nothing that `write` wrote is compressed
            raise ValueError(f"expected arrays of less than the file's {len(data)} bytes, got {unpacked}")
        bad = archive.testzip()
    if bad is not None:
        raise ValueError(f"wrong CRC-32 of {bad}")
    with np.load(io.BytesIO(data), allow_pickle=False) as members:
        arrays = {name: members[name] for name in members.files}
    rest = json.loads(arrays.pop("json").tobytes())
    if rest["format"] != FORMAT or not isinstance(rest["run"], dict):
        raise ValueError(f"expected format {FORMAT!r}, got {_check.shown(rest['format'])}")
    if list(arrays) != rest.pop("arrays"):  # no CRC-32 covers a member's name
        raise ValueError(f"expected other members, got {_check.shown(list(arrays))}")
    return State(arrays, rest)


def _plain(value: object) -> object:
    """Random states of some generators hold arrays."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"expected what JSON takes, got {type(value).__name__}")


def described(value: object) -> str:
    """An object as text that is the same in the next process: functions by their names, no addresses."""
    if isinstance(value, np.random.SeedSequence):
        return f"SeedSequence({value.entropy}, spawn_key={value.spawn_key})"
    if isinstance(value, np.random.Generator):
        return f"Generator({type(value.bit_generator).__name__})"
    text = value if isinstance(value, str) else getattr(value, "__qualname__", None) or repr(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def sampled(*arrays: Array) -> str:
    """Shapes, dtypes, and a checksum of some rows, spread evenly: data may be larger than memory."""
    checksum, forms = hashlib.sha256(), []
    for a in arrays:
        forms.append(f"{a.dtype} {a.shape}")
        rows = np.unique(np.linspace(0, len(a) - 1, _SAMPLE).astype(np.intp))
        checksum.update(np.ascontiguousarray(a[rows]).tobytes())
    return f"{', '.join(forms)}, sha256 {checksum.hexdigest()[:16]} of {_SAMPLE} rows"


def difference(there: Mapping[str, str], here: Mapping[str, str], at: str = "there", at_last: str = "here") -> str:
    """What two runs' descriptions do not share, each in its first line that differs."""
    found = []
    for name in dict.fromkeys((*there, *here)):
        if there.get(name) != here.get(name):
            pairs = zip_longest(there.get(name, "-").splitlines(), here.get(name, "-").splitlines(), fillvalue="-")
            old, new = next((a.strip(), b.strip()) for a, b in pairs if a != b)
            found.append(f"{name} {_cut(old)} {at}, {_cut(new)} {at_last}")
    return "; ".join(found)


def _cut(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:157]}..."
