"""A program as a kernel: it reads its arrays from .npy files, and writes its result into one.

It imports NumPy alone: the process of an isolated contract loads it by its path.
"""

import string
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Command:
    """A command line that computes a kernel.

    Parameters
    ----------
    words : sequence of str
        The program and its arguments. {x}, {weight}, {y} and the like stand for files of arrays, of which the program
        writes that of its result, and {stride}, {u}, {groups} for numbers, as they are named in a contract's arguments.
    timeout : float
        Seconds that a call may take.

    A bfloat16 array is written as unsigned integers of two bytes, its bits, and read back so.

    Examples
    --------
    >>> import sys
    >>> from cnnx.audit import Command, audit, kernel
    >>> program = "import sys, numpy as np; x, y = sys.argv[1:]; np.save(y, np.maximum(np.load(x), 0))"
    >>> rectify = Command([sys.executable, "-c", program, "{x}", "{y}"])
    >>> audit(backend=kernel("relu", rectify), checks=["exact"], cases=["vector"])
    <Report of python against reference: 1 case of 1 op, all agree>
    """

    by_files = True

    def __init__(self, words: Sequence[str], *, timeout: float = 60.0):
        if isinstance(words, str) or not all(isinstance(word, str) for word in words) or not words:
            raise TypeError(f"words: expected a program and its arguments, a sequence of strings, got {words!r}")
        self.words, self.timeout = tuple(words), timeout
        self.__name__ = Path(words[0]).stem.rstrip("0123456789.") or "command"

    @property
    def names(self) -> dict[str, str]:
        """What stands in braces: the arguments of its contract."""
        parts = (part for word in self.words for part in string.Formatter().parse(word))
        return {name: name for _, name, _, _ in parts if name}

    def __call__(self, outputs: dict[str, Array], **values: Any) -> None:
        """Run it, and fill `outputs`, arrays by name."""
        with tempfile.TemporaryDirectory() as folder:
            said: dict[str, Any] = {}
            for name, value in values.items():
                said[name] = value
                if isinstance(value, np.ndarray):
                    said[name] = str(Path(folder, f"{name}.npy"))
                    np.save(said[name], value.view(np.uint16) if value.dtype.kind == "V" else value)
            said |= {name: str(Path(folder, f"{name}.npy")) for name in outputs}
            words = [word.format_map(said) for word in self.words]
            done = subprocess.run(words, capture_output=True, text=True, timeout=self.timeout, check=False)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
                raise RuntimeError(f"{words[0]} ended with exit code {done.returncode}: {last}")
            for name, output in outputs.items():
                try:
                    found = np.load(said[name])
                except FileNotFoundError:
                    raise RuntimeError(f"{words[0]} wrote no {{{name}}}, {said[name]}") from None
                if output.dtype.kind == "V" and found.dtype.itemsize == 2 and found.dtype.kind in "uV":
                    found = found.view(output.dtype)
                if found.shape != output.shape or found.dtype != output.dtype:
                    raise ValueError(
                        f"{name}: expected {output.dtype} {output.shape}, {words[0]} wrote {found.dtype} {found.shape}"
                    )
                output[...] = found
