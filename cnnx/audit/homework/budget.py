"""A budget of time that homework cannot overrun."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ...lang import text

INTERRUPTIONS = 6  # that homework may catch


class TimeUpError(BaseException):
    """The budget is spent: no `except Exception` of homework is to catch it."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """A block that is interrupted when its time is up, wherever homework is in it, and again if it goes on.

    Where it catches that again and again, with a bare `except` in a loop, the process ends.
    """
    times = 0

    def up(number: int, frame: object) -> None:
        nonlocal times
        times += 1
        if times > INTERRUPTIONS:
            words = f"cnnx: {text('errors.error')}: {text('check.cannot_stop', seconds=seconds)}\n"
            os.write(2, words.encode(errors="backslashreplace"))
            os._exit(2)
        raise TimeUpError

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
