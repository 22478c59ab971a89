"""A progress bar on a terminal's stderr: rich's where it is installed, else a line of plain text."""

import sys
import time
from typing import Any, Self

_INTERVAL = 0.1  # seconds between two drawings


class Progress:
    """Counts updates; draws nothing unless `wanted` and stderr is a terminal."""

    def __init__(self, total: int, *, wanted: bool = True) -> None:
        self.total = total
        self._active = wanted and sys.stderr is not None and sys.stderr.isatty()
        self._next = 0.0
        self._bar: Any = None
        self._task: Any = None

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

    def show(self, done: int, loss: float) -> None:
        """After update `done`; most calls only look at the clock."""
        if not self._active or (done < self.total and time.monotonic() < self._next):
            return
        self._next = time.monotonic() + _INTERVAL
        text = f"loss {loss:.4f}"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, text=text)
            return
        full = 30 * done // self.total
        sys.stderr.write(f"\r[{'#' * full}{'.' * (30 - full)}] {done}/{self.total} {text}\x1b[K")
        sys.stderr.flush()

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
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn()
    # What is printed while the bar stands goes above it, but a redirected stdout must stay redirected.
    return Bar(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        redirect_stderr=False,
    )
