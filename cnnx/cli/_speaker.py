"""What a command says while it works."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def progress(words: str) -> None:
    """On a terminal alone: what runs now, in the place of what ran before; "" clears it."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"\r{words}\x1b[K")
        sys.stderr.flush()


class Speaker:
    """Prints lines at once, so that a reader of a pipe sees them too.

    Parameters
    ----------
    told : bool
        False says nothing at all.
    quiet : bool
        True says results alone.
    """

    def __init__(self, *, told: bool, quiet: bool) -> None:
        self._told, self._quiet = told, quiet

    def say(self, text: str) -> None:
        """A line on the way; the empty text is an empty line."""
        if not self._quiet:
            self.result(text)

    def result(self, text: str) -> None:
        """A line that --quiet leaves."""
        if self._told:
            print(text, flush=True)

    @contextmanager
    def notices(self) -> Iterator[None]:
        """A block in which what the library has to tell is said: news here, warnings on stderr."""
        log, handler = logging.getLogger("cnnx"), _Handler(self)
        before = log.level, log.propagate
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.level, log.propagate = before


class _Handler(logging.Handler):
    def __init__(self, speaker: Speaker) -> None:
        super().__init__()
        self._speaker = speaker

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            print(f"cnnx: {record.levelname.lower()}: {record.getMessage()}", file=sys.stderr, flush=True)
        else:
            self._speaker.say(record.getMessage())
