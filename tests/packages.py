"""Packages as tests have them installed: in a folder, which the test puts on Python's path."""

from pathlib import Path

KERNELS = "[cnnx.backends]\n{name} = {name}:KERNELS\n"


def install(folder: Path, name: str, source: str, entry_points: str = KERNELS) -> None:
    """A module and the metadata that pip would write; by default its KERNELS are the back end of its name."""
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(entry_points.format(name=name))
