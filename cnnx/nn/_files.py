"""Files that are there as a whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file to be written, which is `path` when the block has ended well.

    Whoever opens `path`, even after a crash, finds what was there before or all that was written. A block that
    fails leaves nothing behind.

    Raises
    ------
    OSError
        As the file system has it; `path` is something else than a file.
    """
    target, temporary = _names(path)
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)  # the new name too
    finally:
        os.close(directory)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Raise what `replacing` would raise at its start: to be asked before long work."""
    _, temporary = _names(path)
    try:
        temporary.open("xb").close()
        temporary.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def _names(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Where the file goes, and the name that it has until it is whole."""
    target = Path(os.path.realpath(path))  # a link stays one
    if target.exists() and not target.is_file():
        raise OSError(f"{path}: expected a file or a new name, got a directory or a device")
    return target, target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """An existing file to be read, but no pipe or device: those may never end.

    Raises
    ------
    OSError
        As the file system has it; `path` is something else than a file.
    """
    if Path(path).exists() and not Path(path).is_file():  # opening a pipe would wait for who writes into it
        raise OSError(f"{path}: expected a file, got a directory, a pipe or a device")
    with Path(path).open("rb") as file:
        yield file
