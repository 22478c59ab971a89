"""Where pictures are written to."""

import os
from pathlib import Path

_FORMATS = ".png", ".pdf", ".svg", ".jpg"


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise now what would keep a picture from being written to `path` later; leaves no file behind.

    Raises
    ------
    ValueError
        The name ends neither in .png nor .pdf, .svg or .jpg.
    OSError
        The file cannot be opened for writing.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(_FORMATS)}, got {path.suffix!r}")
    existed = path.exists()
    with path.open("ab"):
        pass
    if not existed:
        path.unlink()
