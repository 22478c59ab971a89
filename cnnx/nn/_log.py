"""A training's log: lines of JSON."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from .._files import replacing
from .history import Epoch


class Log:
    """One line for each pass, and one for the end; see `cnnx.nn.fit`.

    The file is what the history says: `start` writes the passes of a checkpoint anew, so that none stands there twice.
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._path = None if path is None else Path(path)
        self._file: IO[str] | None = None
        self._passes = 0

    def start(self, epochs: list[Epoch]) -> None:
        if self._path is not None:
            with replacing(self._path) as file:
                for number, epoch in enumerate(epochs, 1):
                    file.write(_line(_epoch(number, epoch)).encode())
            self._passes = len(epochs)
            self._file = self._path.open("a", encoding="utf-8")

    def epoch(self, epoch: Epoch) -> None:
        self._passes += 1
        self._write(_epoch(self._passes, epoch))

    def end(self, reason: str, updates: int, message: str | None = None) -> None:
        self._write({"event": "end", "reason": reason, "updates": updates, "epochs": self._passes, "message": message})
        if self._file is not None:
            self._file.close()

    def _write(self, what: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(_line(what))
            self._file.flush()


def _epoch(number: int, epoch: Epoch) -> dict[str, Any]:
    rate = epoch.images / epoch.seconds if epoch.seconds else None
    return {"event": "epoch", "epoch": number, **asdict(epoch), "images_per_second": rate}


def _line(what: dict[str, Any]) -> str:
    return json.dumps(what, allow_nan=False) + "\n"
