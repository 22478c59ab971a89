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
    target, temporary, file = _opened(path)
    try:
        with file:
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
    _, temporary, file = _opened(path)
    file.close()
    temporary.unlink()


def _opened(path: str | os.PathLike[str]) -> tuple[Path, Path, BinaryIO]:
    """Where the file goes, the name that it has until it is whole, and the new file of that name."""
    target = Path(os.path.realpath(path))  # a link stays one
    if target.exists() and not target.is_file():
        raise OSError(f"{path}: expected a file or a new name, got a directory or a device")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        return target, temporary, temporary.open("xb")
    except OSError as error:  # whose name is the one that nobody gave
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


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
