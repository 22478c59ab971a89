"""Ctrl-C during training: the first one asks to stop, the second one insists."""

import signal
import threading
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

    def shield(self) -> "_Shield":
        """A block that even the second SIGINT lets end, as the change of the weights has to."""
        return _Shield(self)


class _Shield:
    """What `Interrupt.shield` returns; a class, since a generator's block takes three times as long to enter."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt

    def __enter__(self) -> None:
        self._interrupt._shielded = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._interrupt._shielded = False
        if kind is None:
            self._interrupt._raise_if_insisted()
