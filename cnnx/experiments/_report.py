"""What an experiment found, and how it is written down: pictures, JSON and a Markdown page."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .. import plot
from .._files import replacing


@dataclass(frozen=True)
class Report:
    """What an experiment found.

    Attributes
    ----------
    name : str
        The files' stem: "mlp-vs-cnn".
    title : str
    settings, results : dict
        Of plain numbers, strings, lists and dicts.
    text : tuple of str
        The page's paragraphs and tables, in Markdown; {picture} stands for each figure in its turn.
    figures : tuple of (caption, Figure)
    interrupted : bool
        Whether Ctrl-C left out runs; what was finished is here.
    """

    name: str
    title: str
    settings: dict[str, Any]
    results: dict[str, Any]
    text: tuple[str, ...]
    figures: tuple[tuple[str, Figure], ...]
    interrupted: bool = False

    def as_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        return {
            "experiment": self.name,
            "settings": self.settings,
            "interrupted": self.interrupted,
            "results": self.results,
        }

    def write(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write NAME.png (NAME-2.png, ...), NAME.json and NAME.md into `folder`; returns the paths.

        Raises
        ------
        OSError
            A file cannot be written.
        """
        folder = Path(folder)
        written = []
        pictures = []
        for path, (caption, figure) in zip(self._pictures(folder), self.figures, strict=True):
            plot.save(figure, path)
            pictures.append(f"![{caption}]({path.name})\n\n{caption}")
            written.append(path)
        report = folder / f"{self.name}.json"
        with replacing(report) as file:
            file.write(f"{json.dumps(self.as_dict(), indent=2)}\n".encode())
        stopped = ["**Stopped by Ctrl-C: only what was finished is shown.**"] if self.interrupted else []
        settings = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in self.settings.items())
        parts = [f"# {self.title}", *stopped, *self.text, *pictures, f"Settings: {settings}."]
        page = folder / f"{self.name}.md"
        with replacing(page) as file:
            file.write(("\n\n".join(parts) + "\n").encode())
        return [*written, report, page]

    def _pictures(self, folder: Path) -> list[Path]:
        return [folder / f"{self.name}{f'-{i}' if i > 1 else ''}.png" for i in range(1, len(self.figures) + 1)]


@contextmanager
def folder_for(folder: str | os.PathLike[str], name: str) -> Iterator[None]:
    """Make the folder that a block writes a report into; what is made here and stays empty goes when the block fails.

    Raises
    ------
    OSError
        Before the block: the folder cannot be made, or a file in it cannot be opened for writing.
    """
    folder = Path(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        plot.check_target(folder / f"{name}.png")
        yield
    except BaseException:
        for path in made:
            with suppress(OSError):  # it was not made, or somebody wrote into it
                path.rmdir()
        raise


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [list(head), ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def percent(share: float | None) -> str:
    """As tables and lines of text have it."""
    return "-" if share is None else f"{100 * share:.2f} %"


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
