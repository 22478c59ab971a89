"""Ctrl-C during training: the first one asks to stop, the second one insists."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupt:
    """Within its block, SIGINT sets `asked`; a second one raises KeyboardInterrupt.

    Outside the main thread, and where SIGINT is ignored or handled by other than Python code, nothing is
    changed. The previous handler comes back at the end.
    """

    def __init__(self) -> None:
        self.asked = False
        self._insisted = False
        self._shielded = False
        self._previous: Any = None

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._insisted = self.asked
        self.asked = True
        self._raise_if_insisted()

    def _raise_if_insisted(self) -> None:
        if self._insisted and not self._shielded:
            raise KeyboardInterrupt

    @contextmanager
    def shield(self) -> Iterator[None]:
        """A block that even the second SIGINT lets end, as the change of the weights has to."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
        self._raise_if_insisted()
