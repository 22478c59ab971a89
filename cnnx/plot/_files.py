"""Where pictures are written to."""

import os
from pathlib import Path

from matplotlib.figure import Figure

from .._files import check_replaceable, replacing

_FORMATS = ".png", ".pdf", ".svg", ".jpg"


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise now what would keep `save` from writing a picture to `path` later; leaves no file behind.

    Raises
    ------
    ValueError
        The name ends neither in .png nor .pdf, .svg or .jpg.
    OSError
        The file cannot be written.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(_FORMATS)}, got {Path(path).suffix!r}")
    check_replaceable(path)


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = 120) -> None:
    """Write a picture, as a whole or not at all: in the format that the name ends in.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or path
        Its name ends in .png, .pdf, .svg or .jpg; a file of that name is replaced.
    dpi : int
        Pixels per inch.

    Raises
    ------
    ValueError, OSError
        As `check_target` raises them.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from cnnx import nn, plot
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "filters.png")
    ...     plot.save(plot.filters(nn.cn_network(seed=0)), path)
    ...     path.read_bytes()[:4]
    b'\\x89PNG'
    """
    check_target(path)
    with replacing(path) as file:
        figure.savefig(file, format=Path(path).suffix[1:].lower(), dpi=dpi)
