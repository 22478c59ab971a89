"""What can be loaded in another process: by its entry point, its file, or as cnnx's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ... import backend as _backend


class Candidate(NamedTuple):
    """A back end that another process can load.

    name : what it is called.
    items : what `child.py` is told of it.
    limit : seconds that a call may take.
    """

    name: str
    items: tuple[tuple[str, str], ...]
    limit: float

    @property
    def said(self) -> Mapping[str, str]:
        """As `child.py` takes it."""
        return dict(self.items)


def candidate(backend: str, limit: float, file: str = "") -> Candidate:
    """The back end of that name, or of `file`: FILE.py or FILE.py:NAME, where NAME holds kernels by name.

    Raises
    ------
    ValueError
        It is the reference, whose equations are the truth; it is registered in this process alone; there is no file.
    """
    if file:
        path, name = _split(file)
        if not Path(path).is_file():
            raise ValueError(f"isolated: expected a file of Python, FILE.py or FILE.py:NAME, got {file!r}")
        return Candidate(backend, (("file", str(Path(path).resolve())), ("name", name)), limit)
    if backend == "reference":
        raise ValueError("isolated: expected another back end than 'reference', whose equations are the truth")
    if backend == "optimized":
        return Candidate(backend, (("builtin", backend),), limit)
    if backend in _backend.registered_names():
        raise ValueError(
            f"isolated: {backend!r} is registered in this process alone, so that another cannot load it; put its "
            f"kernels into a module and name them as an entry point of group {_backend.ENTRY_POINTS}"
        )
    module, _, name = _backend.entry_point(backend).partition(":")
    return Candidate(backend, (("module", module.strip()), ("name", name.partition("[")[0].strip())), limit)


def _split(file: str) -> tuple[str, str]:
    """FILE.py:NAME, in parts; a colon may be in a path."""
    path, colon, name = file.rpartition(":")
    return (path, name) if colon and path.endswith(".py") else (file, "")
