"""How a call is timed in turns, and how a worker is asked: the standard library alone, for any Python since 3.9.

It is loaded by its path, since what is measured may be an older cnnx, or a project without any.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

WARM = 0.01  # seconds of calls before the first turn
TURN = 0.005  # seconds of calls that a turn should have
BLOCK = 0.0002  # seconds of calls that are timed as one
LONG = 0.1  # seconds of a call that needs no other before it
CALLS = 5  # at most, where they are counted: one is nearly as good
AROUND = 0.05  # seconds of a turn, with what has to be made before each of its calls

Answer = dict[str, Any]  # of JSON


def nothing() -> None:
    """The call where there is none."""


class Timed:
    """A call, or what makes one each time before it is timed (`making`)."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Let go of the call and of what it holds."""
        self.call: Callable[[], Any] = nothing
        self.making: Callable[[], Callable[[], Any]] | None = None
        self.count = 1  # calls in a turn
        self.seconds = 0.0  # of a call, about

    def warm(self) -> float:
        """Call until it is warm, and say how long a call takes."""
        spent, whole, start = 0.0, 0.0, time.perf_counter()
        times: list[float] = []
        while not times or (spent < WARM and whole < 10 * WARM):
            times.append(self.timed(1))
            spent += times[-1]
            whole = time.perf_counter() - start
        self.seconds = min(times)
        self.count = max(1, round(TURN / max(self.seconds, 1e-8)))
        if self.making is not None:
            self.count = min(self.count, max(1, round(AROUND * len(times) / whole)))
        return self.seconds

    def timed(self, count: int) -> float:
        """Seconds of a call, of so many."""
        if self.making is not None:
            return self._made(count, self.making)
        call = self.call
        start = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - start) / count

    def _made(self, count: int, making: Callable[[], Callable[[], Any]]) -> float:
        spent = 0.0
        for _ in range(count):
            call = making()
            start = time.perf_counter()
            call()
            spent += time.perf_counter() - start
        return spent / count

    def answer(self, name: str, asked: Answer) -> Answer:
        """The answer to a question, which is a method's name with its arguments."""
        found: Answer = getattr(self, name)(**asked)
        return found

    def turn(self, what: str = "call") -> Answer:
        """A turn: seconds of a call, the median of short blocks of calls.

        On a busy machine a process is stopped for longer than a block, and few blocks of a turn are hit.
        """
        if self.seconds < LONG:  # others had the caches, and threads may be asleep
            self.timed(1)
        enabled = gc.isenabled()
        gc.collect(0)
        gc.disable()
        block = min(self.count, max(1, round(BLOCK / max(self.seconds, 1e-8))))
        try:
            seconds = statistics.median([self.timed(block) for _ in range(max(1, round(self.count / block)))])
        finally:
            if enabled:
                gc.enable()
        return {"seconds": seconds}

    def tally(self) -> Answer:
        """What a call does, counted: instructions and cache misses."""
        calls = min(self.count, CALLS)
        if self.making is None:
            return dict(_counting().counted(self.call, calls))
        found = [_counting().counted(self.making()) for _ in range(calls)]
        return {name: sum(one[name] for one in found) / calls for name in found[0]}


def _counting() -> Any:
    """By its path, as this file is; and only where it is asked for."""
    name = "_cnnx_counting"
    if name not in sys.modules:
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "counting.py")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def serve(worker: Timed, questions: TextIO, answers: TextIO) -> None:
    """Answer until the other side closes."""
    while line := questions.readline():
        asked = json.loads(line)
        try:
            answer = worker.answer(asked.pop("do"), asked)
        except Exception as error:  # the other side says so and goes on
            answer = {"failed": f"{type(error).__name__}: {error}"}
        send(answer, answers)


def send(answer: Answer, answers: TextIO) -> None:
    """Write an answer."""
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
