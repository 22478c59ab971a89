"""Options of `cnnx audit` that what else was asked for cannot heed."""

import argparse
from collections.abc import Iterable


def refuse(option: str, arguments: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Raise where one of the options is given."""
    for name in names:
        if getattr(arguments, name) not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')}: expected none with {option}, {why}")
