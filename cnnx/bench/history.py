"""A history: many runs in one file, a line of JSON each (JSONL)."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .._files import check_replaceable, reading, replacing
from .foreign import read_folder
from .record import Record, RecordError


def append(path: str | os.PathLike[str], record: Record) -> None:
    """Add a run to a history, which is made if it is not there.

    The file that is there afterwards has all that it had and one whole line more, whoever else appends at the same
    time; a crash leaves what was there before.

    Raises
    ------
    RecordError
        The file is something else than a history. It stays as it is.
    OSError
        As the file system has it.
    """
    line = json.dumps(record.as_dict(), separators=(",", ":")).encode() + b"\n"
    with _locked(path) as file:
        before = file.read()
        _begins(before, path)
        if before and not before.endswith(b"\n"):  # somebody's editor
            before += b"\n"
        # A line written at the file's end could be cut in half by a crash, so the file is replaced as a whole.
        with replacing(path) as new:
            new.write(before + line)


def check(path: str | os.PathLike[str]) -> None:
    """Raise what `append` would raise at its start: to be asked before long work."""
    check_replaceable(path)
    if Path(path).exists():
        with reading(path) as file:
            _begins(file.read(), path)


def _begins(content: bytes, path: str | os.PathLike[str]) -> None:
    """Raise for a file that is none of ours: a baseline, say, must not be spoilt."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            _record(line, f"{path}, line {number}")
            return


@contextmanager
def _locked(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """The file, made if need be, that nobody else who asks here has until the block has ended."""
    while True:
        if Path(path).exists() and not Path(path).is_file():  # opening a pipe would wait for its reader
            raise OSError(f"{path}: expected a file or a new name, got a directory, a pipe or a device")
        with open(path, "ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # which ends with the process, however that ends
            # Who had the lock before has put a new file in this one's place, which is locked by nobody yet.
            try:
                same = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
            except FileNotFoundError:
                same = False
            if same:
                file.seek(0)
                yield file
                return


def read(path: str | os.PathLike[str]) -> list[Record]:
    """The runs of a history, oldest first; of a folder those that other tools wrote (`cnnx.bench.foreign`).

    Raises
    ------
    RecordError
        A line is no record, or there is none.
    OSError
        The file cannot be read.
    """
    if Path(path).is_dir():
        return read_folder(path)
    if not Path(path).exists():
        raise RecordError(f"{path}: expected a history, got no file: `cnnx bench --record {path}` starts one")
    with reading(path) as file:
        lines = file.read().split(b"\n")
    records = [_record(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not records:
        raise RecordError(f"{path}: expected a history, got an empty file: `cnnx bench --record {path}` adds a run")
    return sorted(records, key=lambda record: record.date)  # files may have been put together; equal dates stay


def _record(line: bytes, where: str) -> Record:
    try:
        found = json.loads(line)
    except ValueError as error:  # of the text or of its encoding
        raise RecordError(f"{where}: expected a run as JSON, got a broken line ({error})") from None
    return Record.from_dict(found, where)
