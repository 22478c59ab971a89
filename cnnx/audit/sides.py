"""The two sides of an audit, and by which conventions they are held against each other."""

from dataclasses import dataclass

from .compat import COMPAT, Compat


@dataclass(frozen=True)
class Sides:
    """The back end under audit, the one it is held against, and by which conventions."""

    backend: str
    against: str = "reference"
    compat: Compat = COMPAT[""]
