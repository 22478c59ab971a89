"""A progress bar on a terminal's stderr: rich's where it is installed, else a line of plain text."""

import sys
import time
from typing import Any, Self

from .._text import time_left
from .evaluate import Tally

_INTERVAL = 0.1  # seconds between two drawings


class Progress:
    """Counts updates; draws nothing unless `wanted` and stderr is a terminal."""

    def __init__(self, total: int | None, *, wanted: bool = True) -> None:
        self.total = total  # None while nobody knows
        self._active = wanted and sys.stderr is not None and sys.stderr.isatty()
        self._next = 0.0
        self._bar: Any = None
        self._task: Any = None
        self.begin(0)

    def __enter__(self) -> Self:
        if self._active:
            self._bar = _rich_bar()
        if self._bar is not None:
            self._task = self._bar.add_task("training", total=self.total, text="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        if self._bar is not None:
            self._bar.stop()

    def begin(self, done: int) -> None:
        """From here on time counts; so many updates were done before."""
        self._start, self._before, self._images, self._seen = time.monotonic(), done, 0, 0

    def show(self, done: int, loss: float, tally: Tally) -> None:
        """After update `done`, with what the pass came to so far; most calls only look at the clock."""
        if not self._active:
            return
        # Images since the start: the passes that ended, and this one's.
        if tally.images < self._seen:
            self._images += self._seen
        self._seen = tally.images
        now = time.monotonic()
        if done != self.total and now < self._next:
            return
        self._next = now + _INTERVAL
        text = self._text(done, loss, tally, now - self._start)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=self.total, text=text)
            return
        drawn = f"{done}"
        if self.total:
            full = 30 * done // self.total
            drawn = f"[{'#' * full}{'.' * (30 - full)}] {done}/{self.total}"
        sys.stderr.write(f"\r{drawn} {text}\x1b[K")
        sys.stderr.flush()

    def _text(self, done: int, loss: float, tally: Tally, seconds: float) -> str:
        parts = [f"loss {loss:.4f}"]
        if tally.accuracy is not None:
            parts.append(f"accuracy {100 * tally.accuracy:.1f} %")
        if seconds > 0:
            parts.append(f"{(self._images + self._seen) / seconds:.0f} images/s")
        if self.total and done > self._before:
            parts.append(f"{time_left(seconds * (self.total - done) / (done - self._before))} left")
        return ", ".join(parts)

    def clear(self) -> None:
        """Take a plain bar away, so that others can write a line; the next `show` draws it again."""
        if self._active and self._bar is None:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._next = 0.0


def _rich_bar() -> Any:
    """rich's bar, or None without rich."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    # What is printed while the bar stands goes above it, but a redirected stdout must stay redirected.
    return Bar(
        *(BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}")),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        redirect_stderr=False,
    )
