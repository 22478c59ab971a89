"""The reference of the public names beside the site, where Sphinx has written one into its folder `api`."""

import zlib
from collections.abc import Mapping
from pathlib import Path

from ..ops import OPS
from .places import cited, citing

FOLDER = "api"  # of the site
_HEAD = 4  # lines of an inventory that are not compressed

Entries = Mapping[str, str]  # a name's page and anchor, from the site's folder


def entries(folder: Path) -> Entries:
    """The names that Sphinx's inventory has, with their places; nothing where there is no reference.

    Raises
    ------
    ValueError
        The file is no inventory.
    """
    path = folder / FOLDER / "objects.inv"
    if not path.is_file():
        return {}
    *_, packed = path.read_bytes().split(b"\n", _HEAD)
    try:
        lines = zlib.decompress(packed).decode("utf-8").splitlines()
    except (zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected an inventory that Sphinx wrote ({error})") from error
    found = {}
    for line in lines:
        name, kind, _, place, *_ = line.split(" ")
        if kind.startswith("py:"):
            found[name] = f"{FOLDER}/{place.replace('$', name)}"
    return found


def of_equation(key: str, known: Entries) -> list[tuple[str, str]]:
    """The functions that compute an equation, each with its place: forward, backward or both, as its kernels are."""
    kernels = citing(key)
    names = []
    for op in OPS:
        if key in cited(op.equations):
            backward = {"grad" in kernel for kernel in op.kernels if kernel in kernels} or {False}
            names += [f"cnnx.{op.name}{'_backward' if back else ''}" for back in sorted(backward)]
    return [(name, known[name]) for name in names if name in known]
