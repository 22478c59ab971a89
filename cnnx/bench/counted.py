"""Turns in which instructions or cache misses are counted where else seconds are taken."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .against import InTurns
from .builds import Build
from .counting import CALLGRIND, OUT, command
from .record import Figure
from .turns import Say, Side, Turns

# Of the first look, which finds suspects, and of a commit in a bisection. Counts vary less than seconds, but those of
# small functions by a few per cent from round to round.
ROUNDS = 2


def counted(in_turns: InTurns, event: str, by: str) -> InTurns:
    """As `against` wants it: what `in_turns` makes, but counting an event by perf_event_open or by callgrind."""

    def made(base: Build, tree: Build, figures: Sequence[Figure], folder: Path, say: Say) -> Turns:
        turns = in_turns(base, tree, figures, folder, say)
        turns.event = event
        if by == CALLGRIND:
            turns.sides = {name: _simulated(side, folder) for name, side in turns.sides.items()}
        return turns

    return made


def _simulated(side: Side, folder: Path) -> Side:
    """The side in callgrind, each process with files of its own."""
    python = [sys.executable, "-P"] if side.python is None else [str(side.python)]
    # The shell puts its own number in: exec keeps it, so that each process writes files of its own.
    line = shlex.join(command("PYTHON", "OUT")).replace("OUT", f'"${OUT}"').replace("PYTHON", shlex.join(python))
    script = folder / f"callgrind {len(list(folder.glob('callgrind *')))}"
    script.write_text(f'#!/bin/sh\nexport {OUT}={shlex.quote(str(folder / "counts"))}.$$\nexec {line} "$@"\n')
    os.chmod(script, 0o700)
    return replace(side, python=script)
