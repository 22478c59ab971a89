"""The page of the homework check: an example with a mistake, what `cnnx check` answers, and which layers it judges."""

import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

from ..audit.homework import check
from ..audit.homework.roles import OP_NAMES
from ..audit.homework.words import pages_of, said
from ..lang import speaking, text

NAME = "homework.py"


@cache
def example() -> str:
    """A convolution whose way back forgets the stride."""
    return resources.files(__package__).joinpath("templates", "homework.txt").read_text(encoding="utf-8")


@cache
def answer(lang: str) -> str:
    """What the command prints of it, computed when the page is made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        path.write_text(example(), encoding="utf-8")
        with speaking(lang):
            found = check(str(path))
            found.path = NAME
            return "\n".join(said(found))


def layers(lang: str) -> list[tuple[str, tuple[str, ...]]]:
    """The layers that are judged, each with the equations that its results are held against."""
    return [(text(f"check.op.{op}", lang), pages_of(op)) for op in OP_NAMES]
